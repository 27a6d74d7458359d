"""Keys that regions hold and this database has forgotten are known again, in the state that a document gave them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from openkcm.crypto.contract import KeyRecord
from openkcm.kernel.db import Transaction
from openkcm.keychain.states import KeyState
from openkcm.keychain.store import add_records, add_rewraps
from openkcm.services.ensure import ensure_service

_KNOWN = "select key_id from keys where tenant = $1"
_PARENTS = "select key_id, wrap->>'parent' as parent from wraps where tenant = $1 and holder = ''"
# One key of a level and service encrypts; what was destroyed stays so.
_STATES = """with said as (
    select * from unnest($2::text[], $3::text[]) as given (key_id, state)
), active as (
    select level, service from keys join said using (key_id) where keys.tenant = $1 and said.state = 'active'
)
update keys set state = coalesce(said.state, 'decrypt-only'),
    activated_at = case when said.state in ('active', 'decrypt-only') then coalesce(keys.activated_at, now())
        else keys.activated_at end
from keys same left join said using (key_id)
where same.tenant = $1 and keys.key_id = same.key_id and keys.state <> 'destroyed'
    and (said.state is not null
        or keys.state = 'active' and (keys.level, keys.service) in (select level, service from active))
    and keys.state is distinct from coalesce(said.state, 'decrypt-only')"""


async def take_found(
    tx: Transaction,
    tenant: str,
    records: Sequence[KeyRecord],
    states: Mapping[str, KeyState],
    versions: Mapping[str, int],
    connections: Mapping[str, str],
) -> list[str]:
    """These keys are the tenant's, with the wraps that were shown, and every key of ``states`` is in that state.

    Returns the ids of those that were not known. What encrypted here and is not in ``states``, while another key of
    its service encrypts there, only decrypts from now on. ``versions`` put new ones in their order; the label is ours.
    ``connections`` are the ways to the root keys that wrap L2s.

    Raises:
        Permanent: RECORD_MISMATCH; a key is known with another statement or wrap, or as another tenant's.
    """
    known = {row["key_id"] for row in await tx.fetch(_KNOWN, tenant)}
    parents = {row["key_id"]: row["parent"] for row in await tx.fetch(_PARENTS, tenant)}
    new: list[str] = []
    for record in sorted(records, key=lambda one: versions.get(one.statement.key_id, 0)):
        statement, wrap = record.statement, record.wrap
        if statement.level == "L3" and parents.setdefault(statement.key_id, wrap.parent) != wrap.parent:
            await add_rewraps(tx, tenant, [record])
            continue
        if statement.service:
            await ensure_service(tx, tenant, statement.service)
        await add_records(
            tx,
            tenant,
            [record],
            state=KeyState.DECRYPT_ONLY,
            connection=connections.get(statement.key_id, ""),
        )
        if statement.key_id not in known:
            known.add(statement.key_id)
            new.append(statement.key_id)
    await tx.execute(_STATES, tenant, list(states), [state.value for state in states.values()])
    return new
