"""The rows of this room."""

from __future__ import annotations

from piccolo.columns import JSONB, BigInt, Bytea, Integer, Text, Timestamptz
from piccolo.table import Table

from openkcm.kernel.db import DB


class RegionRow(Table, tablename="tenant_regions", db=DB):
    """A region of a tenant's region set. The key is (tenant, region); Piccolo knows keys of one column only."""

    tenant = Text(primary_key=True)
    region = Text()
    position = Integer()


class DesiredRow(Table, tablename="desired", db=DB):
    """One decided document, the very bytes. The key is (tenant, epoch, generation)."""

    tenant = Text(primary_key=True)
    epoch = BigInt()
    generation = BigInt()
    document = Bytea()
    hash = Text()
    signature = JSONB()
    decided_at = Timestamptz()


class ObservedRow(Table, tablename="observed", db=DB):
    """What a region last answered. The key is (tenant, region)."""

    tenant = Text(primary_key=True)
    region = Text()
    epoch = BigInt()
    generation = BigInt()
    hash = Text()
    acknowledged_at = Timestamptz(null=True, default=None)
    refusal = Text(null=True, default=None)
    message = Text(null=True, default=None)
    tried_at = Timestamptz()


class AcknowledgementRow(Table, tablename="acknowledgements", db=DB):
    """When a region first acknowledged a decision. The key is (tenant, epoch, generation, region)."""

    tenant = Text(primary_key=True)
    epoch = BigInt()
    generation = BigInt()
    region = Text()
    acknowledged_at = Timestamptz()
