"""The decision after regions have shown what control does not know: the strictest access, all keys, a higher epoch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, cast

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import Access
from openkcm.crypto.exchange import union
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Transaction
from openkcm.kernel.log import get_logger
from openkcm.keychain.access import restrict
from openkcm.keychain.found import take_found
from openkcm.keychain.states import KeyAccess, KeyState
from openkcm.parties.identity import Identity
from openkcm.propagation.decide import decide
from openkcm.propagation.history import Knowing
from openkcm.propagation.model import Decided
from openkcm.propagation.shown import Seen, document_of, restrictions
from openkcm.services.register import callers_of
from openkcm.services.remove import remove_caller

log = get_logger(__name__)

ACTOR: Final = "propagation"
_REGISTERED_AT: Final = "select max(decided_at) from desired where tenant = $1 and generation = $2"
_RAISE: Final = "update installation set epoch = greatest(epoch, $1)"


async def collect(
    tx: Transaction,
    newest: Decided,
    found: Sequence[Seen],
    known: Sequence[str],
    *,
    identity: Identity,
    clock: Clock,
) -> Decided:
    """What the regions have shown is in this database, and the tenant's next document, of a higher epoch, knows of it.

    ``known`` is control's history. What it did not know restricts its tenant from now on, until a person takes that
    back; keys that it did not know are known again, in the state that the newest document shown has them in; a caller
    who had been removed is none.
    """
    own = document_of(newest.signed, newest.desired)
    to_be = union(own, [one.report for one in found], known, digest="")
    await tx.execute(_RAISE, to_be.order[1])
    now = clock.now()
    taken = await _restrict(tx, newest, found, set(known) | _superseded(found), clock)
    keys = await _keys(tx, newest.tenant, found)
    callers = await _callers(tx, newest.tenant, found, set(known) | _superseded(found))
    decided = await decide(
        tx,
        newest.tenant,
        identity=identity,
        clock=clock,
        knowing=Knowing(
            hashes=tuple(sorted(to_be.replaces - {own.hash} - own.replaces)) + reissued(newest, found),
            generation=to_be.order[2] - 1,
            revoked=to_be.revoked,
        ),
    )
    detail = {
        "regions": sorted(one.region for one in found),
        "epoch": decided.epoch,
        "generation": decided.generation,
        "learnt": sorted(to_be.replaces - set(known)),
        "restricted": taken,
        "keys": keys,
        "callers_removed": callers,
        "at": now.isoformat(),
    }
    await record(
        tx,
        newest.tenant,
        actor=ACTOR,
        verb=AuditVerb.DESIRED_COLLECTED,
        object=newest.tenant,
        detail=detail,
    )
    log.critical("propagation.collected", tenant=newest.tenant, **detail)
    return decided


def reissued(newest: Decided, found: Sequence[Seen]) -> tuple[str, ...]:
    """What the regions know of that the newest document does not name, although control knows of it; and the decisions
    of the words that they keep to, since only a document that comes later lifts those.
    """
    own = {newest.hash, *newest.desired.replaces}
    hashes = [one.report.known[1] for one in found if one.report.known[1] not in own]
    hashes += [word.hash for one in found for word in one.words]
    return tuple(dict.fromkeys(hashes))


def _superseded(found: Sequence[Seen]) -> set[str]:
    return {digest for one in found if one.desired is not None for digest in one.desired.replaces}


async def _restrict(
    tx: Transaction, newest: Decided, found: Sequence[Seen], over: set[str], clock: Clock
) -> list[str]:
    said: list[tuple[str, Access]] = []
    for one in found:
        if one.desired is not None and one.report.shown is not None and one.report.shown.hash not in over:
            said += restrictions(one.desired)
        for word in one.words:
            if word.hash not in over:
                said += restrictions(word)
    done = []
    for service, access in said:
        # What became of the tenant is said again by its source; until then a person has to say that it may go on.
        to = KeyAccess.READ_ONLY if access == "read-only" else KeyAccess.REVOKED
        if await restrict(tx, newest.tenant, service, to, by=ACTOR, at=clock.now()):
            done.append(f"{service or newest.tenant}: {to}")
    return done


async def _callers(tx: Transaction, tenant: str, found: Sequence[Seen], over: set[str]) -> list[str]:
    """Nobody is a caller again who had been removed, or registered anew, when a document that control did not know of
    was decided; the names of those who are none any more.
    """
    unknown = [
        one.desired
        for one in found
        if one.desired is not None and one.report.shown is not None and one.report.shown.hash not in over
    ]
    removed = []
    for caller in [each for each in await callers_of(tx, tenant) if each.trust is not None]:
        named = (caller.name, caller.registered)
        since = cast("datetime | None", await tx.fetchval(_REGISTERED_AT, tenant, caller.registered))
        if any(
            named not in {(each.name, each.registered) for each in document.callers}
            and (since is None or since <= document.decided_at)  # both by control's clock
            for document in unknown
        ):
            await remove_caller(tx, tenant, name=caller.name, by=ACTOR)
            removed.append(caller.name)
    return removed


async def _keys(tx: Transaction, tenant: str, found: Sequence[Seen]) -> list[str]:
    shown = sorted(
        (one for one in found if one.desired is not None and one.report.shown is not None),
        key=lambda one: one.report.shown.order if one.report.shown else (0, 0, 0),
    )
    states: dict[str, KeyState] = {}
    versions: dict[str, int] = {}
    ways: dict[str, str] = {}
    for one in shown:
        for key in one.desired.keys if one.desired else ():
            states[key.key_id], versions[key.key_id] = KeyState(key.state), key.version
            ways[key.key_id] = key.connection
    records = [record for one in shown for record in one.records if record.statement.key_id in states]
    return await take_found(tx, tenant, records, states, versions, ways)
