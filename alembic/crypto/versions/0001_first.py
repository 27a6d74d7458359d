"""A region's database: root versions, keys with their wraps and erase secrets, offers, applied state, mint tokens.

Every byte column of a record is authenticated under the region's root (``mac``, with the version it was made under):
whoever writes this database can deny service and open nothing.

Revision ID: 0001
"""

from alembic import context, op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = "~ '^[a-z0-9][a-z0-9-]{0,62}$'"

TABLES = f"""
create table region (
    "only" boolean primary key default true check ("only"),
    name text not null check (name {NAME}),
    identity_fingerprint text not null,
    epoch bigint not null default 0,
    changes bigint not null default 0,
    created_at timestamptz not null default now()
);
create table roots (
    version integer primary key check (version > 0),
    fingerprint text not null,
    created_at timestamptz not null default now()
);
create table keys (
    key_id bytea primary key check (length(key_id) = 16),
    tenant text not null check (tenant {NAME}),
    level text not null check (level in ('L2', 'L3')),
    service text not null,
    algorithm text not null,
    commitment bytea not null check (length(commitment) = 32),
    signature bytea not null,
    root_version integer not null references roots (version),
    mac bytea not null check (length(mac) = 32),
    stored_at timestamptz not null default now()
);
create index keys_by_tenant on keys (tenant);
create table wraps (
    key_id bytea primary key references keys (key_id),
    holder text not null,
    parent text not null,
    parent_version integer not null,
    algorithm text not null,
    blob bytea not null,
    signature bytea not null,
    root_version integer not null references roots (version),
    mac bytea not null check (length(mac) = 32)
);
create table erase_secrets (
    key_id bytea primary key references keys (key_id),
    secret bytea not null check (length(secret) = 32)
);
create table mint_tokens (
    token text primary key check (length(token) between 1 and 200),
    tenant text not null,
    services text not null,
    key_ids bytea not null check (length(key_ids) % 16 = 0),
    made_at timestamptz not null default now()
);
create table offers (
    offer_id bytea primary key check (length(offer_id) = 16),
    tenant text not null,
    key_id bytea not null,
    generation bigint not null,
    sender text not null,
    root_version integer not null references roots (version),
    sealed bytea not null,
    expires_at timestamptz not null,
    offered_at timestamptz not null default clock_timestamp()
);
create index offers_by_age on offers (offered_at);
create table applied (
    tenant text primary key check (tenant {NAME}),
    serial bigint not null,
    epoch bigint not null,
    generation bigint not null,
    hash bytea not null check (length(hash) = 32),
    document bytea not null,
    signature bytea not null,
    root_version integer not null references roots (version),
    mac bytea not null check (length(mac) = 32),
    change bigint not null unique,
    applied_at timestamptz not null default now()
);
create table audit_heads (chain text primary key, number bigint not null, hash bytea not null);
create table audit_events (
    chain text not null,
    number bigint not null,
    at timestamptz not null,
    actor text not null,
    verb text not null,
    object text not null,
    outcome text not null,
    detail bytea not null,
    hash bytea not null,
    primary key (chain, number)
);
"""

#: What the region's own login may do: keys and their records are never changed, offers and erase secrets are deleted.
RIGHTS = {
    "region": "select, insert, update",
    "roots": "select, insert",
    "keys": "select, insert",
    "wraps": "select, insert",
    "erase_secrets": "select, insert, delete",
    "mint_tokens": "select, insert",
    "offers": "select, insert, delete",
    "applied": "select, insert, update",
    "audit_heads": "select, insert, update",
    "audit_events": "select, insert",
}


def upgrade() -> None:
    op.execute(TABLES)
    login = context.config.attributes.get("login", "")
    if not login:
        return  # the region logs in as the owner: for trials alone
    role = '"' + login.replace('"', '""') + '"'
    op.execute(f"grant usage on schema public to {role}")
    op.execute(f"grant select on alembic_version to {role}")
    for table, rights in RIGHTS.items():
        op.execute(f"grant {rights} on {table} to {role}")


def downgrade() -> None:
    raise RuntimeError("keys are never migrated away: restore a backup instead")
