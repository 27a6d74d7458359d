"""Whether something can prove a caller at all: looked at before it is registered. No I/O."""

from __future__ import annotations

import re
from typing import Final, TypeVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec.structs import replace

from openkcm.crypto.trust import CertificateTrust, IssuerTrust, PinnedTrust, Trust
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

__all__ = [
    "MAX_RSA_BITS",
    "MIN_RSA_BITS",
    "CertificateTrust",
    "IssuerTrust",
    "PinnedTrust",
    "Trust",
    "checked_trust",
    "has_supported_key",
    "read_certificates",
]

MAX_PEM_BYTES: Final = 16 * 1024
MAX_AUTHORITIES: Final = 8
MAX_TEXT: Final = 512
"""Characters of a name, a subject or an address."""
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)
_BEGIN: Final = re.compile(r"-----BEGIN ([^-]*)-----")
_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
_DNS: Final = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_SPIFFE: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+")
_PRINTABLE: Final = re.compile(r"[!-~]+")
_USES: Final = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


def checked_trust(trust: Trust) -> Trust:
    """What is to be registered: certificates alone, in one form, without whatever else stood in the file.

    Raises:
        Permanent: TRUST_INVALID; it could prove nobody, or it holds a private key. Its words repeat nothing of it.
    """
    match trust:
        case CertificateTrust():
            return replace(trust, authority=_authorities(trust.authority), name=_name(trust.name))
        case PinnedTrust():
            return replace(trust, certificate=_pinned(trust.certificate))
        case IssuerTrust():
            return replace(
                trust,
                issuer=_issuer(trust.issuer),
                subject=_subject(trust.subject),
                authority=_authorities(trust.authority) if trust.authority.strip() else "",
            )


def has_supported_key(certificate: x509.Certificate) -> bool:
    """Whether it is for P-256, P-384 or RSA of 2048 to 8192 bits: what is verified twice, by two libraries."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    return isinstance(key, rsa.RSAPublicKey) and MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS


def read_certificates(pem: str) -> list[x509.Certificate]:
    """The certificates of a text that holds nothing else.

    Raises:
        Permanent: TRUST_INVALID.
    """
    kinds = set(_BEGIN.findall(pem))
    if any("PRIVATE" in kind for kind in kinds):
        raise _invalid(
            "This file holds a private key. Nothing of it was kept.",
            "Give the certificate alone, and take that key as known to others: make a new one.",
        )
    if len(pem) > MAX_PEM_BYTES or not kinds or kinds - {"CERTIFICATE"}:
        raise _invalid("This is no certificate in PEM form, or more than 16 KiB.", _GIVE)
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
        for one in certificates:
            _ = one.extensions, one.public_key()
    except (ValueError, TypeError, x509.DuplicateExtension, UnicodeEncodeError):
        raise _invalid("A certificate of this text cannot be read.", _GIVE) from None
    except (UnsupportedAlgorithm, x509.UnsupportedGeneralNameType):
        raise _invalid("A certificate's key or name is of an unknown kind.", _KEYS) from None
    if not all(map(has_supported_key, certificates)):
        raise _invalid("A certificate's key is neither P-256, P-384 nor RSA of 2048 to 8192 bits.", _KEYS)
    return certificates


_GIVE: Final = "Give the certificate as text that begins with -----BEGIN CERTIFICATE-----."
_KEYS: Final = "Use a key of P-256, P-384 or RSA."


def _authorities(pem: str) -> str:
    certificates = read_certificates(pem)
    if len(certificates) > MAX_AUTHORITIES:
        raise _invalid(
            f"There are {len(certificates)} authorities; 8 are the most.", "Leave out what is not needed."
        )
    for one in certificates:
        constraints = _extension(one, x509.BasicConstraints)
        usage = _extension(one, x509.KeyUsage)
        if constraints is None or not constraints.ca or usage is None or not usage.key_cert_sign:
            raise _invalid(
                "A certificate is no authority: it says neither that it is one (CA) nor that it signs certificates "
                "(key usage keyCertSign).",
                "Give the certificate of the authority that issues your applications' certificates.",
            )
    return _pem(certificates)


def _pinned(pem: str) -> str:
    certificates = read_certificates(pem)
    if len(certificates) != 1:
        raise _invalid("A pinned caller has exactly one certificate.", "Give the application's own alone.")
    (one,) = certificates
    uses = _extension(one, x509.ExtendedKeyUsage)
    usage = _extension(one, x509.KeyUsage)
    if (uses is not None and not _USES & set(uses)) or (usage is not None and not usage.digital_signature):
        raise _invalid(
            "This certificate is not for a TLS client.",
            "Have one made with the extended key usage clientAuth (and the key usage digitalSignature).",
        )
    return _pem(certificates)


def _name(name: str) -> str:
    if _SPIFFE.fullmatch(name) if name.startswith("spiffe:") else _DNS.fullmatch(name):
        return name
    raise _invalid(
        "The name is neither a SPIFFE id nor a DNS name in small letters without a wildcard.",
        "Give it as it stands in the certificate: spiffe://domain/path, or host.example.com.",
    )


def _subject(subject: str) -> str:
    if len(subject) <= MAX_TEXT and _PRINTABLE.fullmatch(subject):
        return subject
    raise _invalid(
        "A subject has 1 to 512 printable ASCII characters without spaces.",
        "Give it as the token's claim 'sub' has it: system:serviceaccount:shop:backend.",
    )


def _issuer(issuer: str) -> str:
    try:
        url = urlsplit(issuer)
        fine = len(issuer) <= MAX_TEXT and bool(_PRINTABLE.fullmatch(issuer)) and url.port != 0
    except ValueError:
        fine, url = False, urlsplit("")
    if not fine or url.scheme != "https" or not url.hostname or url.username is not None or "@" in url.netloc:
        raise _invalid(
            "An issuer is an https address without a name or password in it.",
            "Give it as the token's claim 'iss' has it: https://kubernetes.default.svc.cluster.local.",
        )
    if url.query or url.fragment or "?" in issuer or "#" in issuer:
        raise _invalid("An issuer's address has no query and no fragment.", "Leave out what follows ? or #.")
    return issuer


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _pem(certificates: list[x509.Certificate]) -> str:
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)


def _invalid(message: str, action: str) -> Permanent:
    return Permanent(
        Refusal.TRUST_INVALID,
        message,
        remedy=Remedy(action, "owner", "reference/callers#what-proves-a-caller"),
    )
