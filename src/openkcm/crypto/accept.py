"""The receiver's second half of a hand-over: opened, compared with the statement, wrapped anew, proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from openkcm.crypto import hierarchy
from openkcm.crypto.contract import Accepted, AcceptItem, KeyRecord, Statement
from openkcm.crypto.covered import covered_hand_over, covered_statement, covered_wrap
from openkcm.crypto.here import Here
from openkcm.crypto.kept import Kept, keep
from openkcm.crypto.l2_wraps import by
from openkcm.crypto.l2_wraps import opened as opened_l2
from openkcm.crypto.offer import open_offer, read_key_id
from openkcm.crypto.outcomes import attempt, attempt_all, good
from openkcm.crypto.store import KeptOffer, add_keys, read_keys, take_offers
from openkcm.crypto.view import View, not_in_set
from openkcm.kernel.db import Role, transaction
from openkcm.parties.labels import Record, Sealed
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy, Temporary

_PAGE = "reference/crypto-service#hand-over"


@dataclass(frozen=True, slots=True)
class _Unsealed:
    item: AcceptItem
    view: View
    l2: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Wrapped:
    item: AcceptItem
    l2: bytes = field(repr=False)
    kept: Kept


@dataclass(frozen=True, slots=True)
class _Opened:
    keys: list[Kept]


async def accept(here: Here, items: Sequence[AcceptItem]) -> list[Accepted | Refused]:
    """The L2 and its L3s are stored here, read back, opened and compared; each offer is used up, whatever came of it.

    Refused alone: an offer that is unknown, used or older than 60 s (HANDOVER_EXPIRED); a sender or minter that is not
    pinned or not in the set; a bad signature; records that do not belong together, or a key that is not the one
    its statement commits to (RECORD_MISMATCH, SIGNATURE_INVALID, CIPHERTEXT_INVALID); a root key that does not wrap or
    unwrap (KEY_STORE_*).
    """
    seen: set[str] = set()
    checked = await attempt(items, lambda item: _checked(here, item, seen))
    async with transaction(Role.OWN) as tx:
        ids = [read_key_id(item.hand_over.offer_id) for item in good(checked)]
        offers = await take_offers(tx, ids, now=here.clock.now())
        there = [read_key_id(known) for item in good(checked) for known in _known(here, item)]
        held = await read_keys(tx, there) if there else {}
    unsealed = await attempt(checked, lambda item: _unseal(here, item, offers))
    wrapped = await attempt_all(unsealed, lambda one: _wrap(here, one))
    opened = await attempt(wrapped, lambda one: _with_services(here, one, held))
    async with transaction(Role.OWN) as tx:
        await add_keys(tx, [key for one in good(opened) for key in one.keys])
    async with transaction(Role.OWN) as tx:
        stored = await read_keys(
            tx,
            [key.key_id for one in good(opened) for key in one.keys],
            under=[one.keys[0].key_id for one in good(opened)],
        )
    views = here.state.views
    heads = [stored[one.keys[0].key_id] for one in good(opened) if one.keys[0].key_id in stored]
    l2s = await here.roots.open_all((views[kept.tenant], kept) for kept in heads if kept.tenant in views)
    return await attempt(opened, lambda one: _proven(here, one, stored, l2s))


def _checked(here: Here, item: AcceptItem, seen: set[str]) -> AcceptItem:
    given = item.hand_over
    view = here.at(given.tenant, given.generation)
    if given.receiver != here.region:
        raise not_in_set(given.tenant, given.receiver)
    here.check_sibling(view, given.sender)
    here.verify(given.signature, Record.HAND_OVER, *covered_hand_over(given), signer=given.sender)
    read_key_id(given.offer_id)
    if item.statement.level != "L2" or item.statement.key_id != given.key_id or item.statement.service:
        raise hierarchy.mismatch("The statement of the key that was handed over")
    _check_statement(here, view, item.statement)
    known = _known(here, item)
    for record in item.services:
        check_service(here, view, record, given.key_id, known=record.statement.key_id in known)
    ids = {given.offer_id, given.key_id, *(record.statement.key_id for record in item.services)}
    if not seen.isdisjoint(ids):
        raise Temporary(
            Refusal.UNAVAILABLE,
            f"Key {given.key_id} is just being handed over to this region.",
            remedy=Remedy("Ask again; one hand-over of a key at a time is taken.", "control", _PAGE),
            retry_after_s=0.2,
        )
    seen |= ids
    return item


def _known(here: Here, item: AcceptItem) -> set[str]:
    """The L3s that this region's document names already: a new L2 is to wrap them, and what was accepted stands."""
    view = here.state.view(item.hand_over.tenant)
    return {one.statement.key_id for one in item.services if read_key_id(one.statement.key_id) in view.keys}


