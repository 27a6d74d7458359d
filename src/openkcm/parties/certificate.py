"""A party's TLS certificate: self-signed, no authority over others, without an end that anybody must remember."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Long past, so that a machine whose clock is behind can still be reached; RFC 5280, 4.1.2.5 for the end.
_NOT_BEFORE: Final = datetime(2020, 1, 1, tzinfo=UTC)
_NOT_AFTER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def self_signed(key: Ed25519PrivateKey, *, common_name: str) -> bytes:
    """The DER of a certificate for this key that can vouch for nothing but itself (CA:FALSE)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), _NOT_BEFORE, _NOT_AFTER
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usages, critical=False)
        .sign(key, None)
        .public_bytes(Encoding.DER)
    )


def read_certificate(der: bytes) -> Ed25519PublicKey:
    """The key of a certificate that may be pinned.

    Raises:
        ValueError: it is none, not Ed25519, not signed by its own key, or an authority (a CA that is pinned would
            admit every certificate that it signs).
    """
    certificate = x509.load_der_x509_certificate(der)
    key = certificate.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("the TLS certificate's key is not Ed25519")  # noqa: TRY004 (the bytes are wrong)
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(certificate)
    except x509.ExtensionNotFound:
        raise ValueError("the TLS certificate does not say CA:FALSE") from None
    except (InvalidSignature, TypeError):
        raise ValueError("the TLS certificate is not signed by its own key") from None
    if constraints.ca:
        raise ValueError("the TLS certificate is a CA's and would admit others")
    return key
