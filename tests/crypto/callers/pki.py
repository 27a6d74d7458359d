"""Authorities and the certificates that they issue: as an operator's tools make them, and as somebody hostile does."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SPIFFE = "spiffe://shop.example/ns/prod/sa/backend"
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    key: Key
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def files(self, directory: Path, name: str, *chain: Issued) -> tuple[Path, Path]:
        """PEM files of certificate (with what follows it) and key."""
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate.write_text(self.pem + "".join(one.pem for one in chain))
        key.write_text(self.key_pem)
        return certificate, key


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Authority:
    """One that signs certificates. Another with the same ``name`` looks the same, and has another key."""

    name: str = "Shop CA"
    key: CertificateIssuerPrivateKeyTypes = field(default_factory=new_key)
    signed_by: Authority | None = None
    signs: bool = True
    #: The key identifier that it claims; None: its own key's.
    key_id: bytes | None = None
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        name = _name(self.name)
        issuer = self.signed_by or self
        builder = (
            x509.CertificateBuilder(
                _name(issuer.name), name, self.key.public_key(), x509.random_serial_number(), *_days(-1, 30)
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(self._identifier(), critical=False)
        )
        if self.signs:
            builder = builder.add_extension(_usage(signs=True), critical=True)
        if self.signed_by is not None:
            builder = builder.add_extension(issuer.named(), critical=False)
        self.certificate = builder.sign(issuer.key, hashes.SHA256())

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def named(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier())

    def issue(
        self,
        *names: str,
        key: Key | None = None,
        days: tuple[float, float] = (-1, 30),
        uses: Sequence[x509.ObjectIdentifier] = (
            ExtendedKeyUsageOID.CLIENT_AUTH,
            ExtendedKeyUsageOID.SERVER_AUTH,
        ),
        subject: str = "an application",
    ) -> Issued:
        """A certificate for these names, each a SPIFFE id or other URI, a DNS name, or an address."""
        key = key or new_key()
        builder = (
            x509.CertificateBuilder(
                self.certificate.subject,
                _name(subject),
                key.public_key(),
                x509.random_serial_number(),
                *_days(*days),
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(self.named(), critical=False)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(list(uses)), critical=False)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_alternative(one) for one in names]), critical=False
            )
        return Issued(key, builder.sign(self.key, hashes.SHA256()))

    def _identifier(self) -> x509.SubjectKeyIdentifier:
        if self.key_id is not None:
            return x509.SubjectKeyIdentifier(self.key_id)
        return x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())


def look_alike(of: Authority) -> Authority:
    """An authority with the same name and key identifier as another's, and a key of its own."""
    return Authority(of.name, key_id=of.named().key_identifier)


def client_context(server: Authority, shown: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """How an application dials: it believes that authority of the door, and shows its certificate."""
    context = ssl.create_default_context(cadata=server.pem)
    if shown is not None:
        context.load_cert_chain(*shown)
    return context


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _days(begin: float, end: float) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return now + timedelta(days=begin), now + timedelta(days=end)


def _alternative(name: str) -> x509.GeneralName:
    if ":" in name:
        return x509.UniformResourceIdentifier(name)
    if name.replace(".", "").isdigit():
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
