"""Very many accounts at once: nothing is lost, nothing is told twice, and nothing is kept of those that are gone."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from _collections_abc import dict_values
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from openkcm.sdk.tenant_source import Known, Observation, Presence
from openkcm_tenants_kcp.following import Following
from openkcm_tenants_kcp.reflector import Reflector
from tests.kcp.crowd import Crowd, Followed, crowd, followed, kept
from tests.kcp.place import ORG

#: What one more tenant may cost in the plugin's memory: all six of its objects, what was told and what is stored of it.
MOST_BYTES_PER_TENANT = 24_576
#: What coming and going of some hundred accounts may leave behind: caches of the interpreter, pools of connections.
MOST_BYTES_LEFT = 262_144


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Crowd]:
    with crowd(tmp_path) as made:
        yield made


def named(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def empty(core: Followed) -> bool:
    """Nothing is kept of any account; the organisation's own workspace is there all the time."""
    sizes = kept(core.following)
    own = {f"{plural} (kept)": 1 for plural in ("apibindings", "logicalclusters", "accountinfos")}
    return {name: size for name, size in sizes.items() if size} == own


def with_resource(core: Followed) -> int:
    """How many have our own resource, as the plugin sees it."""
    return kept(core.following)["tenants (kept)"]


async def test_of_a_burst_with_deletions_among_it_nothing_is_lost_or_told_twice(place: Crowd) -> None:
    early, late = named("early", 150), named("late", 450)
    async with followed(place.settings) as core:
        short = await place.appear(early)
        await core.until(lambda: with_resource(core) == len(short), says="each has our resource")
        (long, _) = await asyncio.gather(place.appear(late), place.leave(early))
        assert (len(short), len(long)) == (150, 450)
        await core.until(lambda: core.those(Presence.PRESENT) == long, says="all that are there are told")
        await core.until(lambda: core.those(Presence.DELETING) == short, says="all deletions are told")
        assert core.repeated == []
        assert {times for (_, presence), times in core.times.items() if presence is Presence.PRESENT} == {1}
        assert {times for (_, presence), times in core.times.items() if presence is Presence.DELETING} == {1}
        assert 0 < core.largest_batch <= 100
        creators = {core.now[cluster].creator for cluster in long}
        assert {each.username for each in creators if each} == {"owner@example.org"}
        await core.until(lambda: with_resource(core) == len(long), says="each has our resource")
        await place.leave(late)
        await core.until(lambda: core.those(Presence.PRESENT) == set(), says="none is there")
        await core.until(lambda: empty(core), says="nothing is kept of them")
        assert core.those(Presence.DELETING) == short | long
        assert core.repeated == []


class Counted(dict[str, Known]):
    """Says how often all of it was looked through."""

    times = 0

    def values(self) -> dict_values[str, Known]:
        self.times += 1
        return super().values()


async def test_a_change_of_one_account_looks_through_no_others(place: Crowd) -> None:
    async with followed(place.settings) as core:
        there = await place.appear(named("there", 20))
        await core.until(lambda: core.those(Presence.PRESENT) == there, says="all are told")
        core.following._stored = counted = Counted(core.following._stored)
        one = await place.appear(["one"])
        await core.until(lambda: core.those(Presence.PRESENT) == there | one, says="the new one is told")
        await core.until(lambda: with_resource(core) == 21, says="it has our resource")
        assert counted.times == 0


async def test_memory_is_that_of_the_tenants_that_are_there(place: Crowd) -> None:
    """Accounts come and go; the third time nothing more is left behind than the second time."""
    left: list[int] = []
    tracemalloc.start()
    try:
        async with followed(place.settings) as core:
            for turn in ("a", "b", "c"):
                names = named(turn, 80)
                await core.until(lambda: empty(core), says="it begins with nothing")
                before = in_use()
                clusters = await place.appear(names)
                await core.until(lambda: core.those(Presence.PRESENT) == clusters, says="all are told")  # noqa: B023 - used in this turn
                each = (in_use() - before) / len(clusters)
                assert each < MOST_BYTES_PER_TENANT
                await core.until(lambda: with_resource(core) == len(names), says="each has our resource")  # noqa: B023 - used in this turn
                await place.leave(names)
                await core.until(lambda: not core.those(Presence.PRESENT), says="none is there")
                await core.until(lambda: empty(core), says="nothing is kept of them")
                core.now.clear()
                core.times.clear()
                left.append(in_use())
    finally:
        tracemalloc.stop()
    assert left[2] - left[1] < MOST_BYTES_LEFT


