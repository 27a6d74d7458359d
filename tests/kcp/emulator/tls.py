"""A CA of our own, certificates for the servers, and certificates for clients."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_PEM = serialization.Encoding.PEM


@dataclass
class Authority:
    """A throw-away CA, the same at every start in this folder. All certificates are valid for a day around now."""

    folder: Path

    def __post_init__(self) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kcp of a test")])
        self.ca, kept = self.folder / "ca.crt", self.folder / "ca.key"
        if kept.exists():
            held = serialization.load_pem_private_key(kept.read_bytes(), None)
            assert isinstance(held, ec.EllipticCurvePrivateKey)
            self.key = held
            return
        self.key = ec.generate_private_key(ec.SECP256R1())
        kept.touch(mode=0o600)
        kept.write_bytes(
            self.key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        certificate = self._build(self.name, self.key.public_key(), ca=True).sign(self.key, hashes.SHA256())
        self.ca.write_bytes(certificate.public_bytes(_PEM))

    def server_context(self, *, client_certificates: bool = False) -> ssl.SSLContext:
        """For a server on 127.0.0.1, ::1 and localhost; a client may show a certificate of this CA."""
        chain = self._chain(
            "server", x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kcp")]), server=True
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        if client_certificates:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def client(self, user: str, *groups: str) -> Path:
        """A file with the certificate and key of this user (CN) in these groups (O)."""
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        names.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
        return self._chain(f"client-{user}", x509.Name(names), server=False)

    def _chain(self, stem: str, subject: x509.Name, *, server: bool) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._build(subject, key.public_key(), ca=False)
        if server:
            names = [
                x509.DNSName("localhost"),
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                x509.IPAddress(ipaddress.ip_address("::1")),
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = builder.sign(self.key, hashes.SHA256())
        private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = self.folder / f"{stem}.pem"
        path.touch(mode=0o600)
        path.write_bytes(signed.public_bytes(_PEM) + private)
        return path

    def _build(
        self, subject: x509.Name, public: ec.EllipticCurvePublicKey, *, ca: bool
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
