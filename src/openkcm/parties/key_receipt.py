"""A region's receipt of one key: its signed word that nothing opens this key there any more.

A record of its own kind, so that no receipt of a key ever stands for the end of its whole tenant.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec

from openkcm.parties.identity import Identity
from openkcm.parties.labels import CHANGE_DESTROY_KEY, Record
from openkcm.parties.pins import Pins
from openkcm.parties.signed import Signature, sign, verify
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm_client.enc import enc

FORMAT: Final = 1


class KeyReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What opened key ``key_id`` is deleted in ``region``: its wraps, and for an L2 its erase secret.

    ``change`` is the hash of the change that was carried out (``key_change_hash``), ``generation`` and ``hash`` are
    those of the document that the region had applied then. Both times are by the region's database clock.
    """

    format: int = FORMAT
    tenant: str
    region: str
    key_id: str
    level: str
    change: str
    epoch: int
    generation: int
    hash: str
    pending_since: datetime
    destroyed_at: datetime


class SignedKeyReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A ``KeyReceipt`` as JSON, the very bytes, signed by its region (record kind ``key-receipt``)."""

    document: bytes
    signature: Signature


def key_change_hash(tenant: str, key_id: str, since: tuple[int, int], wait_s: int) -> str:
    """The hash of a key's *destroy pending* as a change of its own, as ``receipt.change_hash`` is of a tenant's."""
    return sha256(enc(CHANGE_DESTROY_KEY, tenant, key_id, *since, wait_s)).hexdigest()


def sign_key_receipt(identity: Identity, receipt: KeyReceipt) -> SignedKeyReceipt:
    """The receipt with this region's signature. Raises ``Permanent`` (NOT_PERMITTED): ``identity`` is no region's."""
    document = msgspec.json.encode(receipt)
    return SignedKeyReceipt(document=document, signature=sign(identity, Record.KEY_RECEIPT, FORMAT, document))


def read_key_receipt(
    pins: Pins, signed: SignedKeyReceipt, *, tenant: str, key_id: str = "", now: datetime
) -> KeyReceipt:
    """What the receipt says, signed by the region that it names, of this tenant and, where one is named, of this key.

    A receipt is kept and read again, so one by a key that signs no more still counts.

    Raises:
        Permanent: PARTY_UNKNOWN, SIGNATURE_INVALID; RECORD_MISMATCH, it speaks of something else or is none.
    """
    verify(pins, signed.signature, Record.KEY_RECEIPT, FORMAT, signed.document, now=now, stored=True)
    try:
        receipt = msgspec.json.decode(signed.document, type=KeyReceipt)
    except msgspec.MsgspecError:
        raise _another(tenant) from None
    said = (receipt.format, receipt.tenant, receipt.region, receipt.key_id)
    if said != (FORMAT, tenant, signed.signature.signer, key_id or receipt.key_id):
        raise _another(tenant)
    return receipt


def _another(tenant: str) -> Permanent:
    return Permanent(
        Refusal.RECORD_MISMATCH,
        f"This is no receipt of its signer for this key of tenant '{tenant}'.",
        remedy=Remedy("Look for who exchanged it.", "operator", "operate/keys#destroy"),
    )
