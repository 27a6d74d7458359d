"""Tightenings carry the decision they come from, and stay on record when a document that knows of it lifts them.

A row of before is not believed, which stops its tenant, until the next document is applied.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
alter table tightenings
    drop constraint tightenings_pkey,
    drop column base_epoch,
    drop column base_generation,
    add column hash text not null default '',
    add column nonce bytea not null default '',
    add column signature bytea not null default '',
    add column lifted boolean not null default false,
    add primary key (tenant, service, kind, hash);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise RuntimeError("what was tightened would be loosened: restore a backup instead")
