"""Loading service keys: out of the database, and opened by the tenant key that is at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from openkcm.crypto.hierarchy import mismatch
from openkcm.crypto.kept import Kept
from openkcm.crypto.rootfile import Root
from openkcm.crypto.store import read_wraps
from openkcm.crypto.view import View
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Refusal, Refused, Remedy, Temporary
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


async def load_keys(
    root: Root, wanted: Sequence[Wanted], *, held: Callable[[Kept], bytes | None] | None = None
) -> list[Loaded | Refused]:
    """Each key, or why it cannot be had: RECORD_MISMATCH where the database does not hold it as this region accepted
    it. One query for all; nobody else is asked. ``held`` gives an L2, or None where its root key has to be asked
    first: then UNAVAILABLE. Without it, L2s are this region's own.

    Raises:
        Temporary: DATABASE_UNAVAILABLE; none of them could be read.
    """
    ids = {key_id for one in wanted for key_id in (one.key_id, *one.view.l2_ids())}
    async with transaction(Role.OWN) as tx:
        kept = await read_wraps(tx, ids)
    return [_attempt(root, one, kept, held or (lambda l2: l2.open_l2(root))) for one in wanted]


def _attempt(
    root: Root, wanted: Wanted, kept: Mapping[bytes, list[Kept]], held: Callable[[Kept], bytes | None]
) -> Loaded | Refused:
    try:
        return _open(root, wanted.view, wanted.key_id, kept, held)
    except Refused as refused:
        return refused


def _open(
    root: Root,
    view: View,
    key_id: bytes,
    kept: Mapping[bytes, list[Kept]],
    held: Callable[[Kept], bytes | None],
) -> Loaded:
    named = view.keys.get(key_id)
    # Of this view's L2s the active one first; another view of the same tenant may stand in the same query.
    wraps = {one.parent: one for one in kept.get(key_id, ())}
    pairs = [(kept[i][0], wraps[i.hex()]) for i in view.l2_ids() if i in kept and i.hex() in wraps]
    if named is None or not pairs:
        raise mismatch(f"Key {key_id.hex()}")
    l2, l3 = pairs[0]
    if {l2.tenant, l3.tenant} != {view.tenant} or l3.service != named.service:
        raise mismatch(f"Key {key_id.hex()}")
    if (opened := held(l2)) is None:
        raise Temporary(
            Refusal.UNAVAILABLE,
            f"The tenant key of tenant '{view.tenant}' is just being loaded.",
            remedy=Remedy("Ask again.", "caller", "reference/crypto-service#keys-in-memory"),
            retry_after_s=0.2,
        )
    key = l3.open_l3(root, opened, l2.key_id)
    return Loaded(service=l3.service, aead=XAES256GCM(key))
