"""What changing keys works with. Whoever only decides needs less than the worker, which carries it to the regions."""

from __future__ import annotations

from dataclasses import dataclass

from openkcm.crypto.contract import Regions
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role
from openkcm.parties.identity import Identity
from openkcm.parties.pins import Pins
from openkcm.propagation.exchange import Exchange
from openkcm.web import paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """``key_wait_s``: how long a key is kept that is to be destroyed. ``without_step_up``: a development flag.

    ``role`` has whose rights the transactions take: the operator's, or one tenant's own on its pages.
    """

    identity: Identity
    clock: Clock
    key_wait_s: float
    without_step_up: bool = False
    role: Role = Role.SYSTEM


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """``pins`` are those of the regions whose receipts are believed. ``operator`` is an address or empty.

    ``shared_root_keys``: one root key may serve several tenants.
    """

    regions: Regions
    identity: Identity
    pins: Pins
    clock: Clock
    public_url: str
    operator: str
    key_wait_s: float
    shared_root_keys: bool = False

    @property
    def deciding(self) -> Deciding:
        """The part that decides, for what the product asks of itself."""
        return Deciding(identity=self.identity, clock=self.clock, key_wait_s=self.key_wait_s)

    @property
    def exchange(self) -> Exchange:
        """How a decision gets to the regions."""
        return Exchange(regions=self.regions, identity=self.identity, clock=self.clock, pins=self.pins)

    def keys_address(self, tenant: str, service: str | None = None) -> str:
        """Where the tenant's keys are shown: all, or that service's (empty: the tenant key)."""
        path = paths.keys(tenant) if service is None else paths.key(tenant, service)
        return f"{self.public_url.rstrip('/')}{path}"
