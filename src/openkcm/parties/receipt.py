"""A region's receipt: its signed word that nothing opens a tenant's keys there any more."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec

from openkcm.parties.identity import Identity
from openkcm.parties.labels import CHANGE_DESTROY, Record
from openkcm.parties.pins import Pins
from openkcm.parties.signed import Signature, sign, verify
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm_client.enc import enc

FORMAT: Final = 1


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The erase secrets of ``tenant_keys`` are deleted in ``region``; ``service_keys`` were wrapped by these keys.

    ``change`` is the hash of the change that was carried out (``change_hash``), ``generation`` and
    ``hash`` those of the document that the region had applied then. ``pending_since`` and ``destroyed_at`` are by the
    region's database clock.
    """

    format: int = FORMAT
    tenant: str
    region: str
    change: str
    epoch: int
    generation: int
    hash: str
    tenant_keys: tuple[str, ...]
    service_keys: tuple[str, ...]
    pending_since: datetime
    destroyed_at: datetime


class SignedReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A ``Receipt`` as JSON, the very bytes, signed by its region (record kind ``receipt``)."""

    document: bytes
    signature: Signature


def change_hash(tenant: str, since: tuple[int, int], grace_s: int) -> str:
    """The hash of *destroy pending* as a change of its own: what an owner will sign once regions verify owners."""
    return sha256(enc(CHANGE_DESTROY, tenant, *since, grace_s)).hexdigest()


def sign_receipt(identity: Identity, receipt: Receipt) -> SignedReceipt:
    """The receipt with this region's signature. Raises ``Permanent`` (NOT_PERMITTED): ``identity`` is no region's."""
    document = msgspec.json.encode(receipt)
    return SignedReceipt(document=document, signature=sign(identity, Record.RECEIPT, FORMAT, document))


def read_receipt(
    pins: Pins, signed: SignedReceipt, *, tenant: str, now: datetime, stored: bool = False
) -> Receipt:
    """What the receipt says, signed by the region that it names and of the tenant that is asked for.

    Raises:
        Permanent: PARTY_UNKNOWN, SIGNATURE_INVALID; RECORD_MISMATCH, it speaks of another tenant or is none.
    """
    signature = signed.signature
    verify(pins, signature, Record.RECEIPT, FORMAT, signed.document, now=now, stored=stored)
    try:
        receipt = msgspec.json.decode(signed.document, type=Receipt)
    except msgspec.MsgspecError:
        raise _another(tenant) from None
    if (receipt.format, receipt.tenant, receipt.region) != (FORMAT, tenant, signature.signer):
        raise _another(tenant)
    return receipt


def _another(tenant: str) -> Permanent:
    return Permanent(
        Refusal.RECORD_MISMATCH,
        f"This is no receipt of its signer for tenant '{tenant}'.",
        remedy=Remedy("Look for who exchanged it.", "operator", "reference/tenants#the-certificate"),
    )
