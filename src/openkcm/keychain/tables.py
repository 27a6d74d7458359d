"""The rows of this room."""

from __future__ import annotations

from piccolo.columns import JSONB, BigInt, Boolean, Bytea, Integer, Text, Timestamptz
from piccolo.table import Table

from openkcm.kernel.db import DB


class ConfigurationRow(Table, tablename="key_configurations", db=DB):
    """A tenant's choice of L1. The key is (tenant, version); Piccolo knows keys of one column only.

    ``connection`` is the way to it, empty for the platform's own.
    """

    tenant = Text(primary_key=True)
    version = Integer()
    kind = Text()
    in_force = Boolean()
    created_at = Timestamptz()
    connection = Text()


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
    connection = Text()


class WrapRow(Table, tablename="wraps", db=DB):
    """A key as one holder has it wrapped. The key is (key_id, holder)."""

    key_id = Text(primary_key=True)
    holder = Text()
    tenant = Text()
    wrap = JSONB()
    created_at = Timestamptz()


class RewrapRow(Table, tablename="rewraps", db=DB):
    """A service key as a later tenant key wraps it. The key is (key_id, parent)."""

    key_id = Text(primary_key=True)
    parent = Text()
    tenant = Text()
    wrap = JSONB()
    created_at = Timestamptz()


class AccessRow(Table, tablename="key_access", db=DB):
    """What a person restricted. The key is (tenant, service); the service '' is the tenant as a whole."""

    tenant = Text(primary_key=True)
    service = Text()
    access = Text()
    before = Text()
    since = Timestamptz()
    by = Text()


class RequestRow(Table, tablename="key_requests", db=DB):
    """What somebody asked for, and the decision that it led to. The key is (tenant, request)."""

    tenant = Text(primary_key=True)
    request = Text()
    verb = Text()
    service = Text()
    key_id = Text()
    asked_by = Text()
    asked_at = Timestamptz()
    changed = Boolean()
    epoch = BigInt()
    generation = BigInt()
    saga = BigInt(null=True, default=None)
    caller = Text()
    connection = Text()


class DestroyRow(Table, tablename="key_destroys", db=DB):
    """A key on its way out, or kept after all."""

    key_id = Text(primary_key=True)
    tenant = Text()
    state = Text()
    since_epoch = BigInt()
    since_generation = BigInt()
    wait_s = BigInt()
    never_used = Boolean()
    asked_by = Text()
    asked_at = Timestamptz()
    due_at = Timestamptz()
    ended_at = Timestamptz(null=True, default=None)
    ended_by = Text()


class KeyCertificateRow(Table, tablename="key_certificates", db=DB):
    """The certificate of a destroyed key, as it was signed, with the regions' receipts."""

    key_id = Text(primary_key=True)
    tenant = Text()
    document = Bytea()
    signature = JSONB()
    receipts = JSONB()
    destroyed_at = Timestamptz()
    backups_end_at = Timestamptz()
    issued_at = Timestamptz()


class ScheduleRow(Table, tablename="key_schedules", db=DB):
    """How often a key is rotated by itself. The key is (tenant, service)."""

    tenant = Text(primary_key=True)
    service = Text()
    every_days = Integer()
    next_at = Timestamptz()
    set_by = Text()
    set_at = Timestamptz()
