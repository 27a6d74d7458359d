"""A region of the outage machine: the product's rules, lease store, logbook and marks; its database is a field.

A word over a nonce goes through the very functions that a process of a region has it go through, from row to row.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from openkcm.crypto.bounds import Policy
from openkcm.crypto.exchange import Document, Held, Report, Step, receive, restricted
from openkcm.crypto.leases import LeaseStore
from openkcm.crypto.links import Change, Links, Watched
from openkcm.crypto.logbook import Logbook
from openkcm.crypto.mark import HighWater, Mark, open_high_water
from openkcm.crypto.moments import Clocks
from openkcm.crypto.nonces import Nonces
from openkcm.crypto.place import Place, open_place
from openkcm.crypto.rootfile import Root
from openkcm.crypto.tightenings import Tight, followed, lifted_by, tight_of
from openkcm.crypto.windows import Heard
from openkcm.sdk.key_store import Outage
from tests.crypto.outage_control import TENANT, ModelControl, said, word

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = bytes(range(16))
L2 = bytes(range(32))
ROOT = Root({1: b"r" * 32}, region="local")


class World:
    """True time, in seconds since the start."""

    now = 0.0


@dataclass
class SteppedClock:
    """A process's clocks: the wall clock is wrong by ``off`` seconds, monotonic time began with the process."""

    world: World
    off: float = 0.0
    began: float = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.world.now + self.off)

    def time_s(self) -> float:
        return self.now().timestamp()

    def monotonic(self) -> float:
        return self.world.now - self.began


@dataclass
class Database:
    """What the region's PostgreSQL holds. ``words`` is not in it: the oracle's note of what was said to it by then, and
    not taken back by anybody who was aware of it.
    """

    document: Document | None = None
    tight: tuple[Tight, ...] = ()
    epoch: int = 1
    words: frozenset[str] = frozenset()


@dataclass
class Truth:
    """The oracle's memory of a region, in true time. ``clean``: no clock was wrong since, or when it was stamped.

    ``lease_order`` is the oldest document that the lease may be of: one that a region first hears of when it is lifted
    ends it all the same.
    """

    proved: float = float("-inf")
    agreed: float = float("-inf")
    seen: frozenset[Outage] = frozenset()
    refused: bool = False
    leased: bool = False
    lease_order: tuple[int, int, int] = (0, 0, 0)
    clean_proof: bool = False
    clean_agreement: bool = False
    revokes: frozenset[str] = frozenset()


