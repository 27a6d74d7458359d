"""The control database: tenants, keys' records, desired state, sagas, outbox, audit, notices, sign-in.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = "check (id ~ '^[a-z0-9][a-z0-9-]{0,62}$')"

TABLES = f"""
create table installation (
    "only" boolean primary key default true check ("only"),
    id text not null,
    epoch bigint not null,
    timeline bigint not null,
    created_at timestamptz not null default now()
);

create table tenants (
    id text primary key {ID},
    source text not null,
    kind text not null,
    parent text not null,
    name text not null,
    display_name text not null,
    path text not null,
    origin text not null,
    reference text not null,
    made_id boolean not null default false,
    creator_issuer text,
    creator_username text,
    presence text not null default 'present' check (presence in ('present', 'uninstalled', 'deleting', 'gone')),
    stage text not null default 'provisioning' check (stage in ('provisioning', 'protected', 'ready', 'undone')),
    epoch bigint not null default 0,
    generation bigint not null default 0,
    observed_at timestamptz not null default now(),
    protected_at timestamptz,
    ready_at timestamptz,
    uninstalled_at timestamptz,
    deleting_at timestamptz,
    grace_ends_at timestamptz,
    -- Looked at when a transaction ends: within one batch a name may pass from one tenant to another.
    constraint tenants_by_name exclude (source with =, kind with =, parent with =, name with =)
        where (presence = 'present') deferrable initially deferred
);
create index tenants_named on tenants (parent, name) where presence = 'present';

create table tenant_names (
    source text not null,
    kind text not null,
    parent text not null,
    name text not null,
    tenant text not null,
    primary key (source, kind, parent, name)
);
create table source_cursors (source text primary key, cursor text not null, at timestamptz not null default now());
create table source_problems (
    id bigint generated always as identity primary key,
    source text not null,
    origin text not null,
    line integer,
    refusal text not null,
    message text not null,
    reference text not null default '',
    refused jsonb,
    seen_at timestamptz not null default now()
);
create unique index refused_once on source_problems (source, reference) where refused is not null;

create table services (
    tenant text not null references tenants (id),
    name text not null check (name ~ '^[a-z0-9][a-z0-9-]{{0,62}}$'),
    created_at timestamptz not null default now(),
    primary key (tenant, name)
);
create table callers (
    tenant text not null,
    name text not null,
    service text not null,
    verbs text[] not null,
    created_at timestamptz not null default now(),
    primary key (tenant, name),
    foreign key (tenant, service) references services (tenant, name)
);
create table tenant_regions (
    tenant text not null references tenants (id),
    region text not null,
    position integer not null,
    primary key (tenant, region)
);
create table key_configurations (
    tenant text not null references tenants (id),
    version integer not null,
    kind text not null,
    in_force boolean not null,
    created_at timestamptz not null default now(),
    primary key (tenant, version)
);
create unique index one_configuration_in_force on key_configurations (tenant) where in_force;
create table keys (
    key_id text primary key,
    tenant text not null references tenants (id),
    level text not null check (level in ('L2', 'L3')),
    service text not null,
    version integer not null,
    state text not null check (state in ('ready', 'active', 'decrypt-only', 'abandoned')),
    statement jsonb not null,
    created_at timestamptz not null default now(),
    activated_at timestamptz
);
create unique index keys_by_label on keys (tenant, level, service, version);
create table wraps (
    key_id text not null references keys (key_id),
    holder text not null,
    tenant text not null,
    wrap jsonb not null,
    created_at timestamptz not null default now(),
    primary key (key_id, holder)
);
create table desired (
    tenant text not null references tenants (id),
    epoch bigint not null,
    generation bigint not null,
    document bytea not null,
    hash text not null,
    signature jsonb not null,
    decided_at timestamptz not null default now(),
    primary key (tenant, epoch, generation)
);
create table observed (
    tenant text not null references tenants (id),
    region text not null,
    epoch bigint not null,
    generation bigint not null,
    hash text not null,
    acknowledged_at timestamptz,
    refusal text,
    message text,
    tried_at timestamptz not null default now(),
    primary key (tenant, region)
);

create table sagas (
    id bigint generated always as identity primary key,
    plan text not null,
    tenant text not null references tenants (id),
    state text not null default 'running'
        check (state in ('running', 'undoing', 'done', 'undone', 'undo-failed')),
    fence bigint not null default 0,
    lease_until timestamptz,
    attempt integer not null default 0,
    next_at timestamptz not null default now(),
    background boolean not null default false,
    cancel boolean not null default false,
    trouble jsonb not null default '{{}}',
    told integer not null default 0,
    outcome jsonb,
    started_at timestamptz not null default now(),
    finished_at timestamptz
);
create unique index one_open_saga on sagas (plan, tenant) where state in ('running', 'undoing');
create index sagas_due on sagas (next_at) where state in ('running', 'undoing');
create table saga_steps (
    saga bigint not null references sagas (id),
    step text not null,
    direction text not null check (direction in ('do', 'undo')),
    tenant text not null,
    made jsonb not null,
    attempts integer not null,
    took_ms integer not null,
    at timestamptz not null default clock_timestamp(),
    primary key (saga, step, direction)
);

