"""L3s that a sibling made under the L2 which both hold: taken as they are, once they open here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openkcm.crypto.accept import check_service
from openkcm.crypto.contract import Stored, StoreItem
from openkcm.crypto.here import Here
from openkcm.crypto.hierarchy import mismatch
from openkcm.crypto.kept import Kept, keep
from openkcm.crypto.l2_wraps import opened
from openkcm.crypto.outcomes import attempt, good
from openkcm.crypto.store import add_keys, read_keys
from openkcm.crypto.view import View
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Refused


@dataclass(frozen=True, slots=True)
class _Given:
    tenant: str
    view: View
    l2_id: bytes
    keys: list[Kept]


async def take(here: Here, items: Sequence[StoreItem]) -> list[Stored | Refused]:
    """The L3s are stored here, read back, opened and compared; the same again is no error.

    Refused alone: another generation than the applied one, a minter that is not pinned or not in the set, a bad
    signature, a record that is not of this tenant and its active L2, or a key that is not the one its statement
    commits to (RECORD_MISMATCH, SIGNATURE_INVALID).
    """
    given = await attempt(items, lambda item: _checked(here, item))
    async with transaction(Role.OWN) as tx:
        parents = await read_keys(tx, {one.l2_id for one in good(given)})
    pairs = [(one.view, parents[one.l2_id]) for one in good(given) if one.l2_id in parents]
    l2s = await here.roots.open_all(pairs)
    checked = await attempt(given, lambda one: _opened(here, one, parents, l2s))
    async with transaction(Role.OWN) as tx:
        await add_keys(tx, [key for one in good(checked) for key in one.keys])
    ids = [key.key_id for one in good(checked) for key in one.keys]
    async with transaction(Role.OWN) as tx:
        stored = await read_keys(tx, ids, under=parents)
    return await attempt(checked, lambda one: _proven(here, one, parents, stored, l2s))


def _checked(here: Here, item: StoreItem) -> _Given:
    view = here.at(item.tenant, item.generation)
    l2_id = view.active_l2()
    for record in item.records:
        check_service(here, view, record, l2_id.hex())
    sealing = here.root.current
    return _Given(item.tenant, view, l2_id, [keep(record, sealing) for record in item.records])


def _opened(
    here: Here, one: _Given, parents: Mapping[bytes, Kept], l2s: dict[bytes, bytes | Refused]
) -> _Given:
    _open(here, one, parents, l2s, one.keys)  # before anything is stored: a substituted key leaves no row
    return one


def _proven(
    here: Here,
    one: _Given,
    parents: Mapping[bytes, Kept],
    stored: Mapping[bytes, Kept],
    l2s: dict[bytes, bytes | Refused],
) -> Stored:
    keys = [stored[key.key_id] for key in one.keys if key.key_id in stored]
    same = all(key.same_statement(given) for key, given in zip(keys, one.keys, strict=False))
    if len(keys) != len(one.keys) or not same:
        raise mismatch(f"What was given for tenant '{one.tenant}'")
    _open(here, one, parents, l2s, keys)
    return Stored(tenant=one.tenant, key_ids=tuple(key.key_id.hex() for key in keys))


def _open(
    here: Here,
    one: _Given,
    parents: Mapping[bytes, Kept],
    l2s: dict[bytes, bytes | Refused],
    keys: Sequence[Kept],
) -> None:
    parent = parents.get(one.l2_id)
    if parent is None or parent.tenant != one.tenant:
        raise mismatch(f"The tenant key of tenant '{one.tenant}'")
    l2 = opened(l2s, one.l2_id)
    for key in keys:
        key.open_l3(here.root, l2, one.l2_id)
