"""What proves a caller, and requests that are about one.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = """
-- ``trust`` is null for a caller that only the tenant's pages have tokens for. ``registered`` is the generation of the
-- decision that first named this registration, 0 before there were any.
alter table callers
    add column trust jsonb check (trust is null or trust ? 'kind'),
    add column registered bigint not null default 0,
    add column registered_by text not null default '';
alter table key_requests add column caller text not null default '';
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute("grant delete on callers to app, system")
