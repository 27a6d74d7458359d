"""A decision comes to every region; one that does not take it is tightened as it says, over that region's nonces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from openkcm.crypto.contract import (
    FORMAT,
    ChallengeItem,
    Regions,
    Tightening,
    TightenItem,
    covered_tightening,
)
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.parties.identity import Identity
from openkcm.parties.labels import Record
from openkcm.parties.signed import Signature, sign
from openkcm.propagation.deliver import last_decided
from openkcm.propagation.model import Decided
from openkcm.propagation.store import observed_of
from openkcm.sdk.refusals import Refusal, Refused

log = get_logger(__name__)

_UNSIGNED = Signature(signer_kind="control", signer="", serial=1, sig=b"")
_AWAY = (Refusal.REGION_UNAVAILABLE.value, Refusal.REGION_UNKNOWN.value)


@dataclass(frozen=True, slots=True)
class _Word:
    service: str
    kind: Tightening


async def tighten_refused(regions: Regions, identity: Identity, tenant: str) -> Sequence[str]:
    """The regions that refused the newest document now do what it restricts; returned are those that do not yet.

    A region that does not answer is left to the next delivery. What the document does not restrict is not loosened.
    """
    decided = await last_decided(tenant)
    words = list(_words(decided))
    async with transaction(Role.APP, tenant) as tx:
        observed = await observed_of(tx, tenant)
    refusing = [
        each.region
        for each in observed
        if each.refusal is not None and each.refusal not in _AWAY and each.region in decided.desired.regions
    ]
    if not words or not refusing:
        return ()
    done = await asyncio.gather(*(_tighten(regions, identity, decided, name, words) for name in refusing))
    return [name for name, tightened in zip(refusing, done, strict=True) if not tightened]


def _words(decided: Decided) -> Iterator[_Word]:
    if decided.desired.access != "active":
        yield _Word("", decided.desired.access)
    for service in decided.desired.services:
        yield _Word(service.name, service.access)


async def _tighten(
    regions: Regions, identity: Identity, decided: Decided, name: str, words: Sequence[_Word]
) -> bool:
    try:
        region = regions.get(name)
        for word in words:
            given = await region.challenge(ChallengeItem(tenant=decided.tenant))
            bare = TightenItem(
                tenant=decided.tenant,
                service=word.service,
                kind=word.kind,
                epoch=decided.epoch,
                generation=decided.generation,
                hash=decided.hash,
                nonce=given.nonce,
                signature=_UNSIGNED,
            )
            covered = covered_tightening(bare, name)
            signed = replace(bare, signature=sign(identity, Record.TIGHTENING, FORMAT, *covered))
            await region.tighten(signed)
    except Refused as refused:
        log.critical("propagation.not_tightened", tenant=decided.tenant, region=name, refusal=refused.refusal)
        return False
    log.warning("propagation.tightened", tenant=decided.tenant, region=name, generation=decided.generation)
    return True
