"""Loading service keys: the one function that asks whoever holds their parents. Today that is this region's root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openkcm.crypto.hierarchy import mismatch
from openkcm.crypto.kept import Kept
from openkcm.crypto.rootfile import Root
from openkcm.crypto.store import read_keys
from openkcm.crypto.view import View
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Refused
from openkcm_client.xaes import XAES256GCM


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A tenant's L3, by the view that allows its use."""

    view: View
    key_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The L3 of ``service``, ready for use."""

    service: str
    aead: XAES256GCM


async def load_keys(root: Root, wanted: Sequence[Wanted]) -> list[Loaded | Refused]:
    """Each key, or why it cannot be had: RECORD_MISMATCH where the database does not hold it as this region accepted
    it. One query for all.

    Raises:
        Temporary: DATABASE_UNAVAILABLE; none of them could be read.
    """
    parents = [
        key_id for one in wanted for key_id in one.view.l2_ids()
    ]  # of each tenant the active one first
    ids = {*parents, *(one.key_id for one in wanted)}
    async with transaction(Role.OWN) as tx:
        kept = await read_keys(tx, ids, under=parents)
    return [_attempt(root, one, kept) for one in wanted]


def _attempt(root: Root, wanted: Wanted, kept: Mapping[bytes, Kept]) -> Loaded | Refused:
    try:
        return _open(root, wanted.view, wanted.key_id, kept)
    except Refused as refused:
        return refused


def _open(root: Root, view: View, key_id: bytes, kept: Mapping[bytes, Kept]) -> Loaded:
    l3 = kept.get(key_id)
    named = view.keys.get(key_id)
    parents = [kept[i] for i in view.l2_ids() if i in kept and l3 is not None and l3.parent == i.hex()]
    if l3 is None or named is None or not parents:
        raise mismatch(f"Key {key_id.hex()}")
    l2 = parents[0]
    if {l2.tenant, l3.tenant} != {view.tenant} or l3.service != named.service:
        raise mismatch(f"Key {key_id.hex()}")
    key = l3.open_l3(root, l2.open_l2(root), l2.key_id)
    return Loaded(service=l3.service, aead=XAES256GCM(key))