create table outbox (
    id bigint generated always as identity primary key,
    topic text not null,
    tenant text not null default '',
    payload jsonb not null,
    created_at timestamptz not null default now(),
    not_before timestamptz not null default now(),
    attempts integer not null default 0,
    lease_until timestamptz,
    failed text
);
create index outbox_due on outbox (not_before) where failed is null;

create table audit_heads (chain text primary key, number bigint not null, hash bytea not null);
create table audit_events (
    chain text not null,
    number bigint not null,
    at timestamptz not null,
    actor text not null, verb text not null, object text not null, outcome text not null,
    detail bytea not null,
    hash bytea not null,
    primary key (chain, number)
);

create table messages (
    id bigint generated always as identity primary key,
    tenant text not null,
    event text not null,
    tone text not null check (tone in ('ok', 'warn', 'bad', 'off')),
    subject text not null, text text not null, html text not null,
    created_at timestamptz not null default now()
);
create unique index messages_once on messages (tenant, event);
create table deliveries (
    message bigint not null references messages (id),
    recipient text not null,
    tenant text not null,
    message_id text not null,
    state text not null default 'pending' check (state in ('pending', 'accepted', 'rejected')),
    notifier text,
    attempts integer not null default 0,
    lease_until timestamptz,
    refusal text,
    reason text,
    tried_at timestamptz,
    primary key (message, recipient)
);

create table sign_in_links (
    hash bytea primary key,
    tenant text not null references tenants (id),
    issuer text not null, username text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
);
create table sessions (
    hash bytea primary key,
    tenant text not null references tenants (id),
    issuer text not null, username text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create table grants (
    tenant text not null references tenants (id),
    issuer text not null, username text not null,
    role text not null check (role in ('owner')),
    granted_by text not null,
    granted_at timestamptz not null default now(),
    primary key (tenant, issuer, username)
);
"""

#: The column that says whose a row is, and what a tenant's own rights (``app``) may do with the row.
TENANT_TABLES = {
    "tenants": ("id", "select, update"),
    "services": ("tenant", "select, insert"),
    "callers": ("tenant", "select, insert"),
    "tenant_regions": ("tenant", "select, insert, delete"),
    "key_configurations": ("tenant", "select, insert, update, delete"),
    "keys": ("tenant", "select, insert, update"),
    "wraps": ("tenant", "select, insert"),
    "desired": ("tenant", "select, insert"),
    "observed": ("tenant", "select, insert, update"),
    "sagas": ("tenant", "select, update"),
    "saga_steps": ("tenant", "select, insert"),
    "outbox": ("tenant", "select, insert"),
    "audit_heads": ("chain", "select, insert, update"),
    "audit_events": ("chain", "select, insert"),
    "messages": ("tenant", "select, insert"),
    "deliveries": ("tenant", "select, insert, update"),
    "sign_in_links": ("tenant", "select, update"),
    "sessions": ("tenant", "select, insert, delete"),
    "grants": ("tenant", "select, insert, delete"),
}

#: Tables that belong to the installation, not to a tenant; ``app`` has no right on them but to read the first.
OWN_TABLES = ("installation", "tenant_names", "source_cursors", "source_problems")


def upgrade() -> None:
    op.execute(TABLES)
    op.execute("grant usage on schema public to app, system")
    for table, (column, rights) in TENANT_TABLES.items():
        op.execute(f"alter table {table} enable row level security")
        op.execute(
            f"create policy {table}_of_tenant on {table} to app "
            f"using ({column} = current_setting('openkcm.tenant')) "
            f"with check ({column} = current_setting('openkcm.tenant'))"
        )
        op.execute(f"create policy {table}_of_all on {table} to system using (true) with check (true)")
        op.execute(f"grant {rights} on {table} to app")
        op.execute(f"grant select, insert, update, delete on {table} to system")
    for table in OWN_TABLES:
        op.execute(f"grant select, insert, update, delete on {table} to system")
    op.execute("grant select on installation to app")
    op.execute("grant select on alembic_version to app, system")
    op.execute(
        "insert into installation (id, epoch, timeline) "
        "select replace(gen_random_uuid()::text, '-', ''), 1, timeline_id from pg_control_checkpoint()"
    )
