"""Before a shred: the tenant's source is read again, and every region is asked how far its own count is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import Ending, EndItem
from openkcm.ending.means import Means
from openkcm.ending.store import hold_of
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.propagation.decide import decide
from openkcm.propagation.deliver import deliver, last_decided
from openkcm.propagation.model import Decided
from openkcm.propagation.store import newest
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy, Temporary
from openkcm.sdk.tenant_source import Observation, Presence
from openkcm.tenancy.ends import check_due
from openkcm.tenancy.model import Tenant
from openkcm.tenancy.store import get

T = TypeVar("T")

ACTOR: Final = "ending"
ANSWER_WITHIN_S: Final = 20.0
_PAGE: Final = "operate/tenants#deletion"
_MADE = "select made_id from tenants where id = $1"
_OTHERS = "select count(*) from tenants where source = $1 and presence = 'present'"
_PROBLEMS = "select origin from source_problems where source = $1 and refused is null order by id limit 1"
_LONGEST_WAIT_S: Final = 3600.0


async def look_again(means: Means, tenant: str) -> Decided | None:
    """The tenant may be ended now: its source does not have it, nothing holds it, every region's grace is over.

    The decision to carry out is returned, which every region has applied; None where no region ever had one.

    Raises:
        Temporary: SOURCE_UNAVAILABLE, PLUGIN_MISSING, the source cannot be read; REGION_UNAVAILABLE; DESTROY_NOT_DUE,
            a region still counts.
        Permanent: TENANT_ALIVE, the source says that the account is there; TENANT_HELD; TENANT_STATE, it is not being
            deleted any more.
    """
    async with transaction(Role.SYSTEM) as tx:
        found = await get(tx, tenant)
        await check_may_end(means, tx, found)
    await _look_at_source(means, found)
    async with transaction(Role.SYSTEM) as tx:
        decided = await _pending(means, tx, tenant)
    if decided is None:
        return None
    await lasting(deliver(means.regions, tenant, clock=means.clock))
    decided = await last_decided(tenant)
    _check_due_everywhere(tenant, await ask(means, decided, destroy=False))
    return decided


async def check_may_end(means: Means, tx: Transaction, tenant: Tenant) -> None:
    """The tenant is being deleted, its grace is over, and nothing holds it.

    Raises:
        Permanent: TENANT_STATE, TENANT_HELD.
    """
    check_due(tenant, now=means.clock.now())
    held = await hold_of(tx, tenant.id)
    if held is not None:
        raise held.refused(tenant.id)


async def lasting(asked: Awaitable[T]) -> T:
    """What was asked of regions; a refusal for good waits for a person and is tried again: it takes nothing back."""
    try:
        return await asked
    except Permanent as refused:
        raise Temporary(
            refused.refusal, refused.message, remedy=refused.remedy, retry_after_s=30.0
        ) from refused


async def ask(means: Means, decided: Decided, *, destroy: bool) -> Sequence[tuple[str, Ending | Refused]]:
    """Each region's answer, by name: how far it is, or with ``destroy`` its receipt."""
    item = EndItem(
        tenant=decided.tenant,
        epoch=decided.epoch,
        generation=decided.generation,
        hash=decided.hash,
        destroy=destroy,
    )
    return await asyncio.gather(*(_ask(means, name, item) for name in decided.desired.regions))


async def _ask(means: Means, name: str, item: EndItem) -> tuple[str, Ending | Refused]:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return name, await means.regions.get(name).end(item)
    except TimeoutError:
        return name, Temporary(Refusal.REGION_UNAVAILABLE, f"Region {name} does not answer.")
    except Refused as refused:
        return name, refused


async def _look_at_source(means: Means, tenant: Tenant) -> None:
    source = means.sources.get(tenant.source)
    if source is None:
        raise Temporary(
            Refusal.PLUGIN_MISSING,
            f"The tenant source {tenant.source} is not installed here, so it cannot be asked whether the account is "
            "really gone.",
            remedy=Remedy("Install the source's plugin, or add its settings again.", "operator", _PAGE),
            retry_after_s=30.0,
        )
    seen = await source.list()
    async with transaction(Role.SYSTEM) as tx:
        made_id = await tx.fetchval(_MADE, tenant.id)
        problem = await tx.fetchval(_PROBLEMS, tenant.source)
        others = await tx.fetchval(_OTHERS, tenant.source)
    mine = [told for told in seen if _is(tenant, told, made_id=bool(made_id))]
    if any(told.presence is Presence.PRESENT for told in mine):
        raise Permanent(
            Refusal.TENANT_ALIVE,
            f"{mine[0].origin} says that the account is there and is not being deleted.",
            remedy=Remedy(
                "Find out why its return was not heard; then release it, or correct the source.",
                "operator",
                _PAGE,
            ),
        )
    if not seen and others:
        raise Temporary(
            Refusal.SOURCE_UNAVAILABLE,
            f"The source {tenant.source} shows nothing at all, but {others} other accounts came from it: perhaps it "
            "cannot be read.",
            remedy=Remedy("Mount or connect it again.", "who runs the source", _PAGE),
            retry_after_s=30.0,
        )
    if not mine and problem is not None:
        raise Temporary(
            Refusal.SOURCE_UNAVAILABLE,
            f"The source does not show the account, but not all of it can be read: {problem}",
            remedy=Remedy("Correct what cannot be read, or remove it.", "who runs the source", _PAGE),
            retry_after_s=30.0,
        )


def _is(tenant: Tenant, told: Observation, *, made_id: bool) -> bool:
    if told.tenant_id is not None:
        return told.tenant_id == tenant.id
    return made_id and (told.kind, told.parent, told.name) == (tenant.kind, tenant.parent, tenant.name)


async def _pending(means: Means, tx: Transaction, tenant: str) -> Decided | None:
    """The newest decision, which says *destroy pending*; where none did so yet, one does now and regions count anew."""
    before = await newest(tx, tenant)
    if before is None or before.desired.destroy_pending is not None:
        return before
    decided = await decide(tx, tenant, identity=means.identity, clock=means.clock)
    await record(
        tx,
        tenant,
        actor=ACTOR,
        verb=AuditVerb.DESIRED_DECIDED,
        object=tenant,
        detail={"access": decided.desired.access, "destroy_pending": True},
    )
    return decided


def _check_due_everywhere(tenant: str, answers: Sequence[tuple[str, Ending | Refused]]) -> None:
    raise_refused(answers)
    counting = {
        name: ending
        for name, ending in answers
        if isinstance(ending, Ending) and ending.left_s > 0 and ending.receipt is None
    }
    if not counting:
        return
    name, last = max(counting.items(), key=lambda each: each[1].left_s)
    raise Temporary(
        Refusal.DESTROY_NOT_DUE,
        f"Region {name} counts the grace of tenant {tenant} itself, until {last.due_at:%Y-%m-%d %H:%M:%S} UTC.",
        remedy=Remedy("Wait; it is asked again by itself.", "nobody", _PAGE),
        retry_after_s=min(last.left_s, _LONGEST_WAIT_S),
    )


def raise_refused(answers: Sequence[tuple[str, Ending | Refused]]) -> None:
    """Every region has answered. Raises ``Temporary`` for the first that has not: nothing is ever taken back here."""
    for name, refused in answers:
        if isinstance(refused, Refused):
            raise Temporary(
                refused.refusal,
                f"Region {name}: {refused.message}",
                remedy=refused.remedy
                or Remedy(f"If this lasts, look at the crypto process of {name}.", "operator", _PAGE),
                retry_after_s=min(refused.retry_after_s or 0.0, _LONGEST_WAIT_S) or None,
            ) from refused
