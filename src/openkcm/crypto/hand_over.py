"""The holder's half of a hand-over: its L2, sealed to the receiver's one-time key and signed."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from openkcm.crypto.contract import HandOver, HandOverItem
from openkcm.crypto.covered import covered_hand_over, covered_offer
from openkcm.crypto.here import Here
from openkcm.crypto.kept import Kept
from openkcm.crypto.l2_wraps import opened
from openkcm.crypto.offer import read_key_id
from openkcm.crypto.outcomes import attempt, good
from openkcm.crypto.store import read_keys
from openkcm.crypto.view import not_in_set
from openkcm.kernel.db import Role, transaction
from openkcm.parties.labels import Record, Sealed
from openkcm.parties.sealed import seal
from openkcm.parties.signed import Signature
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy

_UNSIGNED = Signature(signer_kind="region", signer="", serial=1, sig=b"")


async def hand_over(here: Here, items: Sequence[HandOverItem]) -> list[HandOver | Refused]:
    """The L2 of each offer is sealed to its receiver, which is pinned and in the tenant's set, as this region is.

    Refused alone: an offer that its receiver did not sign, or that was made for another sender, key or generation;
    a tenant that is blocked, suspended or cut off, also if it came to be so meanwhile; a key that is not this tenant's
    L2 here (KEY_UNKNOWN), or is to be destroyed (KEY_STATE).
    """
    checked = await attempt(items, lambda item: _checked(here, item))
    ids = [read_key_id(item.offer.key_id) for item in good(checked)]
    stored: dict[bytes, Kept] = {}
    if ids:
        async with transaction(Role.OWN) as tx:
            stored = await read_keys(tx, ids)
    views = here.state.views
    l2s = await here.roots.open_all(
        (views[kept.tenant], kept) for kept in stored.values() if kept.level == "L2" and kept.tenant in views
    )
    return await attempt(checked, lambda item: _sealed(here, item, stored, l2s))


def _checked(here: Here, item: HandOverItem) -> HandOverItem:
    offer = item.offer
    view = here.at(offer.tenant, offer.generation)
    if offer.sender != here.region:
        raise not_in_set(offer.tenant, offer.sender)
    here.check_sibling(view, offer.receiver)
    here.verify(offer.signature, Record.OFFER, *covered_offer(offer), signer=offer.receiver)
    named = view.keys.get(read_key_id(offer.key_id))
    if named is not None and named.destroy is not None:
        raise Permanent(
            Refusal.KEY_STATE,
            f"Key {offer.key_id} of tenant '{offer.tenant}' is to be destroyed, so it is given to nobody.",
            remedy=Remedy("Keep it first, if it is still needed.", "owner", "operate/keys#destroy"),
        )
    return item


def _sealed(
    here: Here, item: HandOverItem, stored: dict[bytes, Kept], l2s: dict[bytes, bytes | Refused]
) -> HandOver:
    offer = item.offer
    here.roots.allowed.check(here.at(offer.tenant, offer.generation))  # as it is now: others were waited for
    kept = stored.get(read_key_id(offer.key_id))
    if kept is None or kept.tenant != offer.tenant or kept.level != "L2":
        raise Permanent(
            Refusal.KEY_UNKNOWN,
            f"This region holds no tenant key {offer.key_id} of tenant '{offer.tenant}'.",
            remedy=Remedy("Ask the region that minted it.", "control", "reference/crypto-service#hand-over"),
        )
    bare = HandOver(
        offer_id=offer.offer_id,
        tenant=offer.tenant,
        key_id=offer.key_id,
        generation=offer.generation,
        sender=here.region,
        receiver=offer.receiver,
        sealed=b"",
        signature=_UNSIGNED,
    )
    sealed = seal(opened(l2s, kept.key_id), offer.public, Sealed.HAND_OVER, *covered_hand_over(bare)[:-1])
    bare = replace(bare, sealed=sealed)
    return replace(bare, signature=here.sign(Record.HAND_OVER, *covered_hand_over(bare)))
