"""What provisioning works with; the worker hands it over once, tests hand over their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from openkcm.crypto.contract import Minted, Regions
from openkcm.kernel.clock import Clock
from openkcm.parties.identity import Identity
from openkcm.propagation.model import Decided
from openkcm.sdk.notifier import Notifier
from openkcm.sdk.tenant_source import TenantSource

#: Whether the address answers 204 as it should; raises ``Temporary(ADDRESS_NOT_ANSWERING)`` otherwise.
Probe = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """``region_set`` names the regions of a new tenant, the minting one first. ``operator`` is an address or empty.

    ``owner_wait_s``: how long an account's maker may be unknown before the operator is asked.
    """

    regions: Regions
    region_set: tuple[str, ...]
    identity: Identity
    clock: Clock
    sources: Mapping[str, TenantSource]
    notifiers: Sequence[Notifier]
    public_url: str
    operator: str
    probe: Probe
    owner_wait_s: float = 0.0
    fresh: dict[str, Decided] = field(default_factory=dict)
    """What this process decided and has not sent yet, so that it need not be read again; the rows are the truth."""

    orphans: dict[str, Minted] = field(default_factory=dict)
    """What an undo found minted that the journal does not know, by the token of the mint, until it is on record."""

    def address(self, tenant: str) -> str:
        """Where the tenant's pages are."""
        return f"{self.public_url.rstrip('/')}/t/{tenant}"