def in_use() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def test_lists_that_come_again_and_again_are_compared_and_told_nothing_of(place: Crowd) -> None:
    names = named("a", 600)
    async with followed(place.settings | {"page_size": "50"}) as core:
        clusters = await place.appear(names)
        await core.until(lambda: core.those(Presence.PRESENT) == clusters, says="all are told")
        told = dict(core.now)
        for _ in range(3):
            lists = listed(core)
            await asyncio.to_thread(place.held.call, "compact")
            await asyncio.to_thread(place.held.call, "reset_connections")
            for each in core.following.endpoints.reflectors():
                each._version = ""  # as after a place to go on from that is too old
            await core.until(lambda: listed(core) > lists, says="everything is listed again")  # noqa: B023 - used in this turn
        await core.until(lambda: not core.following.mirror.changed, says="everything is compared")
        assert core.now == told
        assert core.repeated == []
        assert set(core.times.values()) == {1}


def listed(core: Followed) -> float:
    """When the reflector that listed the longest time ago did so."""
    every: list[Reflector[object]] = [*core.following.endpoints.reflectors()]  # type: ignore[type-var]  # of any kind
    return min(each._listed_at for each in every)


async def test_who_waits_for_an_endpoint_to_be_listed_is_not_looked_at_meanwhile(
    place: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters = await place.appear(named("a", 100))
    looked: Counter[str] = Counter()
    look = Following._look

    def counted(following: Following, cluster: str) -> Observation | None:
        looked[cluster] += 1
        return look(following, cluster)

    monkeypatch.setattr(Following, "_look", counted)
    place.held.call("fault_slow", which={"verb": "list", "plural": "logicalclusters"}, before_s=2.0)
    async with followed(place.settings) as core:
        await core.until(lambda: core.those(Presence.PRESENT) == clusters, says="all are told")
        await core.until(lambda: not kept(core.following)["unlisted"], says="nobody waits any more")
        assert max(looked.values()) < 12


async def test_all_are_found_although_kcp_asks_for_patience_again_and_again(place: Crowd) -> None:
    for verb in ("list", "watch", "create"):
        for plural in ("apibindings", "tenants", "accounts"):
            which = {"verb": verb, "plural": plural}
            place.held.call("fault_answer", which=which, status=429, times=2, retry_after_s=1)
    async with followed(place.settings) as core:
        clusters = await place.appear(named("a", 200))
        await core.until(lambda: core.those(Presence.PRESENT) == clusters, says="all are told")
        await core.until(lambda: with_resource(core) == 200, says="each has our resource")
        await core.until(lambda: not kept(core.following)["tries"], says="nothing waits to be tried again")
        assert core.repeated == []


async def test_objects_of_more_than_a_mebibyte_cost_neither_their_neighbours_nor_memory(
    place: Crowd,
) -> None:
    """Together they are larger than the largest answer that is taken: the pages get smaller until they fit."""
    names = named("a", 30)
    clusters = await place.appear(names)
    for name in names:
        given = {"cluster": f"{ORG}:{name}", "plural": "accountinfos", "name": "account"}
        place.held.call("fatten", **given, size_bytes=1_200_000)
    logical = {"cluster": f"{ORG}:{names[0]}", "plural": "logicalclusters", "name": "cluster"}
    place.held.call("fatten", **logical, size_bytes=1_200_000)
    tracemalloc.start()
    try:
        async with followed(place.settings) as core:
            await core.until(lambda: core.those(Presence.PRESENT) == clusters, says="all are told")
            await core.until(lambda: kept(core.following)["accountinfos (kept)"] == 31, says="all is read")
            assert all(each.creator for each in core.now.values())
            await core.until(lambda: with_resource(core) == len(names), says="each has our resource")
            assert in_use() < 8 * 1_048_576
            await place.leave(names)
            await core.until(lambda: empty(core), says="nothing is kept of them")
            assert core.problems == ()
    finally:
        tracemalloc.stop()
