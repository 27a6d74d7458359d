"""Bringing the newest decision to every region of its set, and noting what each answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from openkcm.audit.record import Entry, record_all
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import Applied, Regions
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.propagation.model import Decided, Observed
from openkcm.propagation.store import add_answers, newest
from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy, Temporary

log = get_logger(__name__)

ANSWER_WITHIN_S: Final = 20.0
AHEAD: Final = (Refusal.GENERATION_OLD, Refusal.GENERATION_CONFLICT)


class RefusedForGood(Permanent):
    """A region refused a decision for good; the regions of ``later`` have not confirmed it, and may yet."""

    later: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Answer:
    region: str
    refused: Refused | None


async def deliver(regions: Regions, tenant: str, *, clock: Clock) -> int:
    """Every region of the tenant's set has applied the newest generation, whose number is returned.

    All regions are asked at the same time, with no transaction open. A region that has applied a newer generation than
    was sent because another was decided meanwhile gets that one.

    Raises:
        Temporary: REGION_UNAVAILABLE, naming the regions that have not confirmed; the others have.
        Permanent: TENANT_STATE, nothing was decided yet.
        RefusedForGood: GENERATION_OLD or GENERATION_CONFLICT, with an alarm: a region has applied something that
            control does not know; else what a region refused for good.
    """
    sent = await last_decided(tenant)
    while True:
        answers = await asyncio.gather(*(_apply(regions, name, sent) for name in sent.desired.regions))
        latest = await _note(sent, answers, clock)
        if (latest.epoch, latest.generation) == (sent.epoch, sent.generation):
            break
        sent = latest
    _judge(sent, answers)
    return sent.generation


async def push(regions: Regions, sent: Decided, *, clock: Clock) -> list[Observed]:
    """Every region of the set has applied exactly ``sent``; what each acknowledged, for the caller to ``add_answers``
    in a transaction of its own. As ``deliver``, for somebody who has just decided and records more besides.
    """
    answers = await asyncio.gather(*(_apply(regions, name, sent) for name in sent.desired.regions))
    if any(answer.refused is not None for answer in answers):
        latest = await _note(sent, answers, clock)
        if (latest.epoch, latest.generation) != (sent.epoch, sent.generation):
            # Not that a region is ahead: it has, or will get, what somebody else decided after this.
            raise Temporary(
                Refusal.TENANT_NOT_READY,
                f"Tenant {sent.tenant} was decided for anew meanwhile; this is tried again.",
            )
        _judge(sent, answers)
    return [_observed(sent, answer) for answer in answers]


async def last_decided(tenant: str) -> Decided:
    """The tenant's newest desired state. Raises ``Permanent`` (TENANT_STATE): nothing was decided yet."""
    async with transaction(Role.APP, tenant) as tx:
        found = await newest(tx, tenant)
    if found is None:
        raise Permanent(Refusal.TENANT_STATE, f"Nothing was decided yet for tenant {tenant}.")
    return found


async def _apply(regions: Regions, name: str, sent: Decided) -> _Answer:
    try:
        region = regions.get(name)
        async with asyncio.timeout(ANSWER_WITHIN_S):
            applied = await region.apply(sent.signed)
    except TimeoutError:
        return _Answer(name, Temporary(Refusal.REGION_UNAVAILABLE, f"Region {name} does not answer."))
    except Refused as refused:
        return _Answer(name, refused)
    wanted = Applied(tenant=sent.tenant, epoch=sent.epoch, generation=sent.generation, hash=sent.hash)
    return _Answer(name, None if applied == wanted else _conflict(name, sent))


def _conflict(name: str, sent: Decided) -> Permanent:
    return Permanent(
        Refusal.GENERATION_CONFLICT,
        f"Region {name} confirms another state of tenant {sent.tenant} than was sent to it.",
    )


async def _note(sent: Decided, answers: Sequence[_Answer], clock: Clock) -> Decided:
    """The answers are stored; returns what is the newest decision now."""
    tenant = sent.tenant
    noted = [_observed(sent, answer) for answer in answers]
    async with transaction(Role.APP, tenant) as tx:
        latest = await newest(tx, tenant) or sent
        is_newest = (latest.epoch, latest.generation) == (sent.epoch, sent.generation)
        await add_answers(tx, tenant, noted, at=clock.now())
        alarms = [each for each in noted if each.refusal in AHEAD] if is_newest else []
        await record_all(
            tx,
            [
                Entry(
                    chain=tenant,
                    actor="propagation",
                    verb=AuditVerb.DESIRED_REFUSED,
                    object=f"region:{each.region}",
                    outcome=each.refusal or "",
                    detail={"epoch": sent.epoch, "generation": sent.generation, "hash": sent.hash},
                )
                for each in alarms
            ],
        )
    for each in alarms:
        log.critical(
            "propagation.region_ahead",
            tenant=tenant,
            region=each.region,
            refusal=each.refusal,
            generation=sent.generation,
        )
    return latest


def _observed(sent: Decided, answer: _Answer) -> Observed:
    refused = answer.refused
    return Observed(
        region=answer.region,
        epoch=0 if refused else sent.epoch,
        generation=0 if refused else sent.generation,
        hash="" if refused else sent.hash,
        acknowledged_at=None,
        refusal=refused.refusal.value if refused else None,
        message=display_text(refused.message, max_characters=1024) if refused else None,
    )


def _judge(sent: Decided, answers: Sequence[_Answer]) -> None:
    failed = [(answer.region, answer.refused) for answer in answers if answer.refused is not None]
    if not failed:
        return
    for region, refused in failed:
        if not refused.temporary:
            found = _for_good(region, refused, sent)
            found.later = [each for each, other in failed if other.temporary]
            raise found
    names = [region for region, _ in failed]
    one = len(names) == 1
    raise Temporary(
        Refusal.REGION_UNAVAILABLE,
        f"{'Region' if one else 'Regions'} {listed(names)} {'has' if one else 'have'} not confirmed the change yet. "
        "It is sent again by itself.",
        remedy=Remedy(
            f"If this lasts, look at the crypto process of {listed(names)}.", "operator", "operate/regions"
        ),
        retry_after_s=max((refused.retry_after_s or 0.0 for _, refused in failed), default=0.0) or None,
    ) from failed[0][1]


def _for_good(region: str, refused: Refused, sent: Decided) -> RefusedForGood:
    if refused.refusal not in AHEAD:
        return RefusedForGood(refused.refusal, f"Region {region}: {refused.message}", remedy=refused.remedy)
    return RefusedForGood(
        refused.refusal,
        f"Region {region} holds another or a newer state of tenant {sent.tenant} than was decided here "
        f"(generation {sent.generation}). Nothing was changed there.",
        remedy=Remedy(
            "Find out whether this database was restored from a backup, or another control has this region's pin.",
            "operator",
            "operate/regions#ahead",
        ),
    )


def listed(names: Sequence[str]) -> str:
    """The names as a part of a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
