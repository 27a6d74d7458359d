"""All that control may know of a region: the messages between the planes; ``serving.calls`` has the form of a call.

What outlives its connection is signed, calls rest on mTLS.
Bytes travel as base64, digests and key ids as hex (docs/adr/0001).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from openkcm.parties.receipt import SignedReceipt
from openkcm.parties.signed import Signature

FORMAT = 1

Access = Literal["active", "read-only", "blocked"]
Level = Literal["L2", "L3"]
KeyState = Literal["active", "decrypt-only", "abandoned"]
Verb = Literal["encrypt", "decrypt"]


class DesiredKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that a region may use: ``active`` encrypts and decrypts. ``service`` is empty for the tenant's L2."""

    key_id: str
    level: Level
    service: str
    version: int
    state: KeyState


class DesiredCaller(msgspec.Struct, frozen=True, kw_only=True):
    """Who may call, for which service, with which verbs."""

    name: str
    service: str
    verbs: tuple[Verb, ...]


class DestroyPending(msgspec.Struct, frozen=True, kw_only=True):
    """The tenant's keys are to be destroyed once each region has itself counted ``grace_s`` from its own application.

    ``since`` is the (epoch, generation) that first said so: another one is another deletion, counted from its start.
    """

    grace_s: int
    since: tuple[int, int]


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """What every region of ``regions`` should hold of a tenant. One document, the same bytes for all of them.

    Order is (serial of control's pin, ``epoch``, ``generation``); ``replaces`` is the SHA-256 of the document before,
    empty for the first. ``access`` is read-only for an uninstalled tenant and blocked for one that is being deleted.
    Only a blocked document has ``destroy_pending``; one with ``destroyed``, each region's receipt, is the last.
    """

    format: int = FORMAT
    tenant: str
    epoch: int
    generation: int
    replaces: str
    regions: tuple[str, ...]
    access: Access
    keys: tuple[DesiredKey, ...]
    callers: tuple[DesiredCaller, ...]
    decided_at: datetime
    destroy_pending: DestroyPending | None = None
    destroyed: tuple[SignedReceipt, ...] | None = None


class SignedDesired(msgspec.Struct, frozen=True, kw_only=True):
    """The document's bytes as they were decided and stored, signed by control (record kind ``desired``)."""

    document: bytes
    signature: Signature


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What a key is, for ever, signed by the region that minted it; only this very key gives its ``commitment``."""

    tenant: str
    level: Level
    service: str
    key_id: str
    algorithm: str
    commitment: str
    signature: Signature


class Wrap(msgspec.Struct, frozen=True, kw_only=True):
    """A key wrapped by its parent, signed by the region that wrapped (record kind ``wrap``).

    ``holder`` is the region for a platform-managed L2 (``parent`` is ``root``, with the sealing key's version) and
    empty for an L3 (``parent`` is the L2's key id), which is the same blob in every region.
    """

    key_id: str
    holder: str
    parent: str
    parent_version: int
    algorithm: str
    blob: bytes
    signature: Signature


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A key's statement with one wrap of it."""

    statement: Statement
    wrap: Wrap


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """The region has stored and applied this generation; ``hash`` is the SHA-256 of the document's bytes."""

    tenant: str
    epoch: int
    generation: int
    hash: str


class MintItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a tenant's L2 and one L3 for each of ``services``. The same ``token`` gets the same keys again."""

    tenant: str
    generation: int
    services: tuple[str, ...]
    token: str


class Minted(msgspec.Struct, frozen=True, kw_only=True):
    """The keys are stored in the minting region, read back, unwrapped and compared: the L2 first, then the L3s."""

    tenant: str
    records: tuple[KeyRecord, ...]


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
    """Give the receiver what it needs: the sealed L2 with its statement, and the L3s as they are."""

    hand_over: HandOver
    statement: Statement
    services: tuple[KeyRecord, ...]


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


class EndItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask how far the grace of an applied *destroy pending* is; with ``destroy``, and once it is over, destroy.

    Epoch, generation and hash are those of the document that the region has to have applied.
    """

    tenant: str
    epoch: int
    generation: int
    hash: str
    destroy: bool = False


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """Since when the region counts, from when on it destroys, and how long it is until then (0 when it is over).

    ``receipt`` is there once it has destroyed.
    """

    tenant: str
    since: datetime
    due_at: datetime
    left_s: float
    receipt: SignedReceipt | None = None


#: Path of each verb on the control door: POST, JSON of ``Call[item]``, answered by JSON of ``Answer[result]``.
PATHS = {
    verb: f"/control/v1/{verb.replace('_', '-')}"
    for verb in ("apply", "mint", "offer", "hand_over", "accept", "prove", "token", "end")
}


def covered_desired(document: bytes) -> tuple[bytes]:
    """What control's signature on desired state covers (record ``desired``, version ``FORMAT``)."""
    return (document,)


class Region(Protocol):
    """One region as control sees it; calls made at the same time travel together.

    Each raises ``Temporary(REGION_UNAVAILABLE)`` when nobody answers, and the item's refusal when it is refused.
    """

    @property
    def name(self) -> str: ...
    async def apply(self, item: SignedDesired) -> Applied: ...
    async def mint(self, item: MintItem) -> Minted: ...
    async def offer(self, item: OfferItem) -> Offer: ...
    async def hand_over(self, item: HandOverItem) -> HandOver: ...
    async def accept(self, item: AcceptItem) -> Accepted: ...
    async def prove(self, item: ProveItem) -> Proof: ...
    async def token(self, item: TokenItem) -> Token: ...
    async def end(self, item: EndItem) -> Ending: ...
    async def aclose(self) -> None: ...


class Regions(Protocol):
    """The regions that control may dial, by their pinned names."""

    def names(self) -> Sequence[str]: ...
    def get(self, name: str) -> Region:
        """The region of this name; raises ``Permanent(REGION_UNKNOWN)`` when no pin names it."""
