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
from openkcm.parties.signed import Signature

#: What the contract's own parts hold; everybody outside of the plane takes it from here.
__all__ = [
    "FORMAT",
    "GOVERNANCE_S",
    "STRICTNESS",
    "Access",
    "AgreeItem",
    "Agreed",
    "CertificateTrust",
    "Challenge",
    "ChallengeItem",
    "CheckItem",
    "Checked",
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
    "HeldDocument",
    "HeldItem",
    "HeldList",
    "IssuerTrust",
    "KeyDestroy",
    "KeyEndItem",
    "KeyEnding",
    "KeyRecord",
    "KeyState",
    "Level",
    "LinkTold",
    "LinksItem",
    "LinksTold",
    "MintItem",
    "Minted",
    "PinnedTrust",
    "Policy",
    "RenewItem",
    "SealedSecret",
    "ServiceAccess",
    "ShowItem",
    "Shown",
    "SignedDesired",
    "Statement",
    "StoppedBy",
    "TightenItem",
    "Tightened",
    "Tightening",
    "Trust",
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


class StoreItem(msgspec.Struct, frozen=True, kw_only=True):
    """Give a region L3s that another one made under the L2 which both hold."""

    tenant: str
    generation: int
    records: tuple[KeyRecord, ...]


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The region has stored, read back, unwrapped and compared these keys."""

    tenant: str
    key_ids: tuple[str, ...]


class OfferItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask the receiving region for a one-time key to which ``sender`` shall seal this L2."""

    tenant: str
    key_id: str
    generation: int
    sender: str


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A one-time HPKE key of ``receiver`` for (tenant, key id, generation), good for 60 s, signed (kind ``offer``)."""

    tenant: str
    key_id: str
    generation: int
    receiver: str
    sender: str
    offer_id: str
    public: bytes
    signature: Signature


class HandOverItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask the holding region to seal its L2 to the receiver's offer."""

    offer: Offer


class HandOver(msgspec.Struct, frozen=True, kw_only=True):
    """An L2 sealed to one offer, signed by its sender (kind ``hand-over``). Control relays it and stores it nowhere."""

    offer_id: str
    tenant: str
    key_id: str
    generation: int
    sender: str
    receiver: str
    sealed: bytes
    signature: Signature


class AcceptItem(msgspec.Struct, frozen=True, kw_only=True):
    """Give the receiver what it needs: the sealed L2 with its statement, and the L3s as they are wrapped by it.

    An L3 that the receiver holds already, under another L2, stays the same key and gets this wrap besides.
    The receiver wraps the L2 by the root key of ``connection``, which the document names; empty: by its own root.
    """

    hand_over: HandOver
    statement: Statement
    services: tuple[KeyRecord, ...]
    connection: str = ""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The receiver has stored, read back, unwrapped and compared every key; ``wrap`` is its own wrap of the L2."""

    tenant: str
    wrap: Wrap


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
    async def aclose(self) -> None: ...


class Regions(Protocol):
    """The regions that control may dial, by their pinned names."""

    def names(self) -> Sequence[str]: ...
    def get(self, name: str) -> Region:
        """The region of this name; raises ``Permanent(REGION_UNKNOWN)`` when no pin names it."""
