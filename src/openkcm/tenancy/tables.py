"""The rows of this room, as Alembic's revisions made them (``tests/migrations`` compares)."""

from __future__ import annotations

from piccolo.columns import JSONB, BigInt, BigSerial, Boolean, Integer, Text, Timestamptz
from piccolo.table import Table

from openkcm.kernel.db import DB


class TenantRow(Table, tablename="tenants", db=DB):
    """A tenant, its place in its source, and how far it came."""

    id = Text(primary_key=True, null=False, default=None)
    source = Text()
    kind = Text()
    parent = Text()
    name = Text()
    display_name = Text()
    path = Text()
    origin = Text()
    reference = Text()
    made_id = Boolean(default=False)
    creator_issuer = Text(null=True, default=None)
    creator_username = Text(null=True, default=None)
    presence = Text(default="present")
    stage = Text(default="provisioning")
    epoch = BigInt(default=0)
    generation = BigInt(default=0)
    observed_at = Timestamptz()
    protected_at = Timestamptz(null=True, default=None)
    ready_at = Timestamptz(null=True, default=None)
    uninstalled_at = Timestamptz(null=True, default=None)
    deleting_at = Timestamptz(null=True, default=None)
    grace_ends_at = Timestamptz(null=True, default=None)
    stopped_at = Timestamptz(null=True, default=None)


class ProblemRow(Table, tablename="source_problems", db=DB):
    """What a source could not use; with ``refused``, a document that the core refused and reads again when it can."""

    id = BigSerial(primary_key=True)
    source = Text()
    origin = Text()
    line = Integer(null=True, default=None)
    refusal = Text()
    message = Text()
    reference = Text()
    refused = JSONB(null=True, default=None)
    seen_at = Timestamptz()
