"""What this process is: its region, root, identity, pins and applied state. Handed to every verb."""

from __future__ import annotations

from dataclasses import dataclass, field

from openkcm.crypto.applied import AppliedState
from openkcm.crypto.cache import KeyCache
from openkcm.crypto.contract import FORMAT
from openkcm.crypto.covered import Item
from openkcm.crypto.link_news import LinkNews
from openkcm.crypto.nonces import Nonces
from openkcm.crypto.root_keys import RootKeys
from openkcm.crypto.rootfile import Root
from openkcm.crypto.uses import Uses
from openkcm.crypto.view import View, not_in_set
from openkcm.kernel.clock import Clock
from openkcm.parties.identity import Identity
from openkcm.parties.labels import Record
from openkcm.parties.pins import Pins
from openkcm.parties.signed import Signature, sign, verify
from openkcm.sdk.refusals import Permanent, Refusal, Remedy, Temporary

_PAGE = "reference/crypto-service#refusals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """One process of one region. ``data_address`` is where its data door is reached; ``least_grace_s`` is how long it
    keeps the keys of a deleted tenant, and a single key that is to be destroyed, whatever control says. ``used`` are
    those (key id, decision) that this process has on record as used meanwhile.
    """

    region: str
    root: Root
    identity: Identity
    pins: Pins
    clock: Clock
    state: AppliedState
    keys: KeyCache
    roots: RootKeys
    data_address: str
    least_grace_s: float
    news: LinkNews = field(default_factory=LinkNews)
    nonces: Nonces = field(default_factory=Nonces)
    uses: Uses = field(default_factory=Uses)
    used: set[tuple[bytes, tuple[int, int]]] = field(default_factory=set)

    def sign(self, record: Record, *items: Item) -> Signature:
        """This region's signature on a record of the contract's format."""
        return sign(self.identity, record, FORMAT, *items)

    def verify(self, signature: Signature, record: Record, *items: Item, signer: str) -> None:
        """The record is signed by this very region, which may sign now.

        Raises:
            Permanent: PARTY_UNKNOWN or SIGNATURE_INVALID.
        """
        verify(self.pins, signature, record, FORMAT, *items, now=self.clock.now(), signer=signer)

    def at(self, tenant: str, generation: int) -> View:
        """The tenant's view, which is of exactly this generation, with this region in its set, and not blocked.

        Raises:
            Permanent: GENERATION_OLD, REGION_NOT_IN_SET, KEY_BLOCKED, or as ``AppliedState.view``.
            Temporary: UNAVAILABLE; this region has not applied that generation yet.
        """
        view = self.state.view(tenant)
        if generation < view.mark.generation:
            raise Permanent(
                Refusal.GENERATION_OLD,
                f"This region has applied generation {view.mark.generation} of tenant '{tenant}'; "
                f"the request speaks of {generation}.",
                remedy=Remedy("Ask again for the newest generation.", "control", _PAGE),
            )
        if generation > view.mark.generation:
            raise Temporary(
                Refusal.UNAVAILABLE,
                f"This region has not applied generation {generation} of tenant '{tenant}' yet.",
                remedy=Remedy("Apply that generation first.", "control", _PAGE),
                retry_after_s=0.2,
            )
        view.check_here(self.region)
        view.check_not_blocked()
        return view

    def check_sibling(self, view: View, region: str) -> None:
        """The other region is pinned, in the tenant's set, and not this one.

        Raises:
            Permanent: PARTY_UNKNOWN or REGION_NOT_IN_SET.
        """
        if region == self.region or region not in view.desired.regions:
            raise not_in_set(view.tenant, region)
        self.pins.current("region", region)
