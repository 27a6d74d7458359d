"""Keeping watch over the customers' root keys: they are asked in turn, all processes hear of it, the disk has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Final

from openkcm.crypto.bounds import CONFIRM_S, PROBE_S
from openkcm.crypto.heard_rows import Word, claim, database_time, drop_old, read_heard, write_heard
from openkcm.crypto.moments import Clocks, Moment, passed_s
from openkcm.crypto.probing import Prober
from openkcm.crypto.root_keys import RootKeys
from openkcm.crypto.rootfile import Root
from openkcm.crypto.rounds import Target, Worth
from openkcm.crypto.windows import Heard
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Refused

log = get_logger(__name__)

SHARE_S: Final = 1.0
WRITE_S: Final = 2.0
_DROP_S: Final = 3600.0


class KeyWatch:
    """One process of a region. ``run`` goes on until it is cancelled, whatever database, disk or key stores do.

    ``process`` names it among those of its region, also after a restart: then it goes on asking at once.
    """

    def __init__(
        self, roots: RootKeys, root: Root, clocks: Clocks, *, process: str, calls_per_min: float
    ) -> None:
        self._roots = roots
        self._root = root
        self._clocks = clocks
        self._process = process
        self._since: object = None
        self._to_tell: dict[bytes, tuple[Heard, Moment]] = {}
        self._newest: dict[bytes, datetime] = {}
        self._word_at: dict[bytes, float] = {}
        self._watching: frozenset[bytes] = frozenset()
        self.prober = Prober(
            self._probe, self, self._told, roots.links.worth, clocks, calls_per_min=calls_per_min
        )
        roots.l1.hears = self.heard

    async def run(self) -> None:
        """Every root key is asked in its turn, and what is heard is shared and kept."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.prober.run())
            group.create_task(self._each(SHARE_S, self.share))
            group.create_task(self._each(WRITE_S, self.write))
            group.create_task(self._each(_DROP_S, self._drop))

    def heard(self, heard: Heard, sent: Moment) -> None:
        """A call of this process came to this: it counts here at once, and soon everywhere in the region."""
        key_id = bytes.fromhex(heard.key_id)
        if key_id in self._roots.watched:
            self._to_tell[key_id] = (heard, sent)
            self._newest[key_id] = sent.database or sent.wall
            if heard.outage is None:  # else it has to ask again soon
                self._word_at[key_id] = self._clocks.now().monotonic
        self._roots.note(heard, sent)

    async def claim(self, key_ids: Sequence[bytes], *, for_s: float) -> Collection[bytes]:
        """``probing.Claims``; while the database is away, this process asks for none: it soon serves none.

        A key that is served, and of which nobody's word that it answered came for longer than a claim outlives who made
        it, is this process's, too: whoever can write claims keeps no customer's refusal from it, and a sibling that
        cannot ask makes no outage for it.
        """
        try:
            async with transaction(Role.OWN) as tx:
                mine = await claim(tx, self._process, key_ids, for_s=for_s)
            return {*mine, *(key_id for key_id in key_ids if self._is_unheard(key_id, for_s + PROBE_S))}
        except Exception as failed:  # noqa: BLE001 - whatever the database does, other keys go on
            log.warning("crypto.no_claim", reason=type(failed).__name__)
            return ()

    async def share(self) -> None:
        """The region's other processes see what was heard here, and this one what was heard there; at the first time
        also what was refused while this process was not there, so it comes before anything is served.

        Raises:
            Temporary: DATABASE_UNAVAILABLE; it is told the next time.
        """
        if self._watching != (watching := frozenset(self._roots.watched)):
            self._watching = watching
            self.prober.watch(self._targets())
            self._newest = {key_id: at for key_id, at in self._newest.items() if key_id in watching}
            now = self._clocks.now().monotonic
            self._word_at = {key_id: self._word_at.get(key_id, now) for key_id in watching}
        telling = dict(self._to_tell)
        async with transaction(Role.OWN) as tx:
            self._clocks.heard_database(await database_time(tx))
            if telling:
                words = {key_id: self._word(key_id, *told) for key_id, told in telling.items()}
                await write_heard(tx, self._root, self._process, words)
            if not watching:
                return
            found, self._since = await read_heard(tx, self._root, self._process, since=self._since)
        for key_id, told in telling.items():
            if self._to_tell.get(key_id) is told:
                del self._to_tell[key_id]
        for word in found:
            self._elsewhere(word.heard, word.sent)
            if word.refused is not None:
                self._roots.suspend(word.heard, word.refused)

    async def write(self) -> None:
        """The disk has what memory has.

        Raises:
            Permanent: DISK_FULL or STATE_UNWRITABLE.
        """
        self._roots.drop_ended()
        draft, leases = self._roots.links.due(), self._roots.memory.take_leases()
        if draft is not None or leases:
            await asyncio.to_thread(self._roots.links.write, draft, leases, self._roots.memory.is_due)

    def _word(self, key_id: bytes, heard: Heard, sent: Moment) -> Word:
        link = self._roots.links.known(key_id)
        refused = link.refused if link is not None and link.suspended else None
        return Word(heard=heard, sent=sent, refused=refused)

    def _elsewhere(self, heard: Heard, sent: Moment) -> None:
        """Each word counts once and only while it is new: a row that somebody puts back brings nothing back."""
        key_id, at = bytes.fromhex(heard.key_id), sent.database or sent.wall
        known = self._newest.get(key_id)
        if known is not None and at <= known:
            return
        if passed_s(sent, self._clocks.now(), None) > CONFIRM_S:
            return
        self._newest[key_id] = at
        if heard.outage is None:  # else it may be the sibling that is not well
            self._word_at[key_id] = self._clocks.now().monotonic
        self._roots.note(heard, sent)

    def _is_unheard(self, key_id: bytes, for_s: float) -> bool:
        now = self._clocks.now().monotonic
        late = now - self._word_at.get(key_id, now) > for_s
        return late and self._roots.links.worth(key_id) is Worth.SERVED

    def _targets(self) -> list[Target]:
        """A store's budget is its plugin's: how many systems stand behind one, nobody here can tell."""
        targets: list[Target] = []
        for key_id, view in self._roots.watched.items():
            connection = view.keys[key_id].connection
            plugin = next((one.plugin for one in view.desired.connections if one.id == connection), "")
            targets.append(Target(key_id=key_id, tenant=view.tenant, store=plugin))
        return targets

    async def _probe(self, target: Target) -> Heard:
        view = self._roots.watched.get(target.key_id)
        if view is None:  # since its turn came
            return Heard(key_id=target.key_id.hex(), tenant=target.tenant, identity="")
        return await self._roots.l1.probe(view, target.key_id)

    def _told(self, target: Target, heard: Heard, sent: Moment) -> None:
        if target.key_id not in self._roots.watched:
            return
        try:
            self.heard(heard, sent)
        except (
            Refused
        ) as refused:  # it counts; what has to go from the disk is tried again with the next write
            log.error("crypto.watch_failed", alarm=True, refusal=refused.refusal, reason=refused.message)

    async def _drop(self) -> None:
        async with transaction(Role.OWN) as tx:
            await drop_old(tx)

    async def _each(self, every_s: float, do: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await do()
            except Refused as refused:
                log.error("crypto.watch_failed", alarm=True, refusal=refused.refusal, reason=refused.message)
            except Exception as failed:  # noqa: BLE001 - a key that nobody asks for stops by itself, the region does not
                log.error("crypto.watch_failed", alarm=True, reason=type(failed).__name__)
            await asyncio.sleep(every_s)
