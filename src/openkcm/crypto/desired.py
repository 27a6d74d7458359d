"""What every region of a tenant's set should hold: one document, which control decides and signs. No I/O."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Final, Literal

import msgspec

from openkcm.crypto.connection import DesiredConnection, DesiredPolicy
from openkcm.crypto.trust import Trust
from openkcm.parties.key_receipt import SignedKeyReceipt
from openkcm.parties.receipt import SignedReceipt
from openkcm.parties.signed import Signature
from openkcm_client.enc import enc

FORMAT = 1

Access = Literal["active", "read-only", "revoked", "blocked"]
"""Stricter from left to right. ``revoked`` is a person's word and is taken back by a person; ``blocked`` follows from
what became of the tenant."""
STRICTNESS: Final[tuple[Access, ...]] = ("active", "read-only", "revoked", "blocked")
ServiceAccess = Literal["read-only", "revoked"]
Level = Literal["L2", "L3"]
KeyState = Literal["active", "decrypt-only", "abandoned"]
Verb = Literal["encrypt", "decrypt", "rewrap"]


class KeyDestroy(msgspec.Struct, frozen=True, kw_only=True):
    """This key is to be destroyed once each region has itself counted ``wait_s`` from its own application of it.

    ``since`` is the (epoch, generation) that first said so. Any use meanwhile stops it; with ``never_used``, any use
    ever, and a region whose journal does not reach back to the key's beginning stops it too.
    """

    wait_s: int
    since: tuple[int, int]
    never_used: bool = False


class DesiredKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that a region may use: ``active`` encrypts and decrypts. ``service`` is empty for the tenant's L2.

    All L3s are wrapped by the active L2. An ``abandoned`` key is named only to be destroyed: nobody may use it.
    ``connection`` is the way to the root key that wraps an L2, empty where that is each region's own root.
    """

    key_id: str
    level: Level
    service: str
    version: int
    state: KeyState
    destroy: KeyDestroy | None = None
    connection: str = ""


class DesiredService(msgspec.Struct, frozen=True, kw_only=True):
    """A service whose keys may be used for less than the tenant's access allows."""

    name: str
    access: ServiceAccess


class DesiredCaller(msgspec.Struct, frozen=True, kw_only=True):
    """Who may call, for which service, with which verbs, and what proves that it is the one.

    Without ``trust`` nothing does: only control gets a token for it, for the tenant's own pages. ``registered`` is the
    number of its registration: a name that was removed and registered again is another caller.
    """

    name: str
    service: str
    verbs: tuple[Verb, ...]
    trust: Trust | None = None
    registered: int = 0


class DestroyPending(msgspec.Struct, frozen=True, kw_only=True):
    """The tenant's keys are to be destroyed once each region has itself counted ``grace_s`` from its own application.

    ``since`` is the (epoch, generation) that first said so: another one is another deletion, counted from its start.
    """

    grace_s: int
    since: tuple[int, int]


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """What every region of ``regions`` should hold of a tenant. One document, the same bytes for all of them.

    Order is (serial of control's pin, ``epoch``, ``generation``); ``replaces`` are the SHA-256 of all documents that
    this one was made in knowledge of, from the oldest on that a region of the set may still hold.
    ``access`` is read-only for an uninstalled tenant and blocked for one that is being deleted, or stricter where a
    person said so; ``services`` are those for which a person said so.
    Only a blocked document has ``destroy_pending``; one with ``destroyed``, each region's receipt, is the last.
    ``buried`` has the regions' receipts of single keys, as long as a backup may bring such a key back.
    ``connections`` are the ways to the tenant's own root keys, those that no key uses yet or any more among them;
    ``revoked`` is the order of the last revoke or block that control knows of, lifted or not: no lease is older.
    """

    format: int = FORMAT
    tenant: str
    epoch: int
    generation: int
    replaces: tuple[str, ...]
    regions: tuple[str, ...]
    access: Access
    keys: tuple[DesiredKey, ...]
    callers: tuple[DesiredCaller, ...]
    decided_at: datetime
    destroy_pending: DestroyPending | None = None
    destroyed: tuple[SignedReceipt, ...] | None = None
    services: tuple[DesiredService, ...] = ()
    buried: tuple[SignedKeyReceipt, ...] = ()
    connections: tuple[DesiredConnection, ...] = ()
    policy: DesiredPolicy = DesiredPolicy()
    revoked: tuple[int, int, int] | None = None


class SignedDesired(msgspec.Struct, frozen=True, kw_only=True):
    """The document's bytes as they were decided and stored, signed by control (record kind ``desired``)."""

    document: bytes
    signature: Signature


def covered_desired(document: bytes) -> tuple[bytes]:
    """What control's signature on desired state covers (record ``desired``, version ``FORMAT``)."""
    return (document,)


def document_digest(tenant: str, generation: int, document_hash: str) -> int:
    """One document's part of ``Answer.digest``: SHA-256(enc(tenant, generation, hash)) as a number to XOR."""
    return int.from_bytes(sha256(enc(tenant, generation, bytes.fromhex(document_hash))).digest())
