"""What control came to know of documents by collecting from regions, and when each region last agreed with it.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
-- ``named_by`` is the generation of the first document of our own that names it.
create table learnt (
    tenant text not null references tenants (id),
    hash text not null,
    named_by bigint not null,
    learnt_at timestamptz not null,
    primary key (tenant, hash)
);
create index learnt_by_generation on learnt (tenant, named_by);
-- When each region last agreed on all tenants; on those of whom it did not, when it last did.
create table agreements (
    region text primary key,
    agreed_at timestamptz not null
);
create table agreements_apart (
    tenant text not null references tenants (id),
    region text not null,
    agreed_at timestamptz,
    primary key (tenant, region)
);
create index agreements_apart_by_region on agreements_apart (region);
"""


def upgrade() -> None:
    op.execute(TABLES)
    for table in ("learnt", "agreements_apart"):
        op.execute(f"alter table {table} enable row level security")
        op.execute(
            f"create policy {table}_of_tenant on {table} to app "
            "using (tenant = current_setting('openkcm.tenant')) "
            "with check (tenant = current_setting('openkcm.tenant'))"
        )
        op.execute(f"create policy {table}_of_all on {table} to system using (true) with check (true)")
    op.execute("grant select, insert on learnt to app, system")
    op.execute("grant select on agreements, agreements_apart to app")
    op.execute("grant select, insert, update, delete on agreements, agreements_apart to system")
