"""A tenant's own root keys: connections with their sealed credentials, what regions found of them, and how they answer.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
-- What the owner of a root key names, so that nobody else's connection works with it. One for a tenant, for ever.
create table tenant_subjects (
    tenant text primary key references tenants (id),
    subject text not null unique,
    made_at timestamptz not null default now()
);
-- ``version`` is the one that counts; a newer one of a connection in use waits until every region has found it good.
create table connections (
    id text primary key check (id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    tenant text not null references tenants (id),
    plugin text not null,
    kind text not null check (kind in ('byok', 'hyok')),
    title text not null,
    version integer not null check (version > 0),
    created_at timestamptz not null,
    created_by text not null,
    checks_asked integer not null default 0,
    check_asked_by text not null default ''
);
create index connections_of_tenant on connections (tenant);
-- ``secrets`` are sealed to one region's public key each: nothing here opens them.
create table connection_versions (
    connection text not null references connections (id) on delete cascade,
    version integer not null check (version > 0),
    tenant text not null references tenants (id),
    request text not null,
    answers jsonb not null,
    secrets jsonb not null,
    created_at timestamptz not null,
    created_by text not null,
    primary key (connection, version)
);
create unique index connection_requests on connection_versions (tenant, request);
-- The newest check of each region; ``number`` says which of ``checks_asked`` it answers.
create table connection_checks (
    connection text not null references connections (id) on delete cascade,
    region text not null,
    tenant text not null references tenants (id),
    version integer not null,
    number integer not null,
    findings jsonb not null,
    reference text not null,
    root_version text not null,
    protection text not null,
    checked_at timestamptz not null,
    primary key (connection, region)
);
-- What a tenant chose; without a row the default of its key store's kind counts.
create table outage_choices (
    tenant text primary key references tenants (id),
    choice text not null check (choice in ('lease', 'memory-only', 'fail-closed')),
    outage_s double precision,
    doubtful_s double precision not null,
    governance_s double precision not null,
    encrypting_s double precision not null,
    decrypting_s double precision not null,
    set_by text not null,
    set_at timestamptz not null
);
-- How the root key of a tenant key answers a region, as that region told it last; ``told`` is what people heard of.
create table links (
    key_id text not null references keys (key_id),
    region text not null,
    tenant text not null references tenants (id),
    connection text not null,
    verdict text not null check (verdict in ('serve', 'suspended', 'window-over', 'cut-off')),
    seen text[] not null,
    code text not null,
    proved_at timestamptz,
    ends_at timestamptz,
    condition text not null check (condition in ('fine', 'no-answer', 'doubtful', 'suspended', 'over')),
    since timestamptz not null,
    told text not null check (told in ('fine', 'no-answer', 'doubtful', 'suspended', 'over')),
    healed_at timestamptz,
    primary key (key_id, region)
);
create index links_untold on links (region) where condition <> told;
-- The root key that wraps a tenant key, the one that a request leads to, and the one of a configuration; '' is the
-- platform's own.
alter table keys add column connection text not null default '';
create index keys_by_connection on keys (tenant, connection) where connection <> '';
alter table key_requests add column connection text not null default '';
alter table key_configurations add column connection text not null default '';
"""

#: What a tenant's own rights may do with its rows.
RIGHTS = {
    "tenant_subjects": "select, insert",
    "connections": "select, insert, update, delete",
    "connection_versions": "select, insert, delete",
    "connection_checks": "select",
    "outage_choices": "select, insert, update",
    "links": "select",
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
        op.execute(f"grant select, insert, update, delete on {table} to system")
