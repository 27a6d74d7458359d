"""The end of a tenant: since when an uninstalled one is stopped, what holds a deletion, the certificate of a shred.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
alter table tenants add column stopped_at timestamptz;
create index tenants_reading on tenants (grace_ends_at) where presence = 'uninstalled' and stopped_at is null;
create index tenants_deleting on tenants (grace_ends_at) where presence = 'deleting';

alter table keys drop constraint keys_state_check;
alter table keys add constraint keys_state_check
    check (state in ('ready', 'active', 'decrypt-only', 'abandoned', 'destroyed'));

create table holds (
    tenant text primary key references tenants (id),
    held_by text not null,
    why text not null,
    held_at timestamptz not null default now()
);
create table certificates (
    tenant text primary key references tenants (id),
    document bytea not null,
    signature jsonb not null,
    destroyed_at timestamptz not null,
    backups_end_at timestamptz not null,
    issued_at timestamptz not null
);
create index certificates_by_backups on certificates (backups_end_at);
"""


def upgrade() -> None:
    op.execute(TABLES)
    for table in ("holds", "certificates"):
        op.execute(f"alter table {table} enable row level security")
        op.execute(
            f"create policy {table}_of_tenant on {table} to app "
            "using (tenant = current_setting('openkcm.tenant')) "
            "with check (tenant = current_setting('openkcm.tenant'))"
        )
        op.execute(f"create policy {table}_of_all on {table} to system using (true) with check (true)")
        op.execute(f"grant select on {table} to app")
    # A certificate is for ever: nobody changes or takes it back.
    op.execute("grant select, insert, update, delete on holds to system")
    op.execute("grant select, insert on certificates to system")
