"""The certificate of a destroyed key: what it says, made from the regions' receipts, kept, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from openkcm.kernel.db import Transaction
from openkcm.keychain.model import Key
from openkcm.parties.identity import Identity
from openkcm.parties.key_receipt import KeyReceipt, SignedKeyReceipt, read_key_receipt
from openkcm.parties.labels import Record
from openkcm.parties.pins import Pins
from openkcm.parties.signed import Signature, sign, verify
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

FORMAT: Final = 1
BACKUP_DAYS: Final = 14
"""How long backups of a region's and of control's databases, WAL included, are kept at most."""
_L2: Final = (
    "Each region named here deleted its erase secret of this tenant key from its own database, at the time in its "
    "receipt. Without it nothing opens this key there, nor what was wrapped by it alone."
)
_L3: Final = (
    (
        "Each region named here deleted every wrap of this service key from its own database, at the time in its "
        "receipt, and control deleted its own: what this key encrypted cannot be read by any running system."
    ),
    (
        "A copy of a wrap from before is opened only by the tenant key that made it; once that tenant key was rotated "
        "and destroyed too, no copy opens."
    ),
)
_ALL: Final = (
    (
        "Backups: a copy of a database from before may hold what was deleted. Such copies, write-ahead log included, "
        "are kept for 14 days at most; after the second date the last of them is gone."
    ),
    "It does not prove that nobody copied data or a key while it could be used.",
)
_ADD = """insert into key_certificates (key_id, tenant, document, signature, receipts, destroyed_at, backups_end_at,
    issued_at)
values ($1, $2, $3, $4::text::jsonb, $5::text::jsonb, $6, $7, $8) on conflict (key_id) do nothing"""
_ONE = "select document, signature::text as signature from key_certificates where tenant = $1 and key_id = $2"


class KeyCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """That one key is destroyed: in live systems since ``destroyed_at``, in backups too after ``backups_end_at``."""

    format: int = FORMAT
    tenant: str
    key_id: str
    level: str
    service: str
    version: int
    asked_by: str
    receipts: tuple[SignedKeyReceipt, ...]
    destroyed_at: datetime
    backups_end_at: datetime
    backup_days: int
    proves: tuple[str, ...]
    issued_at: datetime


class SignedKeyCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A ``KeyCertificate`` as JSON, the very bytes, signed by control (record kind ``key-certificate``)."""

    document: bytes
    signature: Signature


@dataclass(frozen=True, slots=True)
class CheckedKey:
    """A certificate whose signatures, control's and every region's, are good."""

    certificate: KeyCertificate
    receipts: tuple[KeyReceipt, ...]


def certify_key(
    identity: Identity,
    key: Key,
    receipts: Sequence[SignedKeyReceipt],
    *,
    asked_by: str,
    destroyed_at: datetime,
    now: datetime,
) -> SignedKeyCertificate:
    """The signed certificate; ``destroyed_at`` is when the last region had done it."""
    document = msgspec.json.encode(
        KeyCertificate(
            tenant=key.tenant,
            key_id=key.key_id,
            level=key.level,
            service=key.service,
            version=key.version,
            asked_by=asked_by,
            receipts=tuple(receipts),
            destroyed_at=destroyed_at,
            backups_end_at=destroyed_at + timedelta(days=BACKUP_DAYS),
            backup_days=BACKUP_DAYS,
            proves=(*((_L2,) if key.level == "L2" else _L3), *_ALL),
            issued_at=now,
        )
    )
    return SignedKeyCertificate(
        document=document, signature=sign(identity, Record.KEY_CERTIFICATE, FORMAT, document)
    )


async def add_key_certificate(tx: Transaction, signed: SignedKeyCertificate) -> None:
    """The certificate is kept for ever; the first one of a key stays."""
    made = msgspec.json.decode(signed.document, type=KeyCertificate)
    await tx.execute(
        _ADD,
        made.key_id,
        made.tenant,
        signed.document,
        msgspec.json.encode(signed.signature).decode(),
        msgspec.json.encode(made.receipts).decode(),
        made.destroyed_at,
        made.backups_end_at,
        made.issued_at,
    )


async def key_certificate_of(tx: Transaction, tenant: str, key_id: str) -> SignedKeyCertificate | None:
    """The key's certificate as it was signed, or None."""
    row = await tx.fetchrow(_ONE, tenant, key_id)
    if row is None:
        return None
    signature = msgspec.json.decode(row["signature"], type=Signature)
    return SignedKeyCertificate(document=row["document"], signature=signature)


def check_key(
    pins: Pins, signed: SignedKeyCertificate, *, tenant: str, key_id: str, now: datetime
) -> CheckedKey:
    """The certificate, which control signed, with each region's receipt, which that region signed.

    Raises:
        Permanent: PARTY_UNKNOWN, SIGNATURE_INVALID; RECORD_MISMATCH, it is another key's or contradicts itself.
    """
    verify(pins, signed.signature, Record.KEY_CERTIFICATE, FORMAT, signed.document, now=now, stored=True)
    try:
        made = msgspec.json.decode(signed.document, type=KeyCertificate)
    except msgspec.MsgspecError:
        raise _mismatch(key_id) from None
    receipts = tuple(
        read_key_receipt(pins, receipt, tenant=tenant, key_id=key_id, now=now) for receipt in made.receipts
    )
    late = any(receipt.destroyed_at > made.destroyed_at for receipt in receipts)
    good = (made.format, made.tenant, made.key_id) == (FORMAT, tenant, key_id)
    if not good or late or len({receipt.region for receipt in receipts}) != len(receipts):
        raise _mismatch(key_id)
    return CheckedKey(made, receipts)


def _mismatch(key_id: str) -> Permanent:
    return Permanent(
        Refusal.RECORD_MISMATCH,
        f"This is not the certificate of key {key_id}, or its receipts contradict it.",
        remedy=Remedy("Look for who exchanged it.", "operator", "operate/keys#destroy"),
    )
