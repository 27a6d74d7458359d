"""What control came to know of documents that it has not decided itself: by collecting from regions.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0003"
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
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute("alter table learnt enable row level security")
    op.execute(
        "create policy learnt_of_tenant on learnt to app using (tenant = current_setting('openkcm.tenant')) "
        "with check (tenant = current_setting('openkcm.tenant'))"
    )
    op.execute("create policy learnt_of_all on learnt to system using (true) with check (true)")
    op.execute("grant select, insert on learnt to app")
    op.execute("grant select, insert on learnt to system")
