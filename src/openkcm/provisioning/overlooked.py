"""What should have happened and did not, found by looking at the tenants themselves.

Events make everything happen, at once; this is the second look, for whatever an event was lost to. It compares what
stands in the rows, so that it needs to know of no cause.
"""

from __future__ import annotations

import asyncio
from typing import Final

from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.kernel.outbox import put
from openkcm.sdk.refusals import Refused
from openkcm.tenancy.observe import APPEARED, CHANGED

log = get_logger(__name__)

EVERY_S: Final = 15.0
#: Younger ones are on their way.
_AGE_S: Final = 30.0
_NEVER_BEGUN: Final = """select id from tenants as t
where presence = 'present' and stage = 'provisioning' and observed_at < now() - make_interval(secs => $1)
    and not exists (select from sagas where tenant = t.id and state <> 'undone')
    and not exists (select from outbox where topic = $2 and failed is null and payload->'tenants' ? t.id)
order by id limit 1000"""
#: A decision that allows other than the tenant's presence does. Its newest document is named by the tenant's own row.
_NOT_IN_FORCE: Final = """select t.id from tenants as t
join desired as d on d.tenant = t.id and d.epoch = t.epoch and d.generation = t.generation
where t.stage in ('protected', 'ready') and t.presence <> 'gone'
    and convert_from(d.document, 'UTF8')::jsonb->>'access' <> case
        when t.presence = 'present' then 'active'
        when t.presence = 'uninstalled' and (t.grace_ends_at is null or now() < t.grace_ends_at) then 'read-only'
        else 'blocked' end
    and not exists (select from outbox where topic = $1 and tenant = t.id)
order by t.id limit 1000"""


async def look_again(*, age_s: float = _AGE_S) -> list[str]:
    """Every tenant that nobody sets up is begun, and every decision that is overdue is made. Answers who was found.

    What a region refused for good is kept for a person, and is not asked for again.
    """
    async with transaction(Role.SYSTEM) as tx:
        begun = [row["id"] for row in await tx.fetch(_NEVER_BEGUN, age_s, APPEARED)]
        if begun:
            await put(tx, APPEARED, {"tenants": begun})
        overdue = [row["id"] for row in await tx.fetch(_NOT_IN_FORCE, CHANGED)]
        for tenant in overdue:
            await put(tx, CHANGED, {"tenant": tenant}, tenant=tenant)
    if begun or overdue:
        log.error("provisioning.overlooked", alarm=True, never_begun=begun[:20], not_in_force=overdue[:20])
    return [*begun, *overdue]


async def keep_looking(*, every_s: float = EVERY_S) -> None:
    """Look again and again, until cancelled; for one worker at a time."""
    while True:
        try:
            await look_again()
        except Refused as refused:
            log.warning("provisioning.not_looked", refusal=refused.refusal)
        await asyncio.sleep(every_s)
