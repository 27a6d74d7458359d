"""New versions of keys: an L3 under the tenant's L2, or a new L2 with the same L3s wrapped by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openkcm.crypto import hierarchy
from openkcm.crypto.contract import Minted, RenewItem
from openkcm.crypto.here import Here
from openkcm.crypto.kept import Kept, keep
from openkcm.crypto.l2_wraps import by, opened
from openkcm.crypto.mint import check_asked, check_makes, check_token, new_l2, new_l3, split_ids, wrapped_l3
from openkcm.crypto.outcomes import attempt, attempt_all, good
from openkcm.crypto.store import MintToken, add_keys, claim_tokens, read_keys
from openkcm.crypto.view import View
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy

_PAGE = "reference/crypto-service#minting"


@dataclass(frozen=True, slots=True)
class _Asked:
    item: RenewItem
    view: View
    l2_id: bytes


@dataclass(frozen=True, slots=True)
class _Made:
    token: MintToken
    view: View
    l2_id: bytes
    keys: list[Kept]


async def renew(here: Here, items: Sequence[RenewItem]) -> list[Minted | Refused]:
    """The asked-for keys are stored here, read back, opened and compared; none is used before a document says so.

    The same token gets the same keys, also from two processes at once and after a kill. Refused alone: another
    generation than the applied one, this region not in the set, a tenant that is read-only, revoked or blocked
    (KEY_READ_ONLY, KEY_REVOKED, KEY_BLOCKED), one without an active L2 (KEY_NOT_ACTIVE), a token that stands for
    something else (BAD_REQUEST), a key that is not what this region accepted (RECORD_MISMATCH), a root key that does
    not wrap or unwrap (KEY_STORE_*, KEY_SUSPENDED).
    """
    asked = await attempt(items, lambda item: _look(here, item))
    views = [one.view for one in good(asked)]
    wanted = {key_id for view in views for key_id in (*view.l2_ids(), *view.l3_ids())}
    async with transaction(Role.OWN) as tx:
        there = await read_keys(tx, wanted, under=[key_id for view in views for key_id in view.l2_ids()])
    l2s = await here.roots.open_all((one.view, there[one.l2_id]) for one in good(asked) if one.l2_id in there)
    made = await attempt_all(asked, lambda one: _make(here, one, there, l2s))
    async with transaction(Role.OWN) as tx:
        claimed = await claim_tokens(tx, [one.token for one in good(made)])
        winners = [one for one in good(made) if claimed[one.token.token].key_ids == one.token.key_ids]
        await add_keys(tx, [key for one in winners for key in one.keys])
    ids = [key_id for token in claimed.values() for key_id in split_ids(token.key_ids)]
    async with transaction(Role.OWN) as tx:  # a new L2 stands first in its token, and wraps what follows it
        stored = await read_keys(tx, [*ids, *wanted], under=[*ids, *(one.l2_id for one in good(made))])
    proving = [(one.view, stored[key_id]) for one in good(made) if (key_id := _l2_of(one, claimed)) in stored]
    l2s = await here.roots.open_all(proving)
    return await attempt(made, lambda one: _proven(here, one, claimed, stored, l2s))


def _look(here: Here, item: RenewItem) -> _Asked:
    check_asked(item, least=0)
    view = here.at(item.tenant, item.generation)
    check_makes(view)
    return _Asked(item, view, view.active_l2())


async def _make(
    here: Here, one: _Asked, there: Mapping[bytes, Kept], l2s: dict[bytes, bytes | Refused]
) -> _Made:
    item, sealing = one.item, here.root.current
    _held(there, one.l2_id)
    l2 = opened(l2s, one.l2_id)
    if item.services:
        keys = [keep(new_l3(here, item.tenant, name, l2, one.l2_id), sealing) for name in item.services]
        return _Made(_token(item, ",".join(item.services), keys), one.view, one.l2_id, keys)
    new_id, new, statement = new_l2(here, item.tenant)
    keys = [await by(here, one.view, item.connection, statement, new)]
    for key_id in one.view.l3_ids():
        l3 = _held(there, key_id)
        key = l3.open_l3(here.root, l2, one.l2_id)
        keys.append(keep(wrapped_l3(here, l3.record().statement, key, new, new_id), sealing))
    return _Made(_token(item, f"*{item.connection}", keys), one.view, one.l2_id, keys)


def _token(item: RenewItem, services: str, keys: Sequence[Kept]) -> MintToken:
    key_ids = b"".join(key.key_id for key in keys)
    return MintToken(token=item.token, tenant=item.tenant, services=services, key_ids=key_ids)


def _held(there: Mapping[bytes, Kept], key_id: bytes) -> Kept:
    if key_id not in there:
        raise Permanent(
            Refusal.KEY_UNKNOWN,
            f"This region does not hold key {key_id.hex()}, which its document names.",
            remedy=Remedy("Restore the region's database.", "operator", _PAGE),
        )
    return there[key_id]


def _l2_of(made: _Made, claimed: Mapping[str, MintToken]) -> bytes:
    """The L2 that wraps what the token stands for: the new one, which comes first, or the one in force."""
    services = made.token.services
    return split_ids(claimed[made.token.token].key_ids)[0] if services.startswith("*") else made.l2_id


def _proven(
    here: Here,
    made: _Made,
    claimed: Mapping[str, MintToken],
    stored: Mapping[bytes, Kept],
    l2s: dict[bytes, bytes | Refused],
) -> Minted:
    stands = claimed[made.token.token]
    check_token(made.token, stands)
    ids = split_ids(stands.key_ids)
    keys = [stored[key_id] for key_id in ids if key_id in stored]
    if len(keys) != len(ids) or {key.tenant for key in keys} != {made.token.tenant}:
        raise hierarchy.mismatch(f"What was minted for tenant '{made.token.tenant}'")
    l2_id = _l2_of(made, claimed)
    _held(stored, l2_id)
    l2 = opened(l2s, l2_id)
    for key in keys:
        if key.level == "L3":
            key.open_l3(here.root, l2, l2_id)
    return Minted(tenant=made.token.tenant, records=tuple(key.record() for key in keys))
