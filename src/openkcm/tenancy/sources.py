"""Following a source: from the stored cursor, batch by batch, for as long as this worker leads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from openkcm.kernel.backoff import backoff_s
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Refused
from openkcm.sdk.tenant_source import Known, TenantSource
from openkcm.tenancy.observe import DEFAULT_GRACE_S, observe
from openkcm.tenancy.store import known

log = get_logger(__name__)


async def follow(source: TenantSource, *, clock: Clock, grace_s: float = DEFAULT_GRACE_S) -> None:
    """What the source says is stored, until cancelled. Whatever it raises, it is asked again later.

    A failure is answered by beginning at what is stored: the plugin is told afresh what the core has.
    """
    attempt = 0
    while True:
        try:
            cursor, has = await _position(source.name)
            batches = source.watch(cursor, has)
            try:
                async for batch in batches:
                    await observe(source.name, batch, clock, grace_s=grace_s)
                    attempt = 0
            finally:
                if isinstance(batches, AsyncGenerator):
                    await batches.aclose()
            reason = "ended"
        except Refused as refused:
            reason = refused.refusal.value
        except Exception:
            # A plugin's defect must end neither this worker nor the other sources.
            log.exception("tenancy.source_failed", source=source.name)
            reason = "failed"
        attempt += 1
        log.warning("tenancy.source_again", source=source.name, reason=reason, attempt=attempt)
        await asyncio.sleep(backoff_s(attempt))


async def _position(source: str) -> tuple[str | None, Sequence[Known]]:
    async with transaction(Role.SYSTEM) as tx:
        cursor = await tx.fetchval("select cursor from source_cursors where source = $1", source)
        return None if cursor is None else str(cursor), await known(tx, source)
