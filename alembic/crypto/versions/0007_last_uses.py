"""A caller's newest use is found at once, however long ago it was and however many others there are.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create index use_entries_by_actor on use_entries (tenant, actor, at)")


def downgrade() -> None:
    op.execute("drop index use_entries_by_actor")
