"""Pins as they stand in a process's settings file, and back."""

from __future__ import annotations

import re
import ssl
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable
from datetime import date

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from openkcm.parties.certificate import read_certificate
from openkcm.parties.labels import Kind
from openkcm.parties.pins import Pin, Pins
from openkcm.parties.sealed import read_public
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm_client.errors import BadName
from openkcm_client.names import check_name

_UNTIL = re.compile(r"accepted-until (\d{4}-\d{2}-\d{2})")


class PinSetting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[parties.pins]]`` table, as ``openkcm … --enrol`` prints it.

    ``standing`` is ``signs-now``, ``accepted-until YYYY-MM-DD`` or ``old-signatures``; keys are base64, the
    certificate is PEM, its SHA-256 hex.
    """

    kind: Kind
    name: str
    serial: int
    signing: str
    sealing: str
    tls_certificate: str
    tls_sha256: str
    standing: str = "signs-now"


class PartiesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """This process's own identity file and the parties that it believes."""

    identity: str = ""
    """Path of this process's identity file, as ``--enrol`` made it; mode 0600."""
    pins: tuple[PinSetting, ...] = ()
    """The parties that this process believes: ``[[parties.pins]]`` tables of its TOML file, as ``--enrol`` prints."""


def read_pins(settings: Iterable[PinSetting]) -> Pins:
    """The pins of a settings file, each of them whole and none of them twice.

    Raises:
        Permanent: PIN_INVALID; names the pin and what is wrong with it.
    """
    return Pins([read_pin(setting) for setting in settings])


def read_pin(setting: PinSetting) -> Pin:
    """The pin that one table describes.

    Raises:
        Permanent: PIN_INVALID; a name, key, certificate, hash or standing is malformed.
    """
    try:
        return _read(setting)
    except (ValueError, NotBase64, BadName) as wrong:
        raise Permanent(
            Refusal.PIN_INVALID,
            f"the pin of {setting.kind} {setting.name!r}, serial {setting.serial}, is malformed: {wrong}",
            remedy=Remedy(
                "Paste the pin again as --enrol printed it.",
                "operator",
                reference="reference/trust-domains#pins",
            ),
        ) from wrong


def pin_toml(pin: Pin) -> str:
    """The ``[[parties.pins]]`` table to paste into another process's settings file."""
    standing = f"accepted-until {pin.until.isoformat()}" if pin.until else pin.standing
    return "\n".join(
        (
            "[[parties.pins]]",
            f'kind = "{pin.kind}"',
            f'name = "{pin.name}"',
            f"serial = {pin.serial}",
            f'standing = "{standing}"',
            f'signing = "{b64encode(pin.signing).decode()}"',
            f'sealing = "{b64encode(pin.sealing).decode()}"',
            f'tls_sha256 = "{pin.tls_sha256.hex()}"',
            f'tls_certificate = """\n{ssl.DER_cert_to_PEM_cert(pin.tls_certificate)}"""\n',
        )
    )


def _read(setting: PinSetting) -> Pin:
    standing, until = setting.standing, None
    if (dated := _UNTIL.fullmatch(standing)) is not None:
        standing, until = "accepted-until", date.fromisoformat(dated[1])
    if standing not in {"signs-now", "old-signatures"} and until is None:
        raise ValueError("standing is signs-now, accepted-until YYYY-MM-DD or old-signatures")
    if not 1 <= setting.serial < 2**63:
        raise ValueError("a serial is 1 or more")
    pin = msgspec.convert(
        {
            "kind": setting.kind,
            "name": check_name(setting.name, what="party"),
            "serial": setting.serial,
            "signing": b64decode(setting.signing, validate=True),
            "sealing": b64decode(setting.sealing, validate=True),
            "tls_certificate": ssl.PEM_cert_to_DER_cert(setting.tls_certificate.strip()),
            "standing": standing,
            "until": until,
        },
        Pin,
    )
    Ed25519PublicKey.from_public_bytes(pin.signing)
    read_public(pin.sealing)
    read_certificate(pin.tls_certificate)
    if pin.tls_sha256.hex() != setting.tls_sha256.lower():
        raise ValueError("tls_sha256 is not the hash of tls_certificate")
    return pin
