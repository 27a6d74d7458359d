"""The life of keys: who restricted what, what was asked for, single keys on their way out, schedules, acknowledgements.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
create table rewraps (
    key_id text not null references keys (key_id),
    parent text not null,
    tenant text not null,
    wrap jsonb not null,
    created_at timestamptz not null default now(),
    primary key (key_id, parent)
);
-- The service '' is the tenant as a whole. What has no row is active.
create table key_access (
    tenant text not null references tenants (id),
    service text not null,
    access text not null check (access in ('read-only', 'revoked')),
    before text not null check (before in ('active', 'read-only')),
    since timestamptz not null,
    by text not null,
    primary key (tenant, service)
);
create table key_requests (
    tenant text not null references tenants (id),
    request text not null,
    verb text not null,
    service text not null,
    key_id text not null,
    asked_by text not null,
    asked_at timestamptz not null,
    changed boolean not null,
    epoch bigint not null,
    generation bigint not null,
    saga bigint references sagas (id),
    primary key (tenant, request)
);
create unique index key_requests_of_saga on key_requests (saga) where saga is not null;
create table key_destroys (
    key_id text primary key references keys (key_id),
    tenant text not null references tenants (id),
    state text not null check (state in ('waiting', 'closing', 'destroying', 'destroyed', 'stopped', 'kept')),
    since_epoch bigint not null,
    since_generation bigint not null,
    wait_s bigint not null,
    never_used boolean not null,
    asked_by text not null,
    asked_at timestamptz not null,
    due_at timestamptz not null,
    ended_at timestamptz,
    ended_by text not null default ''
);
create index key_destroys_open on key_destroys (tenant) where state in ('waiting', 'closing', 'destroying');
create table key_certificates (
    key_id text primary key references keys (key_id),
    tenant text not null references tenants (id),
    document bytea not null,
    signature jsonb not null,
    receipts jsonb not null,
    destroyed_at timestamptz not null,
    backups_end_at timestamptz not null,
    issued_at timestamptz not null
);
create index key_certificates_by_backups on key_certificates (tenant, backups_end_at);
create table key_schedules (
    tenant text not null references tenants (id),
    service text not null,
    every_days integer not null check (every_days > 0),
    next_at timestamptz not null,
    set_by text not null,
    set_at timestamptz not null,
    primary key (tenant, service)
);
create index key_schedules_due on key_schedules (next_at);
-- Each region's first acknowledgement of each decision; ``observed`` has the newest of each region alone.
create table acknowledgements (
    tenant text not null references tenants (id),
    epoch bigint not null,
    generation bigint not null,
    region text not null,
    acknowledged_at timestamptz not null,
    primary key (tenant, epoch, generation, region)
);
"""

#: What a tenant's own rights may do with its rows.
RIGHTS = {
    "rewraps": "select, insert, delete",
    "key_access": "select, insert, update, delete",
    "key_requests": "select, insert",
    "key_destroys": "select, insert, update",
    "key_certificates": "select, insert",
    "key_schedules": "select, insert, update, delete",
    "acknowledgements": "select, insert",
}


def upgrade() -> None:
    op.execute(TABLES)
    for table, rights in RIGHTS.items():
        op.execute(f"alter table {table} enable row level security")
        op.execute(
            f"create policy {table}_of_tenant on {table} to app "
            "using (tenant = current_setting('openkcm.tenant')) "
            "with check (tenant = current_setting('openkcm.tenant'))"
        )
        op.execute(f"create policy {table}_of_all on {table} to system using (true) with check (true)")
        op.execute(f"grant {rights} on {table} to app")
    for table in ("rewraps", "key_access", "key_schedules", "key_destroys"):
        op.execute(f"grant select, insert, update, delete on {table} to system")
    # What was asked and what was certified is for ever; so is who acknowledged what.
    for table in ("key_requests", "key_certificates", "acknowledgements"):
        op.execute(f"grant select, insert on {table} to system")
    op.execute("grant insert on sagas to app")
