"""How a key comes from one region to another, as control relays it. No I/O."""

from __future__ import annotations

import msgspec

from openkcm.crypto.contract_keys import KeyRecord, Statement, Wrap
from openkcm.parties.signed import Signature


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