@dataclass
class ModelRegion:
    world: World
    state: Path
    policy: Policy
    control: ModelControl
    clock: SteppedClock = field(init=False)
    database: Database = field(default_factory=Database)
    truth: Truth = field(default_factory=Truth)
    linked: bool = True
    up: bool = False
    alarms: list[Change] = field(default_factory=list)
    kept: tuple[Database, Truth, Path] | None = None

    def __post_init__(self) -> None:
        self.clock = SteppedClock(self.world)
        self.yesterday = self.before = self.database

    def start(self) -> None:
        self.clock.began = self.world.now
        self.marks: HighWater = open_high_water(self.state)
        self.place: Place = open_place(self.state / "leases", host=b"this host")
        self.leases = LeaseStore(self.place, ROOT)
        self.clocks = Clocks(self.clock)
        self.links = Links(self.clocks, Logbook(self.place, ROOT), self.leases, self._alarm)
        self.nonces = Nonces()
        self.memory: bytes | None = None
        self.tight: tuple[Tight, ...] = ()
        self._follow(self.database.tight)
        document = self.database.document
        self.links.load({TENANT: document.revoked} if document and document.revoked else {})
        self.links.watch(Watched(tenant=TENANT, key_id=KEY, policy=self.policy))
        self.up = True
        self.confirm()

    def _alarm(self, watched: Watched, change: Change) -> None:
        self.alarms.append(change)

    def kill(self) -> None:
        """Nothing of memory is left, nothing is written."""
        self.marks.close()
        self.place.close()
        self.up = False

    def confirm(self) -> None:
        """The database answers: its clock is right."""
        self.clocks.heard_database(START + timedelta(seconds=self.world.now))
        self.links.tick()

    @property
    def held(self) -> Held:
        mark = self.marks.marks.get(TENANT)
        known = None if mark is None else (mark[:3], mark.hash)
        return Held(document=self.database.document, mark=known)

    @property
    def access(self) -> str:
        """What the tenant may do here; blocked while the database is behind or empty."""
        held = self.held
        if held.document is None or held.set_back:
            return "blocked"
        return restricted(held.document.access, {}, self.tight)[0]

    def receive(self, document: Document) -> Step:
        step = receive(self.held, document, epoch=self.database.epoch)
        rows = lifted_by([(step, document)], {TENANT: self.tight}, ROOT, change=0)
        if step is Step.APPLY:
            self.truth.revokes |= self.control.knows[document.hash]
            self._stop(document)
            self._store(document, rows)
        elif rows:
            self._write(replace(self.database, tight=_upserted(self.database.tight, rows)))
        self._follow(rows)
        return step

    def tighten(self, document: Document, nonce: bytes) -> None:
        """What the document restricts counts here, whatever was applied."""
        assert self.nonces.take(nonce, TENANT, now=self.clock.monotonic())
        self._stop(document)
        rows = [tight_of(word(document, nonce), ROOT, change=0)]
        words = self.database.words | {document.hash}
        self._write(replace(self.database, tight=_upserted(self.database.tight, rows), words=words))
        self._follow(rows)
        self.memory = None

    def _follow(self, rows: Iterable[Tight]) -> None:
        for row in rows:
            self.tight = followed(self.tight, row)

    def _stop(self, document: Document) -> None:
        if document.access == "revoked":
            self.links.revoke([TENANT], document.order)
            assert not list(self.place.directory.glob("*.secret")), "a lease outlived a revoke"
            self.memory = None
            self.truth.leased = False

    def _store(self, document: Document, lifted: Sequence[Tight]) -> None:
        if document.revoked is not None:
            self.links.know({TENANT: document.revoked})
            self.truth.leased &= self.truth.lease_order > document.revoked
        self._write(
            Database(
                document,
                _upserted(self.database.tight, lifted),
                max(self.database.epoch, document.order[1]),
                self.database.words - self.control.aware[document.hash],
            )
        )
        self.marks.raise_to([(TENANT, Mark(*document.order, document.hash))])

    def _write(self, database: Database) -> None:
        self.before, self.database = self.database, database

    def report(self, step: Step) -> Report | None:
        held = self.held
        if held.known is None:
            return None
        words = tuple(said(tight.item()) for tight in self.tight)
        return Report(step=step, known=held.known, shown=held.document, tightened=words)

    def agree(self) -> None:
        self.clocks.heard_control(START + timedelta(seconds=self.world.now))
        self.links.agreed()
        self.links.tick()
        self.truth.agreed, self.truth.clean_agreement = self.world.now, self.clock.off == 0

    def probe(self, outage: Outage | None) -> None:
        sent = self.clocks.now()
        if outage is None:
            allowed = self.access == "active"
            stamp = self.database.document.order if self.database.document else (0, 0, 0)
            self.links.answered(KEY, sent, l2=L2 if allowed else None, stamp=stamp)
            self.memory = L2 if allowed else self.memory
            leased = allowed or (self.truth.leased and self.access == "active")
            order = min(self.truth.lease_order, stamp) if self.truth.leased else stamp
            self.truth = replace(
                self.truth,
                proved=self.world.now,
                seen=frozenset(),
                refused=False,
                leased=leased,
                lease_order=order,
                clean_proof=self.clock.off == 0,
            )
        else:
            self._fail(outage, proven=False)
            if outage is Outage.REFUSED:
                self.world.now += 5
                self.confirm()
                self._fail(outage, proven=True)
        self.links.tick()

    def _fail(self, outage: Outage, *, proven: bool) -> None:
        heard = Heard(
            key_id=KEY.hex(), tenant=TENANT, identity="role", outage=outage, code="code", proven=proven
        )
        self.links.failed(heard, self.clocks.now())
        seen = outage if proven or outage is not Outage.REFUSED else Outage.DOUBTFUL
        self.truth.seen |= {seen}
        if proven:
            self.truth = replace(self.truth, refused=True, leased=False)
            self.memory = None

    def serves(self) -> bool:
        if not self.up or self.access != "active":
            return False
        decision = self.links.decision(KEY)
        if decision.left_s <= 0:
            return False
        self.memory = self.memory or self.links.recover(KEY)
        return self.memory == L2

    def step_clock(self, seconds: float) -> None:
        self.clock.off += seconds
        self.truth.clean_proof = self.truth.clean_agreement = False

    def snapshot(self) -> None:
        """Disk and database, as a virtual machine's snapshot has them."""
        copy = self.state.with_name(self.state.name + ".kept")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.state, copy)
        self.kept = (replace(self.database), replace(self.truth), copy)

    def put_back(self) -> None:
        """What the snapshot had; files keep their inodes, as they do in a disk's own snapshot."""
        assert self.kept is not None
        self.database, self.truth = replace(self.kept[0]), replace(self.kept[1])
        copy = self.kept[2]
        for path in [path for path in self.state.rglob("*") if path.is_file()]:
            if not (copy / path.relative_to(self.state)).exists():
                path.unlink()
        for path in [path for path in copy.rglob("*") if path.is_file()]:
            target = self.state / path.relative_to(copy)
            with target.open("r+b" if target.exists() else "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.truncate(0)
                file.write(path.read_bytes())


def _upserted(there: tuple[Tight, ...], rows: Iterable[Tight]) -> tuple[Tight, ...]:
    """The table after ``insert … on conflict do update``."""
    table = {(one.service, one.kind, one.hash): one for one in (*there, *rows)}
    return tuple(table.values())
