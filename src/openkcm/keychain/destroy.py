"""The destruction of single keys: asked for, kept after all, stopped by a use, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from openkcm.audit.record import Entry, record_all
from openkcm.audit.verbs import AuditVerb
from openkcm.identity.step_up import check_step_up
from openkcm.kernel.db import Transaction
from openkcm.keychain.access import restrictions_of, unknown_service, whose
from openkcm.keychain.asked import Asked, check_lives, locked, next_number, wrong_state
from openkcm.keychain.model import Key
from openkcm.keychain.states import DESTROY_MOVES, OPEN, DestroyState, KeyState, KeyVerb
from openkcm.keychain.store import keys_of

_COLUMNS = """key_id, tenant, state, since_epoch, since_generation, wait_s, never_used, asked_by, asked_at, due_at,
    ended_at, ended_by"""
_OF = f"select {_COLUMNS} from key_destroys where tenant = $1 order by asked_at, key_id"  # noqa: S608 - our own names
_ASK = """insert into key_destroys (key_id, tenant, state, since_epoch, since_generation, wait_s, never_used, asked_by,
    asked_at, due_at)
select key_id, $1, 'waiting', $3, $4, $5, $6, $7, $8, $9 from unnest($2::text[]) as key_id
on conflict (key_id) do update set state = 'waiting', since_epoch = excluded.since_epoch,
    since_generation = excluded.since_generation, wait_s = excluded.wait_s, never_used = excluded.never_used,
    asked_by = excluded.asked_by, asked_at = excluded.asked_at, due_at = excluded.due_at, ended_at = null, ended_by = ''
where key_destroys.state in ('stopped', 'kept')"""
_MOVE = """update key_destroys set state = $3, ended_at = case when $5 then $4::timestamptz end,
    ended_by = $6
where tenant = $1 and key_id = any($2::text[]) and state = any($7::text[]) returning key_id"""
_DUE = "update key_destroys set due_at = greatest(due_at, $3) where tenant = $1 and key_id = $2"
_ACTIVE_TENANT_KEY = "the tenant key that wraps all service keys now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroying:
    """A key's destruction. ``due_at`` is the latest time that a region has named; ``since`` the decision."""

    key_id: str
    tenant: str
    state: DestroyState
    since: tuple[int, int]
    wait_s: int
    never_used: bool
    asked_by: str
    asked_at: datetime
    due_at: datetime
    ended_at: datetime | None
    ended_by: str


async def destroys_of(tx: Transaction, tenant: str) -> Sequence[Destroying]:
    """Every destruction that was ever asked for of this tenant's keys, the newest word on each."""
    return [
        Destroying(
            key_id=row["key_id"],
            tenant=row["tenant"],
            state=DestroyState(row["state"]),
            since=(row["since_epoch"], row["since_generation"]),
            wait_s=row["wait_s"],
            never_used=row["never_used"],
            asked_by=row["asked_by"],
            asked_at=row["asked_at"],
            due_at=row["due_at"],
            ended_at=row["ended_at"],
            ended_by=row["ended_by"],
        )
        for row in await tx.fetch(_OF, tenant)
    ]


async def ask_destroy(
    tx: Transaction, asked: Asked, *, at: datetime, wait_s: float, without_step_up: bool
) -> bool:
    """The key, or without ``key_id`` every key of the service, is on its way out; false when it was. Audited.

    What may go: a key that decrypts only; a service's keys as a whole while it, or the tenant, is read-only or revoked;
    one that was abandoned. The caller decides and sends.

    Raises:
        Permanent: STEP_UP_NEEDED; TENANT_UNKNOWN, TENANT_STATE, NOT_PERMITTED; KEY_STATE, the key is in use, unknown
            or destroyed.
    """
    if asked.verb is not KeyVerb.DESTROY:
        raise ValueError(f"{asked.verb} is not {KeyVerb.DESTROY}")
    check_step_up(asked.verb, without_step_up=without_step_up)
    check_lives(await locked(tx, asked))
    chosen = _chosen(asked, await keys_of(tx, asked.tenant))
    await _check_stopped(tx, asked, chosen)
    there = {each.key_id for each in await destroys_of(tx, asked.tenant) if each.state in OPEN}
    fresh = [key.key_id for key in chosen if key.key_id not in there]
    await put_destroys(tx, asked.tenant, fresh, by=asked.by.actor, at=at, wait_s=wait_s)
    return bool(fresh)


