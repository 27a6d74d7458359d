"""TLS between pinned parties: 1.3 only, both sides show a certificate, and its hash is the name."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from hmac import compare_digest

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from openkcm.kernel.clock import Clock
from openkcm.parties.identity import Identity
from openkcm.parties.labels import Kind
from openkcm.parties.pins import Pin, Pins


class WrongPeer(ssl.SSLCertVerificationError):
    """The server's certificate is not the pinned one, although it verifies."""


class Door:
    """A server's side: who may come in, replaced while it stands open.

    ``admits`` is the one kind of party that has business here. New connections are verified against the newest
    pins by OpenSSL; ``peer`` says whose a certificate is *now*, so that old connections can be asked again.
    """

    def __init__(self, identity: Identity, pins: Pins, *, admits: Kind, clock: Clock) -> None:
        self._identity = identity
        self._admits = admits
        self._clock = clock
        self._swap(pins)
        self.context = _server_context(identity, ())
        # Removing a certificate from a live context is not possible; giving each connection the newest is.
        self.context.sni_callback = self._hand_over

    def replace(self, pins: Pins) -> None:
        """From now on these pins hold, for new connections and for the next request on old ones."""
        self._swap(pins)

    def peer(self, tls_sha256: bytes | None) -> Pin | None:
        """The party whose certificate has this hash, if it is pinned, of the right kind and accepted now."""
        if tls_sha256 is None:
            return None
        pin = self._pins.by_leaf(tls_sha256, now=self._clock.now())
        return pin if pin is not None and pin.kind == self._admits else None

    def _swap(self, pins: Pins) -> None:
        admitted = [pin.tls_certificate for pin in pins if pin.kind == self._admits]
        self._newest = _server_context(self._identity, admitted)
        self._pins = pins

    def _hand_over(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._newest


def client_context(identity: Identity, server: Pin) -> ssl.SSLContext:
    """A context that finishes a handshake with this one server only; for asyncio, anyio and httpx2.

    A handshake with anybody else raises ``ssl.SSLCertVerificationError`` before any byte of a request is sent.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the pin below is the identity; a name is not
    context.sslobject_class = _checking(server.tls_sha256)
    return _prepared(context, identity, (server.tls_certificate,))


def is_wrong_peer(error: BaseException | None) -> bool:
    """Whether a failed connection failed because the server was not the pinned one, rather than by an outage.

    The converse cannot be told: a server that refuses *us* just closes the connection.
    """
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _checking(tls_sha256: bytes) -> type[ssl.SSLObject]:
    class Checking(ssl.SSLObject):
        """A connection whose handshake ends only with the pinned leaf.

        OpenSSL has already verified the chain to the one pinned certificate; this closes what a chain leaves open
        (a certificate signed by the pinned key).
        """

        def do_handshake(self) -> None:
            super().do_handshake()
            leaf = self.getpeercert(binary_form=True) or b""
            if not compare_digest(sha256(leaf).digest(), tls_sha256):
                raise WrongPeer("the server's certificate is not the pinned one")

    return Checking


def _server_context(identity: Identity, admitted: Iterable[bytes]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # a resumed session would not be verified again
    return _prepared(context, identity, admitted)


def _prepared(context: ssl.SSLContext, identity: Identity, trusted: Iterable[bytes]) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    with _pem_file(identity) as path:
        context.load_cert_chain(path)
    if pem := "".join(map(ssl.DER_cert_to_PEM_cert, trusted)):
        context.load_verify_locations(cadata=pem)
    return context


def _pem_file(identity: Identity) -> AbstractContextManager[str]:
    key = identity.tls_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem_path(key + ssl.DER_cert_to_PEM_cert(identity.tls_certificate).encode())


@contextmanager
def pem_path(pem: bytes) -> Iterator[str]:
    """Key and certificate under a path, since OpenSSL takes nothing else: in memory where the system can."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("openkcm-tls", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as memory:
            memory.write(pem)
            memory.flush()
            yield f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.NamedTemporaryFile() as file:  # mode 0600, gone at the end of this block
            file.write(pem)
            file.flush()
            yield file.name
