"""What must happen after a change: written in the change's own transaction, handled at least once after it.

PostgreSQL holds the truth; the queue only wakes. A handler may run twice, and says so by being repeatable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import cast

import msgspec

from openkcm.kernel import queue
from openkcm.kernel.backoff import backoff_s
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Refusal, Refused, Temporary

log = get_logger(__name__)

KIND = "outbox"
Payload = Mapping[str, object]
Handler = Callable[[dict[str, object]], Awaitable[None]]

_PUT = """insert into outbox (topic, tenant, payload, not_before)
values ($1, $2, $3::text::jsonb, now() + make_interval(secs => $4)) returning id"""
_TAKE = """update outbox set attempts = attempts + 1, lease_until = now() + make_interval(secs => $2)
where id = $1 and failed is null and not_before <= now() and (lease_until is null or lease_until < now())
returning topic, payload::text as payload, attempts"""
_DONE = "delete from outbox where id = $1"
_LATER = (
    """update outbox set lease_until = null, not_before = now() + make_interval(secs => $2) where id = $1"""
)
_FAILED = "update outbox set lease_until = null, failed = $2 where id = $1"
_DUE = """select id, attempts from outbox
where failed is null and coalesce(lease_until, not_before + make_interval(secs => $1)) < now() limit 200"""


async def put(
    tx: Transaction, topic: str, payload: Payload, *, tenant: str = "", delay_s: float = 0.0
) -> int:
    """The row stands or falls with ``tx``; after its commit the handler of ``topic`` is woken. Returns the row's id."""
    row = cast("int", await tx.fetchval(_PUT, topic, tenant, msgspec.json.encode(payload).decode(), delay_s))
    tx.after_commit(lambda: queue.wake(KIND, row, 0, delay_s=delay_s))
    return row


class Outbox:
    """Takes rows and hands them to the handlers; ``handle`` and ``due`` are what the queue calls."""

    def __init__(self, handlers: Mapping[str, Handler], *, lease_s: float = 60.0) -> None:
        self._handlers = handlers
        self._lease_s = lease_s

    async def due(self, overdue_s: float) -> list[tuple[int, int]]:
        """Rows (id, attempt) that nobody was woken for, or whose worker is gone."""
        async with transaction(Role.SYSTEM) as tx:
            return [(row["id"], row["attempts"]) for row in await tx.fetch(_DUE, overdue_s)]

    async def handle(self, row: int) -> None:
        """The row is handled and gone; or it waits for its next try; or, refused for good, it is kept for a person.

        A defect of ours, or of what we stand on, is no refusal: such a row is tried again without end, with an alarm.
        """
        async with transaction(Role.SYSTEM) as tx:
            taken = await tx.fetchrow(_TAKE, row, self._lease_s)
        if taken is None:
            return
        topic, attempts = taken["topic"], taken["attempts"]
        try:
            await self._handler(topic)(msgspec.json.decode(taken["payload"], type=dict[str, object]))
        except Temporary as refused:
            log.warning("outbox.later", topic=topic, row=row, refusal=refused.refusal, attempt=attempts)
            await self._later(row, attempts, refused.retry_after_s or 0.0)
        except Refused as refused:
            log.error("outbox.failed", topic=topic, row=row, refusal=refused.refusal)
            await self._keep(row, refused.refusal)
        except Exception:
            log.exception("outbox.defect", alarm=True, topic=topic, row=row, attempt=attempts)
            await self._later(row, attempts, 0.0)
        else:
            async with transaction(Role.SYSTEM) as tx:
                await tx.execute(_DONE, row)

    def _handler(self, topic: str) -> Handler:
        try:
            return self._handlers[topic]
        except KeyError:
            raise Temporary(Refusal.UNAVAILABLE, f"This release has no handler for {topic} yet.") from None

    async def _later(self, row: int, attempts: int, least_s: float) -> None:
        delay_s = max(backoff_s(attempts), least_s)
        async with transaction(Role.SYSTEM) as tx:
            await tx.execute(_LATER, row, delay_s)
            tx.after_commit(lambda: queue.wake(KIND, row, attempts, delay_s=delay_s))

    async def _keep(self, row: int, refusal: Refusal) -> None:
        async with transaction(Role.SYSTEM) as tx:
            await tx.execute(_FAILED, row, refusal.value)
