"""A party's own secrets: a signing, a sealing and a TLS key in one file that only its owner reads.

Independent of any root and any database; made once by ``--enrol``, kept off-host by the operator, replaced by a new
one with a higher serial.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from openkcm.parties.certificate import read_certificate, self_signed
from openkcm.parties.labels import Kind
from openkcm.parties.pins import Pin
from openkcm.parties.private_file import create_private, read_private
from openkcm.parties.sealed import SealingKey
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm_client.errors import BadName
from openkcm_client.names import check_name

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One version of a party, with its private keys. ``tls_certificate`` is DER."""

    kind: Kind
    name: str
    serial: int
    signing: Ed25519PrivateKey = field(repr=False)
    sealing: SealingKey = field(repr=False)
    tls_key: Ed25519PrivateKey = field(repr=False)
    tls_certificate: bytes = field(repr=False)

    @property
    def pin(self) -> Pin:
        """The public part, as others pin it while it signs."""
        return Pin(
            kind=self.kind,
            name=self.name,
            serial=self.serial,
            signing=self.signing.public_key().public_bytes_raw(),
            sealing=self.sealing.public,
            tls_certificate=self.tls_certificate,
        )


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    kind: Kind
    name: str
    serial: int
    signing: bytes
    sealing: bytes
    tls_key: bytes
    tls_certificate: bytes


def enrol(path: Path, name: str, kind: Kind, *, serial: int = 1) -> Identity:
    """A new identity, durable in a new file of mode 0600 that was there either whole or not at all.

    Raises:
        Permanent: IDENTITY_EXISTS; the file is there, and is never overwritten. SETTING_INVALID; the name does not
            have the form of a name, or the serial is not positive. IDENTITY_UNREADABLE; the file cannot be written.
    """
    try:
        _check(name, kind, serial)
    except ValueError as wrong:
        raise Permanent(Refusal.SETTING_INVALID, str(wrong)) from wrong
    tls_key = Ed25519PrivateKey.generate()
    identity = Identity(
        kind=kind,
        name=name,
        serial=serial,
        signing=Ed25519PrivateKey.generate(),
        sealing=SealingKey.generate(),
        tls_key=tls_key,
        tls_certificate=self_signed(tls_key, common_name=f"openkcm {kind} {name} {serial}"),
    )
    content = _File(
        format=_FORMAT,
        kind=kind,
        name=name,
        serial=serial,
        signing=identity.signing.private_bytes_raw(),
        sealing=identity.sealing.to_bytes(),
        tls_key=tls_key.private_bytes_raw(),
        tls_certificate=identity.tls_certificate,
    )
    create_private(path, msgspec.json.encode(content))
    return identity


def load_identity(path: Path) -> Identity:
    """The identity of this file, whose keys belong together.

    Raises:
        Permanent: FILE_MODE; it is not a plain file of mode 0600 (or less) and this process's own user.
            IDENTITY_UNREADABLE; it is not there, or not what ``enrol`` wrote.
    """
    try:
        content = msgspec.json.decode(read_private(path, what="identity file"), type=_File)
        if content.format != _FORMAT:
            raise ValueError("another format")
        _check(content.name, content.kind, content.serial)
        tls_key = Ed25519PrivateKey.from_private_bytes(content.tls_key)
        if read_certificate(content.tls_certificate) != tls_key.public_key():
            raise ValueError("the certificate belongs to another key")
        return Identity(
            kind=content.kind,
            name=content.name,
            serial=content.serial,
            signing=Ed25519PrivateKey.from_private_bytes(content.signing),
            sealing=SealingKey(content.sealing),
            tls_key=tls_key,
            tls_certificate=content.tls_certificate,
        )
    except (msgspec.MsgspecError, ValueError):
        # Not chained: a decoder's message may quote what it read, and that is key material.
        raise Permanent(
            Refusal.IDENTITY_UNREADABLE,
            f"the identity file {path} is damaged or was not written by --enrol",
            remedy=Remedy(
                "Restore the file from its off-host copy.", "operator", "reference/trust-domains#identities"
            ),
        ) from None


def _check(name: str, kind: str, serial: int) -> None:
    try:
        check_name(name, what="party")
    except BadName as wrong:
        raise ValueError(str(wrong)) from wrong
    if kind not in get_args(Kind) or not 1 <= serial < 2**63:
        raise ValueError("a party is a control or a region, with a serial of 1 or more")
