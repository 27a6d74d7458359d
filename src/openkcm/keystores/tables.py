"""The rows of this room."""

from __future__ import annotations

from piccolo.columns import JSONB, Array, DoublePrecision, Integer, Text, Timestamptz
from piccolo.table import Table

from openkcm.kernel.db import DB


class SubjectRow(Table, tablename="tenant_subjects", db=DB):
    """What the owner of a root key names: one for a tenant, unguessable, for ever."""

    tenant = Text(primary_key=True)
    subject = Text()
    made_at = Timestamptz()


class ConnectionRow(Table, tablename="connections", db=DB):
    """A way to one root key of a tenant."""

    id = Text(primary_key=True)
    tenant = Text()
    plugin = Text()
    kind = Text()
    title = Text()
    version = Integer()
    created_at = Timestamptz()
    created_by = Text()
    checks_asked = Integer()
    check_asked_by = Text()


class VersionRow(Table, tablename="connection_versions", db=DB):
    """One version's answers; secrets are sealed to regions. The key is (connection, version)."""

    connection = Text(primary_key=True)
    version = Integer()
    tenant = Text()
    request = Text()
    answers = JSONB()
    secrets = JSONB()
    created_at = Timestamptz()
    created_by = Text()


class CheckRow(Table, tablename="connection_checks", db=DB):
    """What a region found at its newest check. The key is (connection, region)."""

    connection = Text(primary_key=True)
    region = Text()
    tenant = Text()
    version = Integer()
    number = Integer()
    findings = JSONB()
    reference = Text()
    root_version = Text()
    protection = Text()
    checked_at = Timestamptz()


class OutageRow(Table, tablename="outage_choices", db=DB):
    """What a tenant chose for the time of an outage; windows in seconds."""

    tenant = Text(primary_key=True)
    choice = Text()
    outage_s = DoublePrecision(null=True, default=None)
    doubtful_s = DoublePrecision()
    governance_s = DoublePrecision()
    encrypting_s = DoublePrecision()
    decrypting_s = DoublePrecision()
    set_by = Text()
    set_at = Timestamptz()


class LinkRow(Table, tablename="links", db=DB):
    """How the root key of a tenant key answers a region, as that one told it last. The key is (key_id, region)."""

    key_id = Text(primary_key=True)
    region = Text()
    tenant = Text()
    connection = Text()
    verdict = Text()
    seen = Array(base_column=Text())
    code = Text()
    proved_at = Timestamptz(null=True, default=None)
    ends_at = Timestamptz(null=True, default=None)
    condition = Text()
    since = Timestamptz()
    told = Text()
    healed_at = Timestamptz(null=True, default=None)
