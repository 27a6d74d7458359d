"""Who is asked, when, and by whom."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from openkcm.crypto.moments import Clocks, Moment
from openkcm.crypto.probing import CLAIM_S, Prober
from openkcm.crypto.rounds import Target, Worth
from openkcm.crypto.windows import Heard
from openkcm.kernel.clock import SetClock
from openkcm.sdk.key_store import Outage
from openkcm.sdk.refusals import Permanent, Refusal

START = datetime(2026, 1, 1, tzinfo=UTC)


class Table:
    """The claims of a region's processes."""

    def __init__(self, clock: SetClock) -> None:
        self.clock = clock
        self.rows: dict[bytes, tuple[str, float]] = {}

    def of(self, process: str) -> Claimed:
        return Claimed(self, process)


class Claimed:
    def __init__(self, table: Table, process: str) -> None:
        self.table, self.process = table, process

    async def claim(self, key_ids: Sequence[bytes], *, for_s: float) -> Collection[bytes]:
        now = self.table.clock.monotonic()
        for key_id in key_ids:
            holder, until = self.table.rows.get(key_id, ("", 0.0))
            if holder == self.process or until <= now:
                self.table.rows[key_id] = (self.process, now + for_s)
        return {key_id for key_id in key_ids if self.table.rows[key_id][0] == self.process}


class Region:
    """One process with its prober; key stores answer as ``met`` says, by key."""

    def __init__(
        self, *, clock: SetClock | None = None, table: Table | None = None, calls_per_min: float = 600.0
    ) -> None:
        self.clock = clock or SetClock(START)
        self.met: dict[bytes, Outage | Permanent] = {}
        self.proven: set[bytes] = set()
        self.worth: dict[bytes, Worth] = {}
        self.calls: list[tuple[float, bytes]] = []
        self.told: list[tuple[Target, Heard, Moment]] = []
        self.turn = 0
        self.prober = Prober(
            self.ask,
            (table or Table(self.clock)).of(f"process {id(self)}"),
            lambda target, heard, sent: self.told.append((target, heard, sent)),
            lambda key_id: self.worth.get(key_id, Worth.SERVED),
            Clocks(self.clock),
            calls_per_min=calls_per_min,
            jitter=self.jitter,
        )

    def jitter(self) -> float:
        self.turn += 1
        return (self.turn * 0.618) % 1.0

    async def ask(self, target: Target) -> Heard:
        self.calls.append((self.clock.monotonic(), target.key_id))
        met = self.met.get(target.key_id)
        if isinstance(met, Permanent):
            raise met
        return Heard(
            key_id=target.key_id.hex(),
            tenant=target.tenant,
            identity="role",
            outage=met,
            proven=target.key_id in self.proven,
        )

    async def goes_on(self, seconds: int, *others: Region) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            for region in (self, *others):
                await region.prober.step()

    def at(self, key: int) -> list[float]:
        return [when for when, key_id in self.calls if key_id == key_id_of(key)]


def key_id_of(number: int) -> bytes:
    return number.to_bytes(16)


def targets(number: int, store: str = "aws") -> list[Target]:
    return [Target(key_id=key_id_of(each), tenant=f"t{each}", store=store) for each in range(number)]


