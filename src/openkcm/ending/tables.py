"""The rows of this room."""

from __future__ import annotations

from piccolo.columns import JSONB, Bytea, Text, Timestamptz
from piccolo.table import Table

from openkcm.kernel.db import DB


class HoldRow(Table, tablename="holds", db=DB):
    """A deletion that is held: its keys are not destroyed while the row is there."""

    tenant = Text(primary_key=True, null=False, default=None)
    held_by = Text()
    why = Text()
    held_at = Timestamptz()


class CertificateRow(Table, tablename="certificates", db=DB):
    """The certificate of a tenant whose keys are destroyed, the very bytes."""

    tenant = Text(primary_key=True, null=False, default=None)
    document = Bytea()
    signature = JSONB()
    destroyed_at = Timestamptz()
    backups_end_at = Timestamptz()
    issued_at = Timestamptz()
