"""The SQL of a region's keys and offers. Many rows a statement: a hundred tenants cost as many round trips as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import Final

from openkcm.crypto.kept import Kept
from openkcm.kernel.db import Transaction

OFFER_LIFE_S: Final = 60
# The ids are said of both tables: of one alone, PostgreSQL reads the whole of the other to join it.
_READ = """
select k.key_id, k.tenant, k.level, k.service, k.algorithm, k.commitment, k.signature, k.root_version, k.mac,
       w.holder, w.parent, w.parent_version, w.algorithm as wrap_algorithm, w.blob, w.signature as wrap_signature,
       w.root_version as wrap_root_version, w.mac as wrap_mac, e.secret as erase_secret
from keys k
join (select *, false as again from wraps where key_id = any($1::bytea[])
    union all select *, true from rewraps where key_id = any($1::bytea[])) w using (key_id)
left join erase_secrets e using (key_id)
where k.key_id = any($1::bytea[])
order by array_position($2::text[], w.parent), again
"""

# A key that is here already stays as it is; its wrap and erase secret then stay too. A wrap of it by another L2 is put
# beside its own, unless the key was destroyed here: then it has none.
_ADD = """
with given as (
    select * from unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bytea[],
        $8::integer[], $9::bytea[], $10::text[], $11::text[], $12::integer[], $13::text[], $14::bytea[],
        $15::bytea[], $16::integer[], $17::bytea[], $18::bytea[])
    as g (key_id, tenant, level, service, algorithm, commitment, signature, root_version, mac, holder, parent,
        parent_version, wrap_algorithm, blob, wrap_signature, wrap_root_version, wrap_mac, erase_secret)
), added as (
    insert into keys (key_id, tenant, level, service, algorithm, commitment, signature, root_version, mac)
    select key_id, tenant, level, service, algorithm, commitment, signature, root_version, mac from given
    order by key_id
    on conflict do nothing returning key_id
), wrapped as (
    insert into wraps (key_id, holder, parent, parent_version, algorithm, blob, signature, root_version, mac)
    select key_id, holder, parent, parent_version, wrap_algorithm, blob, wrap_signature, wrap_root_version, wrap_mac
    from given join added using (key_id)
), rewrapped as (
    insert into rewraps (key_id, holder, parent, parent_version, algorithm, blob, signature, root_version, mac)
    select g.key_id, g.holder, g.parent, g.parent_version, g.wrap_algorithm, g.blob, g.wrap_signature,
        g.wrap_root_version, g.wrap_mac
    from given g join wraps w using (key_id) where g.level = 'L3' and g.parent <> w.parent
    on conflict do nothing
)
insert into erase_secrets (key_id, secret)
select key_id, erase_secret from given join added using (key_id) where erase_secret is not null
"""


async def read_keys(
    tx: Transaction, key_ids: Iterable[bytes], *, under: Iterable[bytes] = ()
) -> dict[bytes, Kept]:
    """The keys of these ids that the database holds, unchecked.

    An L3 comes as the first of the L2s ``under`` wraps it, of those that do; else as it was wrapped first.
    """
    return {key_id: wraps[0] for key_id, wraps in (await read_wraps(tx, key_ids, under=under)).items()}


async def read_wraps(
    tx: Transaction, key_ids: Iterable[bytes], *, under: Iterable[bytes] = ()
) -> dict[bytes, list[Kept]]:
    """As ``read_keys``, with each key as often as it is wrapped, in the order that is said there."""
    rows = await tx.fetch(_READ, list(key_ids), [key_id.hex() for key_id in under])
    found: dict[bytes, list[Kept]] = {}
    for row in rows:
        found.setdefault(row["key_id"], []).append(Kept(**dict(row)))
    return found


async def add_keys(tx: Transaction, keys: Sequence[Kept]) -> None:
    """The keys are stored; one that was there before is left as it was, with a wrap by another L2 beside its own."""
    if keys:
        columns = zip(*(astuple(key) for key in keys), strict=True)
        await tx.execute(_ADD, *(list(column) for column in columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class MintToken:
    """Which keys a token stands for: service names with commas between them, 16 bytes of key id each."""

    token: str
    tenant: str
    services: str
    key_ids: bytes


async def claim_tokens(tx: Transaction, tokens: Sequence[MintToken]) -> dict[str, MintToken]:
    """Each token stands for one set of keys, for ever: these, or the ones that came first. Answers what stands.

    Waits for another transaction that is claiming the same token.
    """
    if not tokens:
        return {}
    ordered = sorted(tokens, key=lambda token: token.token)  # the same order everywhere: no deadlock
    columns = zip(*(astuple(token) for token in ordered), strict=True)
    await tx.execute(
        "insert into mint_tokens (token, tenant, services, key_ids) "
        "select * from unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) on conflict do nothing",
        *(list(column) for column in columns),
    )
    rows = await tx.fetch(
        "select token, tenant, services, key_ids from mint_tokens where token = any($1::text[])",
        [token.token for token in ordered],
    )
    return {row["token"]: MintToken(**dict(row)) for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOffer:
    """A one-time key that waits for its hand-over; ``sealed`` holds the private half."""

    offer_id: bytes
    tenant: str
    key_id: bytes
    generation: int
    sender: str
    root_version: int
    sealed: bytes
    expires_at: datetime


async def add_offers(tx: Transaction, offers: Sequence[KeptOffer]) -> None:
    """The offers wait."""
    columns = zip(*(astuple(offer) for offer in offers), strict=True)
    await tx.execute(
        "insert into offers (offer_id, tenant, key_id, generation, sender, root_version, sealed, expires_at) "
        "select * from unnest($1::bytea[], $2::text[], $3::bytea[], $4::bigint[], $5::text[], $6::integer[], "
        "$7::bytea[], $8::timestamptz[])",
        *(list(column) for column in columns),
    )


async def take_offers(
    tx: Transaction, offer_ids: Sequence[bytes], *, now: datetime
) -> dict[bytes, KeptOffer]:
    """The offers of these ids that had not expired; they are gone from the database now, whatever becomes of them.

    Both clocks have to agree that an offer is still good: this process's ``now`` and the database's. Each is compared
    with itself alone, so that it does not matter how far apart they are.
    """
    rows = await tx.fetch(
        "delete from offers where offer_id = any($1::bytea[]) returning offer_id, tenant, key_id, generation, sender, "
        "root_version, sealed, expires_at, offered_at > clock_timestamp() - make_interval(secs => $2) as good",
        list(offer_ids),
        OFFER_LIFE_S,
    )
    taken = (dict(row) for row in rows if row["good"] and row["expires_at"] > now)
    return {row["offer_id"]: KeptOffer(**{name: row[name] for name in _OFFER}) for row in taken}


async def drop_expired_offers(tx: Transaction) -> None:
    """No private half of an expired offer is left."""
    await tx.execute(
        "delete from offers where offered_at < clock_timestamp() - make_interval(secs => $1)", OFFER_LIFE_S
    )


_OFFER = tuple(field.name for field in fields(KeptOffer))
