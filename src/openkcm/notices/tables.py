"""The rows of this room."""

from __future__ import annotations

from piccolo.columns import BigInt, BigSerial, Integer, Text, Timestamptz
from piccolo.table import Table

from openkcm.kernel.db import DB


class MessageRow(Table, tablename="messages", db=DB):
    """A message as it was written, once for (tenant, event); tenant is empty for the operator's."""

    id = BigSerial(primary_key=True)
    tenant = Text()
    event = Text()
    tone = Text()
    subject = Text()
    text = Text()
    html = Text()
    created_at = Timestamptz()


class DeliveryRow(Table, tablename="deliveries", db=DB):
    """A message on its way to one recipient. The key is (message, recipient); Piccolo knows keys of one column only."""

    message = BigInt(primary_key=True)
    recipient = Text()
    tenant = Text()
    message_id = Text()
    state = Text(default="pending")
    notifier = Text(null=True, default=None)
    attempts = Integer(default=0)
    lease_until = Timestamptz(null=True, default=None)
    refusal = Text(null=True, default=None)
    reason = Text(null=True, default=None)
    tried_at = Timestamptz(null=True, default=None)
