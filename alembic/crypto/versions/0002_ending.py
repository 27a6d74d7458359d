"""A region's own count of a deleted tenant's grace, and the receipt of its end.

Revision ID: 0002
"""

from alembic import context, op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
create table endings (
    tenant text primary key check (tenant ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    since_epoch bigint not null,
    since_generation bigint not null,
    grace_s bigint not null check (grace_s >= 0),
    began_wall timestamptz not null,
    began_database timestamptz not null,
    receipt bytea not null,
    root_version integer not null references roots (version),
    mac bytea not null check (length(mac) = 32)
);
"""


def upgrade() -> None:
    op.execute(TABLES)
    login = context.config.attributes.get("login", "")
    if login:
        role = '"' + login.replace('"', '""') + '"'
        op.execute(f"grant select, insert, update, delete on endings to {role}")


def downgrade() -> None:
    raise RuntimeError("a count that is lost begins anew: restore a backup instead")
