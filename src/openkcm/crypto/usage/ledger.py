"""One process's word of what its callers did with keys: written every 10 s, and at its start and orderly stop.

What was counted is in memory until then: a kill loses it, and the next start says between which times that was.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from hmac import compare_digest
from itertools import chain as chained
from typing import Final

import asyncpg

from openkcm.crypto.heard_rows import database_time
from openkcm.crypto.here import Here
from openkcm.crypto.metrics import USES_DROPPED, USES_UNWRITTEN
from openkcm.crypto.usage.append import Appending
from openkcm.crypto.usage.expire import expire
from openkcm.crypto.usage.gathered import Alone, Gathered
from openkcm.crypto.usage.heads import process_mac
from openkcm.crypto.usage.lines import (
    NOTHING,
    START,
    STOP,
    Line,
    chain_name,
    line,
    lines_of,
    region_actor,
    stamp,
)
from openkcm.crypto.uses import Use
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Refused

log = get_logger(__name__)

EVERY_S: Final = 10.0
"""A kill loses the counts of no more than this."""
EXPIRE_EVERY_S: Final = 3600.0
_ROW: Final = "select batch, written_at, root_version, mac from use_processes where process = $1 for update"
_WRITE_ROW: Final = """insert into use_processes (process, batch, written_at, root_version, mac)
values ($1, $2, $3, $4, $5) on conflict (process) do update set batch = excluded.batch,
    written_at = excluded.written_at, root_version = excluded.root_version, mac = excluded.mac"""
_LAST: Final = "select verb from use_entries where chain = $1 order by number desc limit 1"


class Ledger:
    """What ``here.uses`` has counted goes through it into the database, exactly once.

    A write whose end nobody knows (the connection was lost while it committed) is looked for by its number before
    anything is written again.
    """

    def __init__(self, here: Here, *, process: str, keep_days: int) -> None:
        self._here = here
        self._process = process
        self._keep_days = keep_days
        self._alone: list[Alone] = []
        self._fresh = self._nothing(here.clock.now())
        self._tried: tuple[int, Gathered] | None = None
        self._turn = asyncio.Lock()

    def opened(self, tenant: str, key_id: bytes, verb: str, outcome: str) -> None:
        """This process asked a root key for this tenant key, or took it from its lease: told singly."""
        use = Use(tenant=tenant, caller="", service="", key_id=key_id, verb=verb, outcome=outcome)
        self._alone.append((use, self._here.clock.now().timestamp()))

    async def begin(self) -> None:
        """It is on record that this process serves, and how its last run ended.

        Raises:
            Temporary: DATABASE_UNAVAILABLE.
        """
        name = chain_name("", self._here.region, self._process)
        async with transaction(Role.OWN) as tx:
            row = await tx.fetchrow(_ROW, self._process)
            last = await tx.fetchval(_LAST, name)
            told: dict[str, object] = {"run": secrets.token_hex(8)}
            if row is not None and last not in (STOP, None):
                own = self._is_own(row)
                # Whoever changed the row may have hidden how much is missing: then nothing is known of it.
                told["ended"] = "without-stop"
                told["written_until"] = stamp(row["written_at"]) if own else ""
            batch = 0 if row is None else int(row["batch"])
            await self._write(tx, batch + 1, [self._own(START, told)])
        if "ended" in told:
            log.warning("crypto.uses_of_last_run_incomplete", written_until=told["written_until"])

    async def run(self, every_s: float = EVERY_S) -> None:
        """What is used is written down each ``every_s``, and what is too old deleted each hour; until cancelled."""
        expire_at = self._here.clock.monotonic()
        while True:
            await asyncio.sleep(every_s)
            await self.write()
            if self._here.clock.monotonic() >= expire_at:
                expire_at = self._here.clock.monotonic() + EXPIRE_EVERY_S
                await self._expire()

    async def write(self) -> bool:
        """Whether everything that was counted until now is in the database. If not, it is kept for the next try."""
        return await self._try(())

    async def stop(self) -> bool:
        """The same, and it is on record that this process stopped orderly: it counts nothing any more."""
        stopped = await self._try([self._own(STOP)])
        if not stopped:
            log.error("crypto.uses_lost", alarm=True, uses=self._left())
        return stopped

    async def _try(self, own: Iterable[Line]) -> bool:
        async with self._turn:
            self._take()
            try:
                async with transaction(Role.OWN) as tx:
                    await self._write_all(tx, own)
            except Refused as refused:
                log.warning("crypto.uses_not_written", refusal=refused.refusal, uses=self._left())
            except (
                asyncpg.PostgresError
            ) as failed:  # our own statement was refused: nothing else may stop for it
                log.error("crypto.uses_not_written", alarm=True, sqlstate=failed.sqlstate, uses=self._left())
            else:
                if self._tried is not None:
                    USES_DROPPED.inc(self._tried[1].dropped.total())
                self._tried = None
            USES_UNWRITTEN.set(self._left())
            return self._tried is None and not self._fresh

    async def _write_all(self, tx: Transaction, own: Iterable[Line]) -> None:
        row = await tx.fetchrow(_ROW, self._process)
        batch = 0 if row is None else int(row["batch"])
        if self._tried is not None and self._tried[0] == batch:
            self._tried = None  # its commit came through, though its answer did not
        gathered = self._fresh
        if self._tried is not None:
            gathered = self._tried[1]
            gathered.follow(self._fresh)
        self._fresh = self._nothing(gathered.until)
        self._tried = (batch + 1, gathered)
        await self._write(tx, batch + 1, chained(lines_of(gathered, process=self._process), own))

    async def _write(self, tx: Transaction, batch: int, lines: Iterable[Line]) -> None:
        at = await database_time(tx)
        root = self._here.root
        appending = Appending(root, region=self._here.region, process=self._process, at=at)
        await appending.append(tx, lines)
        version = root.current.version
        mac = process_mac(root, version, self._process, batch, at)
        await tx.execute(_WRITE_ROW, self._process, batch, at, version, mac)

    def _take(self) -> None:
        counts, refused = self._here.uses.take()
        alone, self._alone = self._alone, []
        self._fresh.add(counts, refused, alone, self._here.clock.now())

    def _nothing(self, since: datetime) -> Gathered:
        return Gathered(since=since, until=since)

    def _left(self) -> int:
        return self._fresh.total + (self._tried[1].total if self._tried else 0)

    def _own(self, verb: str, told: Mapping[str, object] = NOTHING) -> Line:
        return line("", actor=region_actor(self._process), verb=verb, told=told)

    def _is_own(self, row: asyncpg.Record) -> bool:
        root = self._here.root
        if row["root_version"] not in root.fingerprints:
            return False
        mac = process_mac(root, row["root_version"], self._process, row["batch"], row["written_at"])
        return compare_digest(row["mac"], mac)

    async def _expire(self) -> None:
        try:
            await expire(self._here.root, keep_days=self._keep_days)
        except Refused as refused:
            log.warning("crypto.uses_not_expired", refusal=refused.refusal)
        except asyncpg.PostgresError as failed:
            log.error("crypto.uses_not_expired", alarm=True, sqlstate=failed.sqlstate)