async def put_destroys(
    tx: Transaction,
    tenant: str,
    key_ids: Sequence[str],
    *,
    by: str,
    at: datetime,
    wait_s: float,
    never_used: bool = False,
) -> None:
    """These keys are on their way out, from the tenant's next decision on, which the caller makes. Audited."""
    if not key_ids:
        return
    number = await next_number(tx, tenant)
    due_at = at + timedelta(seconds=wait_s)
    await tx.execute(_ASK, tenant, list(key_ids), *number, round(wait_s), never_used, by, at, due_at)
    detail = {"wait_s": round(wait_s), "since": number, "never_used": never_used}
    await _audit(tx, tenant, key_ids, AuditVerb.KEY_DESTROY_ASKED, by, detail)


async def keep(tx: Transaction, asked: Asked, *, at: datetime) -> bool:
    """The key, or without ``key_id`` every key of the service, is kept after all; false when nothing was pending.

    Raises:
        Permanent: TENANT_UNKNOWN, NOT_PERMITTED; KEY_STATE, it is destroyed, or just being: there is no way back.
    """
    if asked.verb is not KeyVerb.KEEP:
        raise ValueError(f"{asked.verb} is not {KeyVerb.KEEP}")
    await locked(tx, asked)
    mine = {key.key_id for key in _chosen(asked, await keys_of(tx, asked.tenant), any_state=True)}
    found = [each for each in await destroys_of(tx, asked.tenant) if each.key_id in mine]
    late = [each for each in found if each.state in (DestroyState.DESTROYING, DestroyState.DESTROYED)]
    if late and (asked.key_id or len(late) == len(found)):
        raise wrong_state(
            f"Key {late[0].key_id} is {'destroyed' if late[0].state is DestroyState.DESTROYED else 'being destroyed'}: "
            "there is no way back.",
            "Nothing; its certificate says when and where.",
            who="nobody",
            page="operate/keys#destroy",
        )
    kept = [each.key_id for each in found if each.state in OPEN and each not in late]
    moved = await move_destroys(tx, asked.tenant, kept, DestroyState.KEPT, at=at, by=asked.by.actor)
    await _audit(tx, asked.tenant, moved, AuditVerb.KEY_DESTROY_KEPT, asked.by.actor, {})
    return bool(moved)


async def move_destroys(
    tx: Transaction, tenant: str, key_ids: Sequence[str], to: DestroyState, *, at: datetime, by: str = ""
) -> Sequence[str]:
    """Those of these keys that may go to ``to`` from where they are, and are there now."""
    ends = to not in OPEN
    before = [start.value for start, end in DESTROY_MOVES if end is to]
    rows = await tx.fetch(_MOVE, tenant, list(key_ids), to.value, at, ends, by, before)
    return [row["key_id"] for row in rows]


async def due(tx: Transaction, tenant: str, key_id: str, at: datetime) -> None:
    """A region keeps the key until ``at`` at least."""
    await tx.execute(_DUE, tenant, key_id, at)


def _chosen(asked: Asked, keys: Sequence[Key], *, any_state: bool = False) -> Sequence[Key]:
    if asked.key_id:
        chosen = [key for key in keys if key.key_id == asked.key_id]
    else:
        chosen = [key for key in keys if key.level == "L3" and key.service == asked.service]
        chosen = [key for key in chosen if any_state or key.state in (KeyState.ACTIVE, KeyState.DECRYPT_ONLY)]
    if not chosen and asked.service:
        raise unknown_service(asked)
    gone = [key for key in chosen if key.state is KeyState.DESTROYED]
    if not chosen or (gone and not any_state):
        raise wrong_state(
            f"Key {asked.key_id} of tenant {asked.tenant} is {'destroyed already' if gone else 'unknown'}.",
            "Compare its id with 'keys list'.",
            page="operate/keys#destroy",
        )
    return chosen


async def _check_stopped(tx: Transaction, asked: Asked, chosen: Sequence[Key]) -> None:
    restricted = await restrictions_of(tx, asked.tenant)
    for key in chosen:
        if key.state is KeyState.ACTIVE and key.level == "L2":
            raise wrong_state(
                f"Key {key.key_id} is {_ACTIVE_TENANT_KEY}: it is not destroyed by itself.",
                "Rotate the tenant key; the old one then goes after its waiting period.",
                page="operate/keys#destroy",
            )
        stopped = "" in restricted or key.service in restricted
        if key.state is KeyState.READY or (key.state is KeyState.ACTIVE and not stopped):
            raise wrong_state(
                f"{whose(asked) if asked.service else f'Key {key.key_id}'} encrypt{'' if asked.service else 's'} now.",
                "Revoke it, or make it read-only, first; or rotate it, and destroy the old version.",
                page="operate/keys#destroy",
            )


async def _audit(
    tx: Transaction,
    tenant: str,
    key_ids: Sequence[str],
    verb: AuditVerb,
    by: str,
    detail: dict[str, object],
) -> None:
    entries = [
        Entry(chain=tenant, actor=by, verb=verb, object=f"key:{key_id}", detail=detail) for key_id in key_ids
    ]
    await record_all(tx, entries)
