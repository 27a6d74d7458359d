"""The certificate of a crypto-shred: what it says, made from the regions' receipts, and how it is checked. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from openkcm.parties.identity import Identity
from openkcm.parties.labels import Record
from openkcm.parties.pins import Pins
from openkcm.parties.receipt import Receipt, SignedReceipt, read_receipt
from openkcm.parties.signed import Signature, sign, verify
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

FORMAT: Final = 1
BACKUP_DAYS: Final = 14
"""How long a region's database backups, WAL included, are kept at most: then the last erase secret is gone."""
PROVES: Final = (
    (
        "Each region named here deleted the erase secrets of this account's tenant keys from its own database, at the "
        "time in its receipt. Without them nothing opens those keys, nor the service keys and data keys below them: "
        "not the region's root key, and nothing that control holds."
    ),
    "Live systems: since the first date no running system of this installation can read what these keys encrypted.",
    (
        "Backups: a copy of a region's database from before may hold an erase secret. Such copies, write-ahead log "
        "included, are kept for 14 days at most; after the second date the last of them is gone."
    ),
    (
        "It does not prove that nobody copied data or a key while it could be used, nor that the operator really "
        "deleted its backups in time."
    ),
)
PROVES_NOTHING_HELD: Final = ("No region ever held a key of this account, so there was nothing to destroy.",)


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """That an account's keys are destroyed. ``destroyed_at``: in live systems; ``backups_end_at``: in backups too.

    ``receipts`` are the regions' own, of all regions that the account's keys might be in; ``proves`` is for people.
    """

    format: int = FORMAT
    tenant: str
    account_name: str
    path: str
    receipts: tuple[SignedReceipt, ...]
    destroyed_at: datetime
    backups_end_at: datetime
    backup_days: int
    proves: tuple[str, ...]
    issued_at: datetime


class SignedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A ``Certificate`` as JSON, the very bytes, signed by control (record kind ``certificate``)."""

    document: bytes
    signature: Signature


@dataclass(frozen=True, slots=True)
class Checked:
    """A certificate whose signatures, control's and every region's, are good."""

    certificate: Certificate
    receipts: tuple[Receipt, ...]


def certify(
    identity: Identity,
    *,
    tenant: str,
    account_name: str,
    path: str,
    receipts: Sequence[SignedReceipt],
    destroyed_at: datetime,
    now: datetime,
) -> SignedCertificate:
    """The signed certificate. ``destroyed_at`` is when the last region had done it.

    Raises:
        Permanent: NOT_PERMITTED; ``identity`` is not control's.
    """
    document = msgspec.json.encode(
        Certificate(
            tenant=tenant,
            account_name=account_name,
            path=path,
            receipts=tuple(receipts),
            destroyed_at=destroyed_at,
            backups_end_at=destroyed_at + timedelta(days=BACKUP_DAYS),
            backup_days=BACKUP_DAYS,
            proves=PROVES if receipts else PROVES_NOTHING_HELD,
            issued_at=now,
        )
    )
    return SignedCertificate(
        document=document, signature=sign(identity, Record.CERTIFICATE, FORMAT, document)
    )


def check(pins: Pins, signed: SignedCertificate, *, tenant: str, now: datetime) -> Checked:
    """The certificate, which control signed, with each region's receipt, which that region signed.

    Raises:
        Permanent: PARTY_UNKNOWN, SIGNATURE_INVALID; RECORD_MISMATCH, it is another tenant's or contradicts itself.
    """
    verify(pins, signed.signature, Record.CERTIFICATE, FORMAT, signed.document, now=now, stored=True)
    try:
        certificate = msgspec.json.decode(signed.document, type=Certificate)
    except msgspec.MsgspecError:
        raise _mismatch(tenant) from None
    receipts = tuple(
        read_receipt(pins, receipt, tenant=tenant, now=now, stored=True) for receipt in certificate.receipts
    )
    names = {receipt.region for receipt in receipts}
    late = any(receipt.destroyed_at > certificate.destroyed_at for receipt in receipts)
    good = certificate.format == FORMAT and certificate.tenant == tenant
    if not good or late or len(names) != len(receipts):
        raise _mismatch(tenant)
    return Checked(certificate, receipts)


def _mismatch(tenant: str) -> Permanent:
    return Permanent(
        Refusal.RECORD_MISMATCH,
        f"This is not the certificate of tenant '{tenant}', or its receipts contradict it.",
        remedy=Remedy("Look for who exchanged it.", "operator", "reference/tenants#the-certificate"),
    )
