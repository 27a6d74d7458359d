"""The rows of this room."""

from __future__ import annotations

from piccolo.columns import JSONB, Array, BigInt, Text, Timestamptz
from piccolo.table import Table

from openkcm.kernel.db import DB


class ServiceRow(Table, tablename="services", db=DB):
    """A consumer of a tenant's keys. The key is (tenant, name); Piccolo knows keys of one column only."""

    tenant = Text(primary_key=True)
    name = Text()
    created_at = Timestamptz()


class CallerRow(Table, tablename="callers", db=DB):
    """Who may call for a service. The key is (tenant, name)."""

    tenant = Text(primary_key=True)
    name = Text()
    service = Text()
    verbs = Array(Text())
    created_at = Timestamptz()
    trust = JSONB(null=True, default=None)
    registered = BigInt()
    registered_by = Text()
