"""Keys as they travel between the planes: what a key is, who wraps it, and how one is asked for."""

from __future__ import annotations

import msgspec

from openkcm.crypto.desired import Level
from openkcm.parties.signed import Signature


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

    ``holder`` is the region for an L2: its ``parent`` is ``root``, with the sealing key's version, or the customer's
    root key (``l1:`` and the connection's id, with that one's version). It is empty for an L3, whose ``parent`` is the
    L2's key id, and which is the same blob in every region.
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


class RenewItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a new version: of the L3 of each of ``services``, under the active L2; without any, of the L2 itself.

    A new L2 comes with every L3 of the applied document, the same keys, wrapped by it. It is wrapped by the root key
    of ``connection``, which the document names; empty: by the region's own root. The same ``token`` gets the
    same keys again. The answer is ``Minted``, with the L3s alone, or with the L2 first.
    """

    tenant: str
    generation: int
    services: tuple[str, ...]
    token: str
    connection: str = ""
