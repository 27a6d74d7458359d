"""Customers' root keys: which process of the region asks for one, and what it heard last.

Revision ID: 0004
"""

from alembic import context, op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
create table root_key_claims (
    key_id bytea primary key check (length(key_id) = 16),
    process text not null,
    ends_at timestamptz not null
);
create table root_key_answers (
    key_id bytea primary key check (length(key_id) = 16),
    process text not null,
    root_version integer not null references roots (version),
    record bytea not null,
    mac bytea not null check (length(mac) = 32),
    sent_at timestamptz not null,
    told_at timestamptz not null default clock_timestamp()
);
create index root_key_answers_by_time on root_key_answers (told_at);
"""

RIGHTS = {
    "root_key_claims": "select, insert, update, delete",
    "root_key_answers": "select, insert, update, delete",
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
