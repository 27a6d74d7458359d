"""Whether a connection's client certificate is that of one registered caller."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hmac import compare_digest
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from openkcm.crypto.callers.peer import Peer
from openkcm.crypto.callers.proof import ProofFailed, Why
from openkcm.crypto.trust import CertificateTrust, PinnedTrust
from openkcm.crypto.trust_checked import has_supported_key

MOST_BETWEEN: Final = 4
"""Authorities between a certificate and its registered authority."""
_MOST_SENT: Final = 8


def check_issued(trust: CertificateTrust, peer: Peer, *, now: datetime) -> datetime:
    """When the certificate ends, which this caller's own authority issued to exactly its name.

    Raises:
        ProofFailed: it is another's, or none.
    """
    leaf = _read(peer.certificate)
    if not has_supported_key(leaf):
        raise ProofFailed(Why.KEY_KIND)
    try:
        between = _between(peer.chain)
        authorities = x509.load_pem_x509_certificates(trust.authority.encode())
        policy = PolicyBuilder().store(Store(authorities)).time(now).max_chain_depth(MOST_BETWEEN)
        verified = policy.build_client_verifier().verify(leaf, between)
    except (VerificationError, ValueError, UnsupportedAlgorithm, x509.DuplicateExtension):
        raise ProofFailed(Why.AUTHORITY) from None
    if not _is_named(verified.subjects or (), trust.name):
        raise ProofFailed(Why.NAME)
    return leaf.not_valid_after_utc


def check_pinned(trust: PinnedTrust, peer: Peer, *, now: datetime) -> datetime:
    """When the certificate ends, which is exactly the registered one.

    Raises:
        ProofFailed: it is another, or none; or it is not valid now.
    """
    try:
        registered = x509.load_pem_x509_certificate(trust.certificate.encode())
    except ValueError:
        raise ProofFailed(Why.CERTIFICATE) from None
    if not compare_digest(registered.public_bytes(Encoding.DER), peer.certificate):
        raise ProofFailed(Why.CERTIFICATE)
    if not registered.not_valid_before_utc <= now <= registered.not_valid_after_utc:
        raise ProofFailed(Why.DATES)
    return registered.not_valid_after_utc


def _between(sent: Sequence[bytes]) -> list[x509.Certificate]:
    """What was sent to lead to the registered authority, of each name the first.

    The verifier tries every one that bears an issuer's name, and all others wait for it: some that bear the same name,
    each of them the other's issuer, would have it try as often as it ever does.
    """
    found: dict[x509.Name, x509.Certificate] = {}
    for one in map(_read, sent[:_MOST_SENT]):
        if not has_supported_key(one):
            raise ProofFailed(Why.KEY_KIND)
        found.setdefault(one.subject, one)
    return list(found.values())


def _is_named(names: Sequence[x509.GeneralName], name: str) -> bool:
    """A certificate with a SPIFFE id has no other URI (X509-SVID, 5.2); of DNS names it may have several."""
    if name.startswith("spiffe:"):
        return [one.value for one in names if isinstance(one, x509.UniformResourceIdentifier)] == [name]
    return name in [one.value for one in names if isinstance(one, x509.DNSName)]


def _read(der: bytes) -> x509.Certificate:
    if not der:
        raise ProofFailed(Why.NO_CERTIFICATE)
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        raise ProofFailed(Why.CERTIFICATE) from None
