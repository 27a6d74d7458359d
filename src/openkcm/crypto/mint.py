"""Keys come into being: generated here, wrapped, signed, stored, read back, opened and compared before the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from openkcm.crypto import hierarchy
from openkcm.crypto.contract import KeyRecord, Level, Minted, MintItem, RenewItem, Statement, Wrap
from openkcm.crypto.covered import covered_statement
from openkcm.crypto.here import Here
from openkcm.crypto.kept import Kept, keep
from openkcm.crypto.l2_wraps import by_own_root, signed_wrap
from openkcm.crypto.outcomes import attempt, good
from openkcm.crypto.store import MintToken, add_keys, claim_tokens, read_keys
from openkcm.crypto.view import View
from openkcm.kernel.db import Role, transaction
from openkcm.parties.labels import Record
from openkcm.parties.signed import Signature
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy
from openkcm_client.errors import BadName
from openkcm_client.names import check_name

_MAX_SERVICES = 100
_PAGE = "reference/crypto-service#minting"
_TOKEN = re.compile(r"[!-~]{1,200}")
_UNSIGNED = Signature(signer_kind="region", signer="", serial=1, sig=b"")


@dataclass(frozen=True, slots=True)
class _Made:
    token: MintToken
    keys: list[Kept]


async def mint(here: Here, items: Sequence[MintItem]) -> list[Minted | Refused]:
    """A tenant has an L2 and an L3 for each service; none of them encrypts before an applied document says so.

    The same token gets the same keys, also from two processes at once and after a kill. Refused alone: another
    generation than the applied one, this region not in the set, read-only or blocked, or a token that stands for
    something else (BAD_REQUEST).
    """
    made = await attempt(items, lambda item: _make(here, item))
    async with transaction(Role.OWN) as tx:
        claimed = await claim_tokens(tx, [one.token for one in good(made)])
        winners = [one for one in good(made) if claimed[one.token.token].key_ids == one.token.key_ids]
        await add_keys(tx, [key for one in winners for key in one.keys])
    ids = [key_id for token in claimed.values() for key_id in split_ids(token.key_ids)]
    async with transaction(Role.OWN) as tx:
        stored = await read_keys(tx, ids)
    return await attempt(made, lambda one: _proven(here, one.token, claimed[one.token.token], stored))


def _make(here: Here, item: MintItem) -> _Made:
    check_asked(item)
    view = here.at(item.tenant, item.generation)
    check_makes(view)
    l2_id, l2, statement = new_l2(here, item.tenant)
    kept = by_own_root(here, statement, l2)
    sealing = here.root.current
    keys = [kept]
    keys += [keep(new_l3(here, item.tenant, service, l2, l2_id), sealing) for service in item.services]
    token = MintToken(
        token=item.token,
        tenant=item.tenant,
        services=",".join(item.services),
        key_ids=b"".join(key.key_id for key in keys),
    )
    return _Made(token, keys)


def new_l2(here: Here, tenant: str) -> tuple[bytes, bytes, Statement]:
    """A new L2: its id, the key itself, and what it is for ever."""
    l2_id, l2 = hierarchy.new_key()
    return l2_id, l2, _statement(here, l2, l2_id, level="L2", tenant=tenant, service="")


def check_makes(view: View) -> None:
    """Keys may be made for this tenant.

    Raises:
        Permanent: KEY_READ_ONLY.
    """
    if view.access != "active":
        raise Permanent(
            Refusal.KEY_READ_ONLY,
            f"Tenant '{view.tenant}' is read-only: no new keys are made for it.",
            remedy=Remedy("Have the tenant enabled again first.", "owner", _PAGE),
        )


def check_asked(item: MintItem | RenewItem, *, least: int = 1) -> None:
    """Names, services and token are of the right form.

    Raises:
        Permanent: BAD_REQUEST.
    """
    try:
        check_name(item.tenant, what="tenant")
        for service in item.services:
            check_name(service, what="service")
    except BadName as wrong:
        raise Permanent(Refusal.BAD_REQUEST, str(wrong)) from wrong
    if not least <= len(item.services) <= _MAX_SERVICES or len(set(item.services)) != len(item.services):
        raise Permanent(
            Refusal.BAD_REQUEST, f"A mint names {least} to {_MAX_SERVICES} services, each of them once."
        )
    if not _TOKEN.fullmatch(item.token):
        raise Permanent(Refusal.BAD_REQUEST, "A mint's token has 1 to 200 printable ASCII characters.")


def new_l3(here: Here, tenant: str, service: str, l2: bytes, l2_id: bytes) -> KeyRecord:
    """A new L3 under this L2."""
    key_id, key = hierarchy.new_key()
    statement = _statement(here, key, key_id, level="L3", tenant=tenant, service=service)
    return wrapped_l3(here, statement, key, l2, l2_id)


def wrapped_l3(here: Here, statement: Statement, key: bytes, l2: bytes, l2_id: bytes) -> KeyRecord:
    """This very L3, with its statement as it is, wrapped by this L2."""
    key_id = bytes.fromhex(statement.key_id)
    blob = hierarchy.wrap_l3(key, l2, tenant=statement.tenant, service=statement.service, key_id=key_id)
    wrap = Wrap(
        key_id=statement.key_id,
        holder="",
        parent=l2_id.hex(),
        parent_version=0,
        algorithm=hierarchy.ALGORITHM,
        blob=blob,
        signature=_UNSIGNED,
    )
    return KeyRecord(statement=statement, wrap=signed_wrap(here, wrap))


def _statement(
    here: Here, key: bytes, key_id: bytes, *, level: Level, tenant: str, service: str
) -> Statement:
    committed = hierarchy.commitment(key, level=level, tenant=tenant, service=service, key_id=key_id)
    bare = Statement(
        tenant=tenant,
        level=level,
        service=service,
        key_id=key_id.hex(),
        algorithm=hierarchy.ALGORITHM,
        commitment=committed.hex(),
        signature=_UNSIGNED,
    )
    return replace(bare, signature=here.sign(Record.STATEMENT, *covered_statement(bare)))


def _proven(here: Here, asked: MintToken, stands: MintToken, stored: dict[bytes, Kept]) -> Minted:
    check_token(asked, stands)
    keys = [stored[key_id] for key_id in split_ids(stands.key_ids) if key_id in stored]
    if len(keys) * hierarchy.KEY_ID_BYTES != len(stands.key_ids):
        raise hierarchy.mismatch(f"What was minted for tenant '{asked.tenant}'")
    if {key.tenant for key in keys} != {asked.tenant}:
        raise hierarchy.mismatch(f"What was minted for tenant '{asked.tenant}'")
    l2 = keys[0].open_l2(here.root)
    for key in keys[1:]:
        key.open_l3(here.root, l2, keys[0].key_id)
    return Minted(tenant=asked.tenant, records=tuple(key.record() for key in keys))


def check_token(asked: MintToken, stands: MintToken) -> None:
    """The token stands for what it was asked for.

    Raises:
        Permanent: BAD_REQUEST.
    """
    if (asked.tenant, asked.services) != (stands.tenant, stands.services):
        raise Permanent(
            Refusal.BAD_REQUEST,
            "This mint token has been used for another tenant or other services.",
            remedy=Remedy("Use a token of its own for each mint.", "control", _PAGE),
        )


def split_ids(key_ids: bytes) -> list[bytes]:
    """The key ids that a mint token stands for."""
    size = hierarchy.KEY_ID_BYTES
    return [key_ids[at : at + size] for at in range(0, len(key_ids), size)]
