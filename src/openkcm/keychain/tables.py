"""The rows of this room."""

from __future__ import annotations

from piccolo.columns import JSONB, Boolean, Integer, Text, Timestamptz
from piccolo.table import Table

from openkcm.kernel.db import DB


class ConfigurationRow(Table, tablename="key_configurations", db=DB):
    """A tenant's choice of L1. The key is (tenant, version); Piccolo knows keys of one column only."""

    tenant = Text(primary_key=True)
    version = Integer()
    kind = Text()
    in_force = Boolean()
    created_at = Timestamptz()


class KeyRow(Table, tablename="keys", db=DB):
    """A key's statement and state."""

    key_id = Text(primary_key=True)
    tenant = Text()
    level = Text()
    service = Text()
    version = Integer()
    state = Text()
    statement = JSONB()
    created_at = Timestamptz()
    activated_at = Timestamptz(null=True, default=None)


class WrapRow(Table, tablename="wraps", db=DB):
    """A key as one holder has it wrapped. The key is (key_id, holder)."""

    key_id = Text(primary_key=True)
    holder = Text()
    tenant = Text()
    wrap = JSONB()
    created_at = Timestamptz()
