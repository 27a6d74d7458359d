"""TLS of the data door: at ``TENANT.HOST`` a client certificate is asked for, and that tenant's authorities count.

One context for each tenant: in a common one, a tenant's authority that bears another's name would keep the other's
applications out. What OpenSSL lets through here proves nothing yet; ``certificates`` verifies it again, for one caller.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from openkcm.crypto.callers.peer import TenantContext
from openkcm.crypto.mark import Mark
from openkcm.crypto.trust import CertificateTrust, PinnedTrust
from openkcm.crypto.view import View
from openkcm.kernel.log import get_logger
from openkcm.parties.tls import pem_path
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

log = get_logger(__name__)

MOST_CONTEXTS: Final = 512
"""Of tenants whose callers come with certificates, as many are remembered."""


class CallersTls:
    """The contexts of one process. ``host`` is the door's own name; ``view`` says what is applied of a tenant."""

    def __init__(
        self, certificate: Path, key: Path, *, host: str, view: Callable[[str], View | None]
    ) -> None:
        self._own = _OwnCertificate(certificate, key)
        self._host = f".{host.lower()}"
        self._view = view
        self._made: OrderedDict[str, _Made] = OrderedDict()
        self.context = self._own.context()
        # What a connection may show is settled when it begins, so this context asks too; it believes nobody.
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        tenant = (name or "").lower().removesuffix(self._host)
        if not name or tenant == name.lower():
            return
        view = self._view(tenant)
        connection.context = self._own.nobody if view is None else self._of(view)

    def _of(self, view: View) -> TenantContext:
        known = self._made.get(view.tenant)
        if known is None or known.mark != view.mark:
            trusted = certificates_of(view)
            if known is not None and known.trusted == trusted:  # another change of the document
                known = replace(known, mark=view.mark)
            else:
                known = _Made(view.mark, trusted, self._context(view.tenant, trusted))
            self._made[view.tenant] = known
        self._made.move_to_end(view.tenant)
        while len(self._made) > MOST_CONTEXTS:
            self._made.popitem(last=False)
        return known.context

    def _context(self, tenant: str, trusted: tuple[str, ...]) -> TenantContext:
        if not trusted:
            return self._own.nobody
        context = self._own.context(tenant)
        context.load_verify_locations(cadata="".join(trusted))
        return context


@dataclass(frozen=True, slots=True)
class _Made:
    mark: Mark
    trusted: tuple[str, ...]
    context: TenantContext


def host_of(address: str) -> str:
    """The host of the door's address."""
    return urlsplit(address).hostname or ""


def certificates_of(view: View) -> tuple[str, ...]:
    """The certificates that vouch for callers of this tenant, or are theirs: each once, in PEM."""
    found = (
        caller.trust.authority if isinstance(caller.trust, CertificateTrust) else caller.trust.certificate
        for caller in view.callers.values()
        if isinstance(caller.trust, CertificateTrust | PinnedTrust)
    )
    return tuple(sorted(_each(found)))


def _each(texts: Iterable[str]) -> set[str]:
    single = set()
    for text in set(texts):
        try:
            single |= {
                one.public_bytes(Encoding.PEM).decode()
                for one in x509.load_pem_x509_certificates(text.encode())
            }
        except ValueError:
            log.warning("callers.authority_unreadable")
    return single


class _OwnCertificate:
    """The door's certificate and key as they were at the start: what is replaced on disk counts from the next start.

    ``nobody`` is the context of a name at which no certificate counts, whether there is such a tenant or not.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        try:
            self._pem = key.read_bytes() + b"\n" + certificate.read_bytes()
            self.nobody: Final = self.context()
        except OSError as failed:  # ssl.SSLError is one too
            raise Permanent(
                Refusal.SETTING_INVALID,
                f"The certificate {certificate} with the key {key} cannot be used.",
                remedy=Remedy("Name PEM files that belong together.", "operator", "reference/settings"),
            ) from failed

    def context(self, tenant: str = "") -> TenantContext:
        """A new one that believes no client certificate yet."""
        context = TenantContext(ssl.PROTOCOL_TLS_SERVER)
        context.tenant = tenant
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A resumed session is not verified again here, only where a token is asked for: so there are no tickets. One of
        # TLS 1.2 OpenSSL takes up all the same, by its number, with the certificate and for the name it began with.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        context.verify_mode = ssl.CERT_OPTIONAL
        # What a tenant registers counts by itself, whoever signed it: an intermediate authority, one certificate.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        with pem_path(self._pem) as path:
            context.load_cert_chain(path)
        return context
