"""A checkpoint: a region's signed word of where the chains of a tenant's uses end, and of what control showed it.

Whoever keeps one outside of the system has what an audit log that was written anew cannot agree with.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from openkcm.parties.identity import Identity
from openkcm.parties.labels import Record
from openkcm.parties.pins import Pins
from openkcm.parties.signed import Signature, sign, verify
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

FORMAT: Final = 1


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a chain by its number and its hash in hex; 0 and nothing: before the first."""

    number: int = 0
    hash: str = ""


class ChainPoints(msgspec.Struct, frozen=True, kw_only=True):
    """One chain: what comes after ``floor`` is kept, ``head`` is its last entry."""

    chain: str
    floor: Point
    head: Point


class ProcessWord(msgspec.Struct, frozen=True, kw_only=True):
    """A process of the region has written down all that it had counted until ``written_until`` (database clock)."""

    process: str
    written_until: datetime


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Every chain of the tenant in this region, and every process's own, as they were at ``made_at`` (database clock).

    ``log`` is the end of control's own log of the tenant, as control showed it to the region; None: it showed none.
    """

    format: int = FORMAT
    tenant: str
    region: str
    made_at: datetime
    chains: tuple[ChainPoints, ...]
    processes: tuple[ProcessWord, ...]
    log: Point | None = None


class SignedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A ``Checkpoint`` as JSON, the very bytes, signed by its region (record kind ``checkpoint``)."""

    document: bytes
    signature: Signature


def sign_checkpoint(identity: Identity, checkpoint: Checkpoint) -> SignedCheckpoint:
    """The checkpoint with this region's signature.

    Raises:
        Permanent: NOT_PERMITTED; ``identity`` is no region's.
    """
    document = msgspec.json.encode(checkpoint)
    return SignedCheckpoint(document=document, signature=sign(identity, Record.CHECKPOINT, FORMAT, document))


def read_checkpoint(pins: Pins, signed: SignedCheckpoint, *, tenant: str, now: datetime) -> Checkpoint:
    """What the checkpoint says, signed by the region that it names, of this tenant.

    A checkpoint is kept and read again, so one by a key that signs no more still counts.

    Raises:
        Permanent: PARTY_UNKNOWN, SIGNATURE_INVALID; RECORD_MISMATCH, it speaks of something else or is none.
    """
    verify(pins, signed.signature, Record.CHECKPOINT, FORMAT, signed.document, now=now, stored=True)
    try:
        checkpoint = msgspec.json.decode(signed.document, type=Checkpoint)
    except msgspec.MsgspecError:
        raise _another(tenant) from None
    said = (checkpoint.format, checkpoint.tenant, checkpoint.region)
    own = (f"{tenant}/{checkpoint.region}/", f"/{checkpoint.region}/")
    if said != (FORMAT, tenant, signed.signature.signer) or not all(
        points.chain.startswith(own) for points in checkpoint.chains
    ):
        raise _another(tenant)
    return checkpoint


def _another(tenant: str) -> Permanent:
    return Permanent(
        Refusal.RECORD_MISMATCH,
        f"This is no checkpoint of its signer for tenant '{tenant}'.",
        remedy=Remedy("Look for who exchanged it.", "operator", "reference/audit#checkpoints"),
    )
