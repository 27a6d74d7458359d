"""All that control may know of a region: the messages between the planes; ``serving.calls`` has the form of a call.

What outlives its connection is signed, calls rest on mTLS.
Bytes travel as base64, digests and key ids as hex (docs/adr/0001).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from openkcm.crypto.bounds import GOVERNANCE_S, Choice, Policy, WorstCase, worst_case
from openkcm.crypto.connection import (
    Checked,
    CheckItem,
    DesiredConnection,
    DesiredPolicy,
    Found,
    LinksItem,
    LinksTold,
    LinkTold,
    SealedSecret,
    secret_context,
)
from openkcm.crypto.contract_ends import (
    Challenge,
    ChallengeItem,
    Ending,
    EndItem,
    KeyEnding,
    KeyEndItem,
    StoppedBy,
    Tightened,
    Tightening,
    TightenItem,
    covered_tightening,
)
from openkcm.crypto.contract_hand_over import (
    Accepted,
    AcceptItem,
    HandOver,
    HandOverItem,
    Offer,
    OfferItem,
    Stored,
    StoreItem,
)
from openkcm.crypto.contract_keys import KeyRecord, Minted, MintItem, RenewItem, Statement, Wrap
from openkcm.crypto.contract_knowledge import (
    Agreed,
    AgreeItem,
    HeldDocument,
    HeldItem,
    HeldList,
    ShowItem,
    Shown,
    covered_agreement,
)
from openkcm.crypto.contract_uses import (
    MAX_USES,
    REFUSED,
    Before,
    CallersItem,
    CallersTold,
    CheckpointItem,
    LastUse,
    UseChainItem,
    UseChainTold,
    UseEntry,
    UsesItem,
    UsesTold,
    UseSum,
)
from openkcm.crypto.desired import (
    FORMAT,
    STRICTNESS,
    Access,
    Desired,
    DesiredCaller,
    DesiredKey,
    DesiredService,
    DestroyPending,
    KeyDestroy,
    KeyState,
    Level,
    ServiceAccess,
    SignedDesired,
    Verb,
    covered_desired,
    document_digest,
)
from openkcm.crypto.trust_checked import CertificateTrust, IssuerTrust, PinnedTrust, Trust, checked_trust
from openkcm.parties.checkpoint import SignedCheckpoint

#: What the contract's own parts hold; everybody outside of the plane takes it from here.
__all__ = [
    "FORMAT",
    "GOVERNANCE_S",
    "MAX_USES",
    "REFUSED",
    "STRICTNESS",
    "AcceptItem",
    "Accepted",
    "Access",
    "AgreeItem",
    "Agreed",
    "Before",
    "CallersItem",
    "CallersTold",
    "CertificateTrust",
    "Challenge",
    "ChallengeItem",
    "CheckItem",
    "Checked",
    "CheckpointItem",
    "Choice",
    "Desired",
    "DesiredCaller",
    "DesiredConnection",
    "DesiredKey",
    "DesiredPolicy",
    "DesiredService",
    "DestroyPending",
    "EndItem",
    "Ending",
    "Found",
    "HandOver",
    "HandOverItem",
    "HeldDocument",
    "HeldItem",
    "HeldList",
    "IssuerTrust",
    "KeyDestroy",
    "KeyEndItem",
    "KeyEnding",
    "KeyRecord",
    "KeyState",
    "LastUse",
    "Level",
    "LinkTold",
    "LinksItem",
    "LinksTold",
    "MintItem",
    "Minted",
    "Offer",
    "OfferItem",
    "PinnedTrust",
    "Policy",
    "RenewItem",
    "SealedSecret",
    "ServiceAccess",
    "ShowItem",
    "Shown",
    "SignedCheckpoint",
    "SignedDesired",
    "Statement",
    "StoppedBy",
    "StoreItem",
    "Stored",
    "TightenItem",
    "Tightened",
    "Tightening",
    "Trust",
    "UseChainItem",
    "UseChainTold",
    "UseEntry",
    "UseSum",
    "UsesItem",
    "UsesTold",
    "Verb",
    "WorstCase",
    "Wrap",
    "checked_trust",
    "covered_agreement",
    "covered_desired",
    "covered_tightening",
    "document_digest",
    "secret_context",
    "worst_case",
]


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """The region has stored and applied this generation; ``hash`` is the SHA-256 of the document's bytes."""

    tenant: str
    epoch: int
    generation: int
    hash: str


class ProveItem(msgspec.Struct, frozen=True, kw_only=True):
    """Without ``message``: encrypt a random record with the service's active key. With it: decrypt that record."""

    tenant: str
    service: str
    message: bytes | None = None


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """A record's message and the SHA-256 of its plaintext; it has been decrypted again in the answering region."""

    tenant: str
    message: bytes
    digest: str


class TokenItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for the region's own token for a caller that stands in the applied state. At most 900 s."""

    tenant: str
    caller: str
    service: str
    verbs: tuple[Verb, ...]
    lifetime_s: int = 900


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token for the data plane of one region; shown once, stored nowhere."""

    token: str
    expires_at: datetime
    address: str


#: Path of each verb on the control door: POST, JSON of ``Call[item]``, answered by JSON of ``Answer[result]``.
PATHS = {
    verb: f"/control/v1/{verb.replace('_', '-')}"
    for verb in (
        *("apply", "mint", "renew", "store", "offer", "hand_over", "accept", "prove", "token"),
        *("challenge", "tighten", "end", "end_key", "check", "links", "show", "agree", "held"),
        *("uses", "use_chain", "checkpoint", "callers"),
    )
}


class Region(Protocol):
    """One region as control sees it; calls made at the same time travel together.

    Each raises ``Temporary(REGION_UNAVAILABLE)`` when nobody answers, and the item's refusal when it is refused.
    """

    @property
    def name(self) -> str: ...
    async def apply(self, item: SignedDesired) -> Applied: ...
    async def mint(self, item: MintItem) -> Minted: ...
    async def renew(self, item: RenewItem) -> Minted: ...
    async def store(self, item: StoreItem) -> Stored: ...
    async def offer(self, item: OfferItem) -> Offer: ...
    async def hand_over(self, item: HandOverItem) -> HandOver: ...
    async def accept(self, item: AcceptItem) -> Accepted: ...
    async def prove(self, item: ProveItem) -> Proof: ...
    async def token(self, item: TokenItem) -> Token: ...
    async def challenge(self, item: ChallengeItem) -> Challenge: ...
    async def tighten(self, item: TightenItem) -> Tightened: ...
    async def end(self, item: EndItem) -> Ending: ...
    async def end_key(self, item: KeyEndItem) -> KeyEnding: ...
    async def check(self, item: CheckItem) -> Checked: ...
    async def links(self, item: LinksItem) -> LinksTold: ...
    async def show(self, item: ShowItem) -> Shown: ...
    async def agree(self, item: AgreeItem) -> Agreed: ...
    async def held(self, item: HeldItem) -> HeldList: ...
    async def uses(self, item: UsesItem) -> UsesTold: ...
    async def use_chain(self, item: UseChainItem) -> UseChainTold: ...
    async def checkpoint(self, item: CheckpointItem) -> SignedCheckpoint: ...
    async def callers(self, item: CallersItem) -> CallersTold: ...
    async def aclose(self) -> None: ...


class Regions(Protocol):
    """The regions that control may dial, by their pinned names."""

    def names(self) -> Sequence[str]: ...
    def get(self, name: str) -> Region:
        """The region of this name; raises ``Permanent(REGION_UNKNOWN)`` when no pin names it."""
