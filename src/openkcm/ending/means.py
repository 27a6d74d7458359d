"""What ending a tenant works with; the worker hands it over once, tests hand over their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from openkcm.crypto.contract import Regions
from openkcm.kernel.clock import Clock
from openkcm.parties.identity import Identity
from openkcm.parties.pins import Pins
from openkcm.sdk.tenant_source import TenantSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """``pins`` are those of the regions whose receipts are believed. ``operator`` is an address or empty."""

    regions: Regions
    identity: Identity
    pins: Pins
    clock: Clock
    sources: Mapping[str, TenantSource]
    public_url: str
    operator: str

    def address(self, tenant: str) -> str:
        """Where the tenant's pages are."""
        return f"{self.public_url.rstrip('/')}/t/{tenant}"
