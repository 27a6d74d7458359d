"""Tightenings carry the decision they come from, and stay on record when a document that knows of it lifts them.

A row of before is not believed, which stops its tenant, until the next document is applied.
And when the region last agreed with control.

Revision ID: 0005
"""

from alembic import context, op

revision = "0005"
down_revision = "0004"
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
create table agreement (
    "only" boolean primary key default true check ("only"),
    root_version integer not null references roots (version),
    record bytea not null,
    mac bytea not null check (length(mac) = 32)
);
"""


def upgrade() -> None:
    op.execute(TABLES)
    login = context.config.attributes.get("login", "")
    if login:
        role = '"' + login.replace('"', '""') + '"'
        op.execute(f"grant select, insert, update on agreement to {role}")


def downgrade() -> None:
    raise RuntimeError("what was tightened would be loosened: restore a backup instead")
