"""What proves that a caller is the registered one: a certificate, or a token of an issuer. Part of the contract."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class CertificateTrust(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="certificate"):
    """A client certificate that the tenant's own ``authority`` (PEM, one certificate or more) issued to ``name``.

    ``name`` is one subject alternative name, compared as a whole: ``spiffe://…`` (a URI) or a DNS name.
    """

    authority: str
    name: str


class PinnedTrust(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="pinned"):
    """Exactly this client ``certificate`` (PEM), whoever issued it."""

    certificate: str


class IssuerTrust(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="issuer"):
    """An OIDC token of this ``issuer`` for exactly this ``subject``, as a Kubernetes service account has one.

    ``authority`` (PEM) is what the issuer's own TLS certificate is verified against; empty: the machine's authorities.
    """

    issuer: str
    subject: str
    authority: str = ""


Trust: TypeAlias = CertificateTrust | PinnedTrust | IssuerTrust
