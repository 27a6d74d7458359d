"""Reading messages, for the pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from openkcm.kernel.db import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A message in a tenant's pages. ``pending`` recipients have not got it by mail yet, ``rejected`` never will."""

    id: int
    event: str
    tone: str
    subject: str
    text: str
    created_at: datetime
    accepted: int
    pending: int
    rejected: int


_OF = """select id, event, tone, subject, text, created_at,
    count(*) filter (where state = 'accepted') as accepted, count(*) filter (where state = 'pending') as pending,
    count(*) filter (where state = 'rejected') as rejected
from messages left join deliveries on message = id
where messages.tenant = $1 group by id order by id desc limit $2"""


async def messages_of(tx: Transaction, tenant: str, *, limit: int = 50) -> Sequence[Shown]:
    """The tenant's messages, newest first."""
    return [Shown(**dict(row)) for row in await tx.fetch(_OF, tenant, limit)]
