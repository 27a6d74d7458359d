"""The life of single keys: wraps by a new L2, a key's waiting period, which keys were used, tightenings by a nonce.

Revision ID: 0003
"""

from alembic import context, op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NAME = "~ '^[a-z0-9][a-z0-9-]{0,62}$'"

TABLES = f"""
create table rewraps (
    key_id bytea not null references keys (key_id),
    holder text not null,
    parent text not null,
    parent_version integer not null,
    algorithm text not null,
    blob bytea not null,
    signature bytea not null,
    root_version integer not null references roots (version),
    mac bytea not null check (length(mac) = 32),
    primary key (key_id, parent)
);
create table key_endings (
    key_id bytea primary key check (length(key_id) = 16),
    tenant text not null check (tenant {NAME}),
    since_epoch bigint not null,
    since_generation bigint not null,
    wait_s bigint not null check (wait_s >= 0),
    began_wall timestamptz not null,
    began_database timestamptz not null,
    closed boolean not null,
    stopped text not null check (stopped in ('', 'used', 'unknown')),
    stopped_at timestamptz,
    receipt bytea not null,
    root_version integer not null references roots (version),
    mac bytea not null check (length(mac) = 32)
);
create index key_endings_by_tenant on key_endings (tenant);
create table key_uses (
    key_id bytea primary key check (length(key_id) = 16),
    noted_at timestamptz not null default now()
);
-- Of keys that are older than this row nobody can say that they were never used.
create table journal (
    "only" boolean primary key default true check ("only"),
    began_at timestamptz not null,
    server text not null,
    timeline bigint not null
);
create table tightenings (
    tenant text not null check (tenant {NAME}),
    service text not null,
    kind text not null check (kind in ('read-only', 'revoked', 'blocked')),
    epoch bigint not null,
    generation bigint not null,
    base_epoch bigint not null,
    base_generation bigint not null,
    root_version integer not null references roots (version),
    mac bytea not null check (length(mac) = 32),
    change bigint not null unique,
    primary key (tenant, service, kind)
);
"""

RIGHTS = {
    "rewraps": "select, insert, delete",
    "key_endings": "select, insert, update, delete",
    "key_uses": "select, insert",
    "journal": "select, insert, update",
    "tightenings": "select, insert, update, delete",
    "wraps": "delete",
}


def upgrade() -> None:
    op.execute(TABLES)
    login = context.config.attributes.get("login", "")
    if login:
        role = '"' + login.replace('"', '""') + '"'
        for table, rights in RIGHTS.items():
            op.execute(f"grant {rights} on {table} to {role}")


def downgrade() -> None:
    raise RuntimeError("a count that is lost begins anew: restore a backup instead")
