"""What one process of a region heard of a root key, for its siblings: rows in the region's database, never believed
unseen, and only for half a minute. That a refusal was proven is said with every word until the key answers, and counts
however old it is: a process that was down, or had no database, has missed it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from typing import Final

import msgspec

from openkcm.crypto import labels
from openkcm.crypto.moments import Moment
from openkcm.crypto.rootfile import Root
from openkcm.crypto.windows import Heard
from openkcm.kernel.db import Transaction
from openkcm.sdk.key_store import Outage
from openkcm.sdk.refusals import Refused

_BACK_S: Final = 5.0
"""Rows may become visible in another order than they were written in: so far back is looked again."""
# What was heard earlier does not replace what another process has heard meanwhile.
_WRITE = """insert into root_key_answers as known (key_id, process, root_version, record, mac, sent_at)
select * from unnest($1::bytea[], $2::text[], $3::integer[], $4::bytea[], $5::bytea[], $6::timestamptz[]) as given
order by 1
on conflict (key_id) do update set process = excluded.process, root_version = excluded.root_version,
    record = excluded.record, mac = excluded.mac, sent_at = excluded.sent_at, told_at = clock_timestamp()
    where excluded.sent_at >= known.sent_at"""
_READ = """select key_id, root_version, record, mac, clock_timestamp() as now from root_key_answers
where process <> $1 and told_at > coalesce($2, '-infinity'::timestamptz) - make_interval(secs => $3)"""
_CLAIM = """insert into root_key_claims as claims (key_id, process, ends_at)
select key_id, $2, clock_timestamp() + make_interval(secs => $3) from unnest($1::bytea[]) as given (key_id)
order by key_id
on conflict (key_id) do update set process = excluded.process, ends_at = excluded.ends_at
    where claims.process = excluded.process or claims.ends_at < clock_timestamp()
returning key_id"""
_DROP = """with claims as (delete from root_key_claims where ends_at < clock_timestamp() - interval '1 day')
delete from root_key_answers where told_at < clock_timestamp() - interval '1 day'"""


class _Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    tenant: str
    identity: str
    outage: Outage | None
    code: str
    proven: bool
    sent: Moment
    refused: Moment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a call of ``sent`` came to. ``refused``: who said so has had a proven refusal, of a call of that moment,
    and no answer since.
    """

    heard: Heard
    sent: Moment
    refused: Moment | None = None


async def write_heard(tx: Transaction, root: Root, process: str, words: Mapping[bytes, Word]) -> None:
    """The region's other processes see these, instead of what was heard of the same keys before."""
    version = root.current.version
    records = [msgspec.msgpack.encode(_record(word)) for word in words.values()]
    macs = [_mac(root, version, key_id, record) for key_id, record in zip(words, records, strict=True)]
    count = len(records)
    sent_at = [word.sent.database or word.sent.wall for word in words.values()]
    await tx.execute(_WRITE, list(words), [process] * count, [version] * count, records, macs, sent_at)


async def read_heard(
    tx: Transaction, root: Root, process: str, *, since: object
) -> tuple[Sequence[Word], object]:
    """What other processes have heard since about then (None: all that there is), and the time to go on from.

    The same may come again, and old words come; whoever hears them looks at when they were sent.
    """
    found: list[Word] = []
    for row in await tx.fetch(_READ, process, since, _BACK_S):
        since = row["now"]
        try:
            if not compare_digest(row["mac"], _mac(root, row["root_version"], row["key_id"], row["record"])):
                continue  # who can write here can keep the word from others, and add none
            said = msgspec.msgpack.decode(row["record"], type=_Record)
        except (Refused, msgspec.MsgspecError):
            continue  # of a process with another version, as while an update is rolled out
        heard = Heard(
            key_id=row["key_id"].hex(),
            tenant=said.tenant,
            identity=said.identity,
            outage=said.outage,
            code=said.code,
            proven=said.proven,
        )
        found.append(Word(heard=heard, sent=said.sent, refused=said.refused))
    return found, since


async def database_time(tx: Transaction) -> datetime:
    """What time it is by the database's clock."""
    now = await tx.fetchval("select clock_timestamp()")
    if not isinstance(now, datetime):
        raise TypeError("the database has no time")
    return now


async def claim(
    tx: Transaction, process: str, key_ids: Sequence[bytes], *, for_s: float
) -> Collection[bytes]:
    """Those of these keys for which this process asks: nobody else does, or not any more."""
    return {row["key_id"] for row in await tx.fetch(_CLAIM, list(key_ids), process, for_s)}


async def drop_old(tx: Transaction) -> None:
    """No row of a key that nobody asks for is left for longer than a day."""
    await tx.execute(_DROP)


def _record(word: Word) -> _Record:
    heard = word.heard
    told = (heard.tenant, heard.identity, heard.outage, heard.code, heard.proven)
    return _Record(*told, word.sent, word.refused)


def _mac(root: Root, version: int, key_id: bytes, record: bytes) -> bytes:
    return root.sealing(version).authenticate(labels.HEARD, key_id, record)
