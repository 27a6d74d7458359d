"""What callers did with keys: entries in chains of their own, one for each tenant and process, with their heads.

Everything that a reader is shown is under an entry's seal; ``tenant`` and ``count`` are copies, to be found by. A head
is authenticated under the region's root, so that whoever writes this database can take entries away, but has no other
chain signed.

Revision ID: 0006
"""

from alembic import context, op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
create table use_heads (
    chain text collate "C" primary key,
    tenant text not null,
    process text not null,
    number bigint not null,
    hash bytea not null,
    floor bigint not null,
    floor_hash bytea not null,
    oldest_at timestamptz not null,
    root_version integer not null references roots (version),
    mac bytea not null check (length(mac) = 32)
);
create index use_heads_by_tenant on use_heads (tenant);
create index use_heads_by_age on use_heads (oldest_at);
create table use_entries (
    chain text collate "C" not null,
    number bigint not null,
    at timestamptz not null,
    actor text not null,
    verb text not null,
    object text not null,
    outcome text not null,
    detail bytea not null,
    hash bytea not null,
    tenant text not null,
    count bigint not null,
    primary key (chain, number)
);
create index use_entries_by_time on use_entries (tenant, at, chain, number);
create table use_processes (
    process text primary key,
    batch bigint not null,
    written_at timestamptz not null,
    root_version integer not null references roots (version),
    mac bytea not null check (length(mac) = 32)
);
"""

#: An entry is never changed; the oldest are deleted when their time is over.
RIGHTS = {
    "use_heads": "select, insert, update",
    "use_entries": "select, insert, delete",
    "use_processes": "select, insert, update",
}


def upgrade() -> None:
    op.execute(TABLES)
    login = context.config.attributes.get("login", "")
    if login:
        role = '"' + login.replace('"', '""') + '"'
        for table, rights in RIGHTS.items():
            op.execute(f"grant {rights} on {table} to {role}")


def downgrade() -> None:
    raise RuntimeError("what was done with keys would be forgotten: restore a backup instead")