def gaps(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


async def test_every_key_is_asked_at_least_every_twenty_seconds_and_not_all_at_once() -> None:
    region = Region(calls_per_min=6000)
    region.prober.watch(targets(50))
    await region.goes_on(300)
    for key in range(50):
        assert region.at(key)[0] <= 21
        assert 14 <= min(gaps(region.at(key))) <= max(gaps(region.at(key))) <= 21
    busiest = max(sum(when == second for when, _ in region.calls) for second in range(301))
    assert busiest < 25
    assert [sent.monotonic for _, _, sent in region.told] == [when for when, _ in region.calls]


async def test_no_minute_has_more_calls_than_the_budget_and_the_round_is_fair() -> None:
    region = Region(calls_per_min=120)
    region.prober.watch(targets(1000))
    assert region.prober.rounds.round_s("aws") == pytest.approx(1000 * 61 / 119)
    await region.goes_on(1100)
    times = [when for when, _ in region.calls]
    assert max(sum(start <= when < start + 60 for when in times) for start in range(1100)) <= 120
    counts = [len(region.at(key)) for key in range(1000)]
    assert min(counts) >= 1
    assert max(counts) - min(counts) <= 1 + 1


async def test_stores_do_not_share_a_budget() -> None:
    region = Region(calls_per_min=60)
    region.prober.watch([*targets(500), Target(key_id=key_id_of(900), tenant="t", store="azure")])
    await region.goes_on(200)
    assert max(gaps(region.at(900))) <= 21


async def test_a_refusal_is_asked_again_after_five_seconds() -> None:
    region = Region()
    region.prober.watch(targets(1))
    region.met[key_id_of(0)] = Outage.REFUSED
    await region.goes_on(30)
    assert gaps(region.at(0))[0] == 5


async def test_a_key_that_is_served_is_asked_as_often_in_an_outage_and_a_stopped_one_less_and_less() -> None:
    region = Region()
    region.prober.watch(targets(2))
    region.met = {key_id_of(0): Outage.NO_ANSWER, key_id_of(1): Outage.REFUSED}
    region.proven = {key_id_of(1)}
    region.worth[key_id_of(1)] = Worth.STOPPED
    await region.goes_on(2000)
    assert max(gaps(region.at(0))) <= 21
    assert gaps(region.at(1))[-1] > 200
    assert max(gaps(region.at(1))) <= 301
    region.met, region.worth = {}, {}
    await region.goes_on(700)
    assert max(gaps(region.at(1))[-5:]) <= 21


async def test_of_a_long_outage_nothing_counts_against_a_key_that_stops_only_now() -> None:
    region = Region()
    region.prober.watch(targets(1))
    region.met = {key_id_of(0): Outage.NO_ANSWER}
    await region.goes_on(3600)
    region.worth[key_id_of(0)] = Worth.STOPPED
    before = len(region.calls)
    await region.goes_on(62)
    assert len(region.calls) - before >= 2, "when it answers, its data is back soon and not only after 5 min"


async def test_nobody_is_asked_when_nobody_could_be_helped() -> None:
    region = Region()
    region.prober.watch(targets(2))
    region.worth[key_id_of(0)] = Worth.NOBODY
    await region.goes_on(100)
    assert region.at(0) == []
    assert len(region.at(1)) >= 5
    region.worth.clear()
    await region.goes_on(21)
    assert len(region.at(0)) == 1


async def test_one_process_of_a_region_asks_for_a_key_and_another_goes_on_when_it_ends() -> None:
    clock = SetClock(START)
    table = Table(clock)
    one, two = Region(clock=clock, table=table), Region(clock=clock, table=table)
    for region in (one, two):
        region.prober.watch(targets(20))
    await one.goes_on(200, two)
    assert {key for _, key in one.calls} | {key for _, key in two.calls} == {key_id_of(n) for n in range(20)}
    assert {key for _, key in one.calls} & {key for _, key in two.calls} == set()
    died_at = clock.monotonic()
    await two.goes_on(int(CLAIM_S) + 21)
    late = {key for when, key in two.calls if when > died_at}
    assert late == {key_id_of(number) for number in range(20)}


async def test_what_our_own_side_could_not_ask_is_no_answer() -> None:
    region = Region()
    region.prober.watch(targets(1))
    region.met[key_id_of(0)] = Permanent(Refusal.START_FAILED, "The host does not start.")
    await region.goes_on(21)
    ((_, heard, _),) = region.told
    assert (heard.outage, heard.code) == (Outage.NO_ANSWER, "start-failed")
    region.met.clear()
    await region.goes_on(21)
    assert region.told[-1][1].outage is None


async def test_a_key_that_is_no_longer_watched_is_not_asked() -> None:
    region = Region()
    region.prober.watch(targets(2))
    await region.goes_on(21)
    region.prober.watch(targets(1))
    before = len(region.at(1))
    await region.goes_on(60)
    assert (len(region.at(1)), len(region.prober.rounds.due(1e9, lambda _: Worth.SERVED))) == (before, 1)
    region.prober.watch([])
    assert region.prober.rounds.next_in_s(clock_now(region)) == 20.0


def clock_now(region: Region) -> float:
    return region.clock.monotonic()


async def test_it_goes_on_until_it_is_cancelled() -> None:
    region = Region()
    region.prober.watch(targets(1))
    region.clock.advance(20)
    task = asyncio.create_task(region.prober.run())
    while not region.calls:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