def _check_statement(here: Here, view: View, statement: Statement) -> None:
    signer = statement.signature.signer
    if statement.tenant != view.tenant or statement.algorithm != hierarchy.ALGORITHM:
        raise hierarchy.mismatch(f"The statement of key {statement.key_id}")
    read_key_id(statement.key_id)
    if signer not in view.desired.regions:
        raise not_in_set(view.tenant, signer)
    here.verify(statement.signature, Record.STATEMENT, *covered_statement(statement), signer=signer)


def check_service(here: Here, view: View, record: KeyRecord, l2_id: str, *, known: bool = False) -> None:
    """The record is of an L3 of this tenant, wrapped by this L2, signed by regions of its set.

    The statement of one that is ``known`` is left to who compares it with what was accepted before: its signer may
    be no party any more.

    Raises:
        Permanent: RECORD_MISMATCH, REGION_NOT_IN_SET, PARTY_UNKNOWN, SIGNATURE_INVALID, BAD_REQUEST.
    """
    statement, wrap = record.statement, record.wrap
    if statement.level != "L3" or wrap.key_id != statement.key_id or wrap.parent != l2_id or wrap.holder:
        raise hierarchy.mismatch(f"The record of key {statement.key_id}")
    if (wrap.algorithm, wrap.parent_version, len(wrap.blob)) != (
        hierarchy.ALGORITHM,
        0,
        hierarchy.WRAP_BYTES,
    ):
        raise hierarchy.mismatch(f"The wrap of key {statement.key_id}")
    if not known:
        _check_statement(here, view, statement)
    if wrap.signature.signer not in view.desired.regions:
        raise not_in_set(view.tenant, wrap.signature.signer)
    here.verify(wrap.signature, Record.WRAP, *covered_wrap(wrap), signer=wrap.signature.signer)


def _unseal(here: Here, item: AcceptItem, offers: dict[bytes, KeptOffer]) -> _Unsealed:
    given = item.hand_over
    kept = offers.get(read_key_id(given.offer_id))
    if kept is None:
        raise Permanent(
            Refusal.HANDOVER_EXPIRED,
            "This region has no such offer any more: it was used, or is older than 60 s.",
            remedy=Remedy("Begin the hand-over anew with another offer.", "control", _PAGE),
        )
    offered = (kept.tenant, kept.key_id.hex(), kept.generation, kept.sender)
    if offered != (given.tenant, given.key_id, given.generation, given.sender):
        raise hierarchy.mismatch("The offer of this hand-over")
    l2 = open_offer(here, kept).open(given.sealed, Sealed.HAND_OVER, *covered_hand_over(given)[:-1])
    return _Unsealed(item, here.state.view(given.tenant), l2)


async def _wrap(here: Here, one: _Unsealed) -> _Wrapped:
    kept = await by(here, one.view, one.item.connection, one.item.statement, one.l2)
    return _Wrapped(one.item, one.l2, kept)


def _with_services(here: Here, one: _Wrapped, held: dict[bytes, Kept]) -> _Opened:
    item = one.item
    keys = [one.kept, *(keep(service, here.root.current) for service in item.services)]
    known = _known(here, item)
    for key in keys[1:]:
        there = held.get(key.key_id)
        if key.key_id.hex() in known and (there is None or not there.same_statement(key)):
            raise hierarchy.mismatch(f"The statement of key {key.key_id.hex()}")
    l2 = one.kept.l2_from(here.root, one.l2) if item.connection else one.kept.open_l2(here.root)
    _prove(here, keys, l2)  # before anything is stored: a substituted key leaves no row
    return _Opened(keys)


def _proven(
    here: Here, one: _Opened, stored: dict[bytes, Kept], l2s: dict[bytes, bytes | Refused]
) -> Accepted:
    keys = [stored[key.key_id] for key in one.keys if key.key_id in stored]
    if len(keys) != len(one.keys):
        raise hierarchy.mismatch("What was handed over")
    # A key that was here before is left as it was; then it has to be the same key, which its commitment tells.
    if not all(key.same_statement(given) for key, given in zip(keys, one.keys, strict=True)):
        raise hierarchy.mismatch("What was handed over")
    _prove(here, keys, opened_l2(l2s, keys[0].key_id))
    return Accepted(tenant=keys[0].tenant, wrap=keys[0].record().wrap)


def _prove(here: Here, keys: list[Kept], l2: bytes) -> None:
    for key in keys[1:]:
        key.open_l3(here.root, l2, keys[0].key_id)
