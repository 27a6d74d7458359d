"""What is asked of one tenant is found by its id, however many others there are.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEXES = """
create index sagas_by_tenant on sagas (tenant, id);
create index wraps_by_tenant on wraps (tenant);
create index rewraps_by_tenant on rewraps (tenant);
"""


def upgrade() -> None:
    op.execute(INDEXES)
