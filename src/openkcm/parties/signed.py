"""Signatures on what outlives its connection: Ed25519 over ``enc(record, version, kind, signer, serial, items…)``."""

from __future__ import annotations

from datetime import datetime

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from openkcm.parties.identity import Identity
from openkcm.parties.labels import SIGNER, Kind, Record
from openkcm.parties.pins import Pin, Pins
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm_client.enc import enc


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """Who signed, with which version of its key, and the 64 bytes."""

    signer_kind: Kind
    signer: str
    serial: int
    sig: bytes


def sign(identity: Identity, record: Record, version: int, *items: bytes | str | int) -> Signature:
    """This party's signature on a record of that format version.

    The number of ``items`` and their types are fixed by (record, version).

    Raises:
        Permanent: NOT_PERMITTED; such a record is not signed by a party of this kind.
    """
    if SIGNER[record] != identity.kind:
        raise Permanent(Refusal.NOT_PERMITTED, f"a {identity.kind} does not sign a {record} record")
    covered = _covered(record, version, identity.kind, identity.name, identity.serial, items)
    return Signature(
        signer_kind=identity.kind,
        signer=identity.name,
        serial=identity.serial,
        sig=identity.signing.sign(covered),
    )


def verify(
    pins: Pins,
    signature: Signature,
    record: Record,
    version: int,
    *items: bytes | str | int,
    now: datetime,
    signer: str | None = None,
    stored: bool = False,
) -> Pin:
    """The pinned party that signed exactly this record.

    ``signer`` is the name that has to have signed, where the record says one. ``stored`` is for what this process
    accepted or made before and loads again: then a key whose time is over still counts.

    Raises:
        Permanent: PARTY_UNKNOWN; nobody of that kind, name and serial is pinned, or may sign any more.
            SIGNATURE_INVALID; another kind of party or another name than has to sign, or the signature is not over
            this.
    """
    if signature.signer_kind != SIGNER[record] or (signer is not None and signature.signer != signer):
        raise _invalid(record, signature)
    pin = pins.by_version(signature.signer_kind, signature.signer, signature.serial)
    if pin is None or not (stored or pin.accepted(now=now)):
        raise Permanent(
            Refusal.PARTY_UNKNOWN,
            f"{signature.signer_kind} {signature.signer} (key {signature.serial}) is not pinned as one that signs "
            f"{'or signed' if stored else 'now'}",
            remedy=Remedy(
                "Compare the pins with the party's own fingerprints.",
                "operator",
                "reference/trust-domains#pins",
            ),
        )
    covered = _covered(record, version, signature.signer_kind, signature.signer, signature.serial, items)
    try:
        Ed25519PublicKey.from_public_bytes(pin.signing).verify(signature.sig, covered)
    except InvalidSignature:
        raise _invalid(record, signature) from None
    return pin


def _covered(
    record: Record, version: int, kind: str, name: str, serial: int, items: tuple[bytes | str | int, ...]
) -> bytes:
    return enc(record, version, kind, name, serial, *items)


def _invalid(record: Record, signature: Signature) -> Permanent:
    return Permanent(
        Refusal.SIGNATURE_INVALID,
        f"the {record} record is not validly signed by {signature.signer_kind} {signature.signer}",
    )
