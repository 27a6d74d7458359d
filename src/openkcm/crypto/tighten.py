"""A tightening that no number can refuse: control signs it over a nonce of this process, and it counts at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from openkcm.audit.record import Entry, record_all
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import Challenge, ChallengeItem, Tightened, TightenItem, covered_tightening
from openkcm.crypto.here import Here
from openkcm.crypto.outcomes import attempt, good
from openkcm.crypto.tightenings import Tight, tight_of, write_tight
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.parties.labels import Record
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy
from openkcm_client.names import check_name

log = get_logger(__name__)

_PAGE: Final = "reference/crypto-service#tightening"
HASH_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class _Given:
    item: TightenItem
    row: Tight


async def challenge(here: Here, items: Sequence[ChallengeItem]) -> list[Challenge | Refused]:
    """Each has a nonce, good once within 10 s, in this process alone."""
    return await attempt(items, lambda item: _give(here, item))


def _give(here: Here, item: ChallengeItem) -> Challenge:
    check_name(item.tenant, what="tenant")
    nonce = here.nonces.give(item.tenant, now=here.clock.monotonic())
    return Challenge(tenant=item.tenant, region=here.region, nonce=nonce)


async def tighten(here: Here, items: Sequence[TightenItem]) -> list[Tightened | Refused]:
    """Each is in force here and stored, whatever document this region has applied.

    Refused alone: a bad signature (SIGNATURE_INVALID, PARTY_UNKNOWN), a nonce that this process did not give out for
    this tenant within the last 10 s, or that was used (BAD_REQUEST), a tenant of which this region knows nothing
    (TENANT_UNKNOWN).
    """
    checked = await attempt(items, lambda item: _checked(here, item))
    async with transaction(Role.OWN) as tx:
        changes = await tx.fetchval("select changes from region for update")
        if changes != here.state.change:
            await here.state.catch_up(tx)
        number = int(str(changes))
        given: list[_Given] = []
        for item in good(checked):
            number += 1
            given.append(_Given(item, tight_of(item, here.root, change=number)))
        last = {(one.row.tenant, one.row.service, one.row.kind, one.row.hash): one for one in given}
        await write_tight(tx, [one.row for one in last.values()])
        await record_all(tx, [_entry(one.item) for one in given])
    here.keys.forget({one.row.tenant for one in given})
    here.state.tighten([one.row for one in last.values()])
    for one in given:
        log.warning("crypto.tightened", tenant=one.row.tenant, service=one.row.service, kind=one.row.kind)
    return await attempt(checked, _tightened)


def _checked(here: Here, item: TightenItem) -> TightenItem:
    covered = covered_tightening(item, here.region)
    here.verify(item.signature, Record.TIGHTENING, *covered, signer=item.signature.signer)
    check_name(item.tenant, what="tenant")
    if len(item.hash) != HASH_DIGITS or bytes.fromhex(item.hash).hex() != item.hash:
        raise ValueError("not a hash")
    if item.service:
        check_name(item.service, what="service")
    if not here.nonces.take(item.nonce, item.tenant, now=here.clock.monotonic()):
        raise Permanent(
            Refusal.BAD_REQUEST,
            "This nonce was not given out by this process within the last 10 s, or it was used.",
            remedy=Remedy("Ask for another one and sign anew.", "control", _PAGE),
        )
    state = here.state
    if not any(item.tenant in known for known in (state.views, state.troubled, state.marks.marks)):
        raise Permanent(
            Refusal.TENANT_UNKNOWN,
            f"This region holds nothing of a tenant '{item.tenant}', so there is nothing to stop.",
            remedy=Remedy("Check the tenant's region set.", "control", _PAGE),
        )
    return item


def _tightened(item: TightenItem) -> Tightened:
    return Tightened(
        tenant=item.tenant,
        service=item.service,
        kind=item.kind,
        epoch=item.epoch,
        generation=item.generation,
    )


def _entry(item: TightenItem) -> Entry:
    return Entry(
        chain=item.tenant,
        actor="control",
        verb=AuditVerb.TIGHTENED,
        object=item.service or item.tenant,
        detail={
            "kind": item.kind,
            "epoch": item.epoch,
            "generation": item.generation,
            "hash": item.hash,
        },
    )
