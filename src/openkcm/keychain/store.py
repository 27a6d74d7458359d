"""A tenant's keys and their wraps: rows are added and change their state, and never lose a wrap."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from openkcm.crypto.contract import KeyRecord, Statement, Wrap
from openkcm.kernel.db import Transaction
from openkcm.keychain.model import Key
from openkcm.keychain.states import KeyState
from openkcm.sdk.refusals import Permanent, Refusal

_ADD = """insert into keys (key_id, tenant, level, service, connection, version, state, statement)
select fresh.key_id, $1, fresh.level, fresh.service,
    case when fresh.level = 'L2' then $7 else '' end, 1 + coalesce((select max(version) from keys
    where keys.tenant = $1 and keys.level = fresh.level and keys.service = fresh.service), 0), $2,
    fresh.statement::jsonb
from unnest($3::text[], $4::text[], $5::text[], $6::text[]) as fresh (key_id, level, service, statement)
on conflict (key_id) do nothing"""
_SAME = """select count(*) from keys join unnest($2::text[], $3::text[]) as given (key_id, statement)
using (key_id) where keys.tenant = $1 and keys.statement = given.statement::jsonb"""
_WRAP = """insert into wraps (key_id, holder, tenant, wrap)
select keys.key_id, fresh.holder, $1, fresh.wrap::jsonb
from unnest($2::text[], $3::text[], $4::text[]) as fresh (key_id, holder, wrap)
join keys on keys.key_id = fresh.key_id and keys.tenant = $1
on conflict (key_id, holder) do nothing"""
_SAME_WRAPS = """select count(*) from wraps
join unnest($2::text[], $3::text[], $4::text[]) as given (key_id, holder, wrap) using (key_id, holder)
where wraps.tenant = $1 and wraps.wrap = given.wrap::jsonb"""
_ACTIVATE = """update keys set state = 'active', activated_at = coalesce(activated_at, now())
where tenant = $1 and state = 'ready'"""
_ABANDON = """update keys set state = 'abandoned' from tenants
where keys.tenant = $1 and key_id = any($2::text[]) and tenants.id = keys.tenant
    and (state = 'ready' or state = 'active' and stage in ('provisioning', 'undone'))"""
_REWRAP = """insert into rewraps (key_id, parent, tenant, wrap)
select keys.key_id, fresh.parent, $1, fresh.wrap::jsonb
from unnest($2::text[], $3::text[], $4::text[]) as fresh (key_id, parent, wrap)
join keys on keys.key_id = fresh.key_id and keys.tenant = $1
on conflict (key_id, parent) do nothing"""
_SAME_REWRAPS = """select count(*) from rewraps
join unnest($2::text[], $3::text[], $4::text[]) as given (key_id, parent, wrap) using (key_id, parent)
where rewraps.tenant = $1 and rewraps.wrap = given.wrap::jsonb"""
_FORGET_ONE = """with one as (
    update keys set state = 'destroyed' where tenant = $1 and key_id = $2
), beside as (
    delete from rewraps where tenant = $1 and (key_id = $2 or parent = $2)
)
delete from wraps where tenant = $1 and (key_id = $2 or wrap->>'parent' = $2)"""
_DESTROY = "update keys set state = 'destroyed' where tenant = $1"
_FORGET = "delete from wraps where tenant = $1"
_FORGET_REWRAPS = "delete from rewraps where tenant = $1"
_KEYS = """select key_id, tenant, level, service, version, state, statement::text as statement, created_at,
    activated_at, connection from keys where tenant = $1 order by level, service, version"""
_WRAPS = """select wrap::text as wrap, key_id, holder, '' as parent from wraps where tenant = $1
union all select wrap::text, key_id, '', parent from rewraps where tenant = $1 order by key_id, holder, parent"""


async def add_records(
    tx: Transaction,
    tenant: str,
    records: Sequence[KeyRecord],
    *,
    state: str = KeyState.READY,
    connection: str = "",
) -> None:
    """The keys are the tenant's, each with its wrap, under the next version; the same again changes nothing.

    ``connection`` is the way to the root key that wraps the tenant key among them.

    Raises:
        Permanent: RECORD_MISMATCH; a key id is known with another tenant, statement or wrap.
    """
    if not records:
        return
    if any(
        record.statement.tenant != tenant or record.wrap.key_id != record.statement.key_id
        for record in records
    ):
        raise _mismatch()
    statements = [record.statement for record in records]
    written = [msgspec.json.encode(statement).decode() for statement in statements]
    ids = [statement.key_id for statement in statements]
    done = await tx.execute(
        _ADD,
        tenant,
        KeyState(state).value,
        ids,
        [statement.level for statement in statements],
        [statement.service for statement in statements],
        written,
        connection,
    )
    # Where every one is a new row, each is what was given; else what was there before has to be the same.
    if not _all_new(done, ids) and await tx.fetchval(_SAME, tenant, ids, written) != len(set(ids)):
        raise _mismatch()
    await add_wraps(tx, tenant, [record.wrap for record in records])


async def add_wraps(tx: Transaction, tenant: str, wraps: Sequence[Wrap]) -> None:
    """Each holder's wrap is kept beside the others; the same again changes nothing.

    Raises:
        Permanent: RECORD_MISMATCH; the key is not the tenant's, or its holder has another wrap of it already.
    """
    unique = {(wrap.key_id, wrap.holder): wrap for wrap in wraps}
    columns = (
        [key_id for key_id, _ in unique],
        [holder for _, holder in unique],
        [msgspec.json.encode(wrap).decode() for wrap in unique.values()],
    )
    if unique:
        done = await tx.execute(_WRAP, tenant, *columns)
        if not _all_new(done, unique) and await tx.fetchval(_SAME_WRAPS, tenant, *columns) != len(unique):
            raise _mismatch()
    if any(unique[wrap.key_id, wrap.holder] != wrap for wrap in wraps):
        raise _mismatch()


async def add_rewraps(tx: Transaction, tenant: str, records: Sequence[KeyRecord]) -> None:
    """Service keys that are known have another tenant key's wrap besides; the same again changes nothing.

    Raises:
        Permanent: RECORD_MISMATCH; a key is not the tenant's, has another statement, or another wrap by that key.
    """
    if not records:
        return
    ids = [record.statement.key_id for record in records]
    statements = [msgspec.json.encode(record.statement).decode() for record in records]
    columns = (
        ids,
        [record.wrap.parent for record in records],
        [msgspec.json.encode(record.wrap).decode() for record in records],
    )
    await tx.execute(_REWRAP, tenant, *columns)
    if any(record.wrap.key_id != record.statement.key_id for record in records) or len(set(ids)) != len(ids):
        raise _mismatch()
    if await tx.fetchval(_SAME, tenant, ids, statements) != len(ids):
        raise _mismatch()
    if await tx.fetchval(_SAME_REWRAPS, tenant, *columns) != len(ids):
        raise _mismatch()


async def activate(tx: Transaction, tenant: str) -> None:
    """Every ready key of the tenant is active: the next desired state carries it as one that encrypts."""
    await tx.execute(_ACTIVATE, tenant)


async def abandon(tx: Transaction, tenant: str, key_ids: Sequence[str]) -> None:
    """These keys never will be in use. No key is destroyed here, and one of a tenant past the pivot is left alone."""
    await tx.execute(_ABANDON, tenant, list(key_ids))


async def destroy(tx: Transaction, tenant: str) -> None:
    """No key of the tenant is in use and no wrap of one is kept: every region has deleted what opened them.

    Their statements stay: they say which keys there were.
    """
    await tx.execute(_DESTROY, tenant)
    await tx.execute(_FORGET, tenant)
    await tx.execute(_FORGET_REWRAPS, tenant)


async def destroy_one(tx: Transaction, tenant: str, key_id: str) -> None:
    """No wrap of this key is kept, nor one that it made; its statement stays."""
    await tx.execute(_FORGET_ONE, tenant, key_id)


async def keys_of(tx: Transaction, tenant: str) -> list[Key]:
    """The tenant's keys: L2 before L3, then by service and version."""
    return [
        Key(
            key_id=row["key_id"],
            tenant=row["tenant"],
            level=row["level"],
            service=row["service"],
            version=row["version"],
            state=KeyState(row["state"]),
            statement=msgspec.json.decode(row["statement"], type=Statement),
            created_at=row["created_at"],
            activated_at=row["activated_at"],
            connection=row["connection"],
        )
        for row in await tx.fetch(_KEYS, tenant)
    ]


async def wraps_of(tx: Transaction, tenant: str) -> list[Wrap]:
    """Every wrap of the tenant's keys."""
    return [msgspec.json.decode(row["wrap"], type=Wrap) for row in await tx.fetch(_WRAPS, tenant)]


def _all_new(done: str, given: Collection[object]) -> bool:
    """Whether a statement that leaves what is there has inserted every one."""
    return done == f"INSERT 0 {len(given)}"


def _mismatch() -> Permanent:
    return Permanent(
        Refusal.RECORD_MISMATCH,
        "A region answered with a key record that does not fit what is known of this key. Nothing was stored.",
    )
