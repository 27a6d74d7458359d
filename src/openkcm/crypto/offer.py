"""The receiver's first half of a hand-over: a one-time key for one tenant, key and generation, signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from os import urandom
from typing import Final

from msgspec.structs import replace

from openkcm.crypto import labels
from openkcm.crypto.contract import Offer, OfferItem
from openkcm.crypto.covered import covered_offer
from openkcm.crypto.here import Here
from openkcm.crypto.hierarchy import KEY_ID_BYTES
from openkcm.crypto.outcomes import attempt, good
from openkcm.crypto.store import OFFER_LIFE_S, KeptOffer, add_offers
from openkcm.kernel.db import Role, transaction
from openkcm.parties.labels import Record
from openkcm.parties.sealed import SealingKey
from openkcm.parties.signed import Signature
from openkcm.sdk.refusals import Permanent, Refusal, Refused

LIFE_S: Final = OFFER_LIFE_S
_UNSIGNED = Signature(signer_kind="region", signer="", serial=1, sig=b"")


@dataclass(frozen=True, slots=True)
class _Made:
    offer: Offer
    kept: KeptOffer


async def offer(here: Here, items: Sequence[OfferItem]) -> list[Offer | Refused]:
    """A one-time key waits for 60 s in this region's own database, sealed, for one sender's hand-over.

    Refused alone: another generation than the applied one, sender or receiver not in the tenant's set, sender not
    pinned, tenant blocked.
    """
    made = await attempt(items, lambda item: _make(here, item))
    if good(made):
        async with transaction(Role.OWN) as tx:
            await add_offers(tx, [one.kept for one in good(made)])
    return await attempt(made, lambda one: one.offer)


def _make(here: Here, item: OfferItem) -> _Made:
    view = here.at(item.tenant, item.generation)
    here.check_sibling(view, item.sender)
    key_id = read_key_id(item.key_id)
    key, offer_id = SealingKey.generate(), urandom(16)
    bare = Offer(
        tenant=item.tenant,
        key_id=item.key_id,
        generation=item.generation,
        receiver=here.region,
        sender=item.sender,
        offer_id=offer_id.hex(),
        public=key.public,
        signature=_UNSIGNED,
    )
    kept = KeptOffer(
        offer_id=offer_id,
        tenant=item.tenant,
        key_id=key_id,
        generation=item.generation,
        sender=item.sender,
        root_version=here.root.current.version,
        sealed=here.root.current.seal(labels.OFFER, key.to_bytes(), *_context(bare)),
        expires_at=here.clock.now() + timedelta(seconds=LIFE_S),
    )
    return _Made(replace(bare, signature=here.sign(Record.OFFER, *covered_offer(bare))), kept)


def open_offer(here: Here, kept: KeptOffer) -> SealingKey:
    """The private half of an offer that was taken out of the database.

    Raises:
        Permanent: RECORD_MISMATCH; its row was changed meanwhile.
    """
    context = (kept.offer_id.hex(), kept.tenant, kept.key_id.hex(), kept.generation, kept.sender)
    return SealingKey(here.root.sealing(kept.root_version).open(labels.OFFER, kept.sealed, *context))


def read_key_id(text: str) -> bytes:
    """The 16 bytes of a key id.

    Raises:
        Permanent: BAD_REQUEST.
    """
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != KEY_ID_BYTES or raw.hex() != text:
        raise Permanent(Refusal.BAD_REQUEST, "A key id has 32 lower-case hex digits.")
    return raw


def _context(offer: Offer) -> tuple[str | int, ...]:
    return (offer.offer_id, offer.tenant, offer.key_id, offer.generation, offer.sender)
