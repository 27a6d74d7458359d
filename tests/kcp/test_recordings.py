"""The emulator says what a real kcp v0.32.3 said: every recorded exchange and every recorded watch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from tests.kcp.emulator.objects import Json, encode
from tests.kcp.likeness import Likeness
from tests.kcp.recorded import Exchange, events, exchanges
from tests.kcp.recorder import Told
from tests.kcp.story import one_shard
from tests.kcp.story_two import two_shards

NOT_MODELLED: dict[str, str] = {}
"""Exchanges by ``number name``, each with the reason why the emulator answers otherwise."""
ONE, TWO = exchanges("exchanges.jsonl"), exchanges("exchanges-two-shards.jsonl")
FIRST_CHUNKED_BYTES = 2049


@pytest.fixture(scope="module")
def alone() -> Told:
    return asyncio.run(one_shard())


@pytest.fixture(scope="module")
def sharded() -> Told:
    return asyncio.run(two_shards())


def compared(told: Told, *, shards: int) -> dict[int, list[str]]:
    """The differences of every exchange, by number. Each shard counts its resource versions for itself."""
    likeness = Likeness(told.hosts)
    versions: dict[int, dict[int, int]] = {}
    found: dict[int, list[str]] = {}
    for exchange, answer in told.answers:
        shard = 1 if shards > 1 and ":6445" in exchange.path else 0
        likeness.versions = versions.setdefault(shard, {})
        kind = answer.headers["content-type"]
        ours = answer.json() if kind == "application/json" else answer.text
        found[exchange.number] = list(likeness.differences(exchange.body, ours))
        if answer.status_code != exchange.status:
            found[exchange.number].append(f"status {answer.status_code}, recorded {exchange.status}")
        for name, value in told_headers(exchange):
            if answer.headers.get(name) != value:
                found[exchange.number].append(f"{name} {answer.headers.get(name)}, recorded {value}")
    return found


def told_headers(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """Those that must be the same. The recorded bodies lack ``managedFields``, with which some were long enough for
    chunks and are not any more."""
    for name, value in exchange.headers.items():
        if name != "transfer-encoding" or len(encode(exchange.body)) >= FIRST_CHUNKED_BYTES:
            yield name, value


@pytest.fixture(scope="module")
def of_one(alone: Told) -> dict[int, list[str]]:
    return compared(alone, shards=1)


@pytest.fixture(scope="module")
def of_two(sharded: Told) -> dict[int, list[str]]:
    return compared(sharded, shards=2)


def test_nothing_recorded_is_left_out() -> None:
    assert len(NOT_MODELLED) == 0
    assert (len(ONE), len(TWO)) == (66, 12)


@pytest.mark.parametrize("number", range(len(ONE)), ids=lambda number: f"{number} {ONE[number].name}")
def test_an_exchange_is_as_recorded(of_one: dict[int, list[str]], number: int) -> None:
    assert of_one[number] == []


@pytest.mark.parametrize("number", range(len(TWO)), ids=lambda number: f"{number} {TWO[number].name}")
def test_an_exchange_with_two_shards_is_as_recorded(of_two: dict[int, list[str]], number: int) -> None:
    assert of_two[number] == []


Shown = Callable[[Json], Json]


def whole(event: Json) -> Json:
    """The event without its resource version, which says nothing once events are in order."""
    metadata = {
        name: value for name, value in event["object"]["metadata"].items() if name != "resourceVersion"
    }
    return {"type": event["type"], "object": {**event["object"], "metadata": metadata}}


def course(event: Json) -> Json:
    """What a LogicalCluster tells of its way; kcp's controllers write the annotations in any order."""
    obj = event["object"]
    status = {name: value for name, value in obj["status"].items() if name != "conditions"}
    conditions = [
        {name: value for name, value in one.items() if name != "lastTransitionTime"}
        for one in obj["status"]["conditions"]
    ]
    metadata = {
        name: obj["metadata"].get(name)
        for name in ("labels", "finalizers", "generation", "deletionGracePeriodSeconds", "name")
    }
    return {
        "gone": event["type"] == "DELETED",
        "metadata": metadata,
        "conditions": conditions,
        "status": status,
    }


def by_object(told: list[Json], shown: Shown) -> dict[str, list[Json]]:
    """The events of each object in turn, without those that show nothing new."""
    found: dict[str, list[Json]] = {}
    for event in told:
        annotations = event["object"]["metadata"].get("annotations", {})
        seen = event if event["type"] == "ERROR" else shown(event)
        held = found.setdefault(annotations.get("kcp.io/cluster", ""), [])
        if not held or seen != held[-1]:
            held.append(seen)
    return found


@pytest.mark.parametrize(
    "name",
    [
        "watch-uninstall-and-delete-apibindings.jsonl",
        "watch-zero-touch-apibindings.jsonl",
        "watch-zero-touch-tenants.jsonl",
    ],
)
def test_a_watch_tells_of_each_object_what_was_recorded(alone: Told, name: str) -> None:
    compare(alone, name, whole)


@pytest.mark.parametrize("shard", ["root", "shard-1"])
def test_a_watch_on_each_shard_tells_what_was_recorded(sharded: Told, shard: str) -> None:
    compare(sharded, f"watch-two-shards-{shard}-apibindings.jsonl", whole)


def test_a_watch_tells_the_way_of_each_workspace_as_recorded(alone: Told) -> None:
    """When the first event comes is a race of kcp's controllers: what was recorded is how ours goes on."""
    name = "watch-zero-touch-logicalclusters.jsonl"
    recorded, ours = by_object(events(name), course), by_object(alone.watches[name], course)
    assert sorted(recorded) == sorted(ours)
    likeness = Likeness(alone.hosts)
    for cluster, way in recorded.items():
        assert list(likeness.differences(way, ours[cluster][-len(way) :])) == []
        assert len(ours[cluster]) - len(way) <= 3


def compare(told: Told, name: str, shown: Shown) -> None:
    recorded, ours = by_object(events(name), shown), by_object(told.watches[name], shown)
    assert sorted(recorded) == sorted(ours)
    likeness = Likeness(told.hosts)
    for cluster in recorded:
        assert list(likeness.differences(recorded[cluster], ours[cluster])) == [], cluster


@pytest.mark.parametrize("name", ["alone", "sharded"])
def test_resource_versions_rise_within_a_watch(request: pytest.FixtureRequest, name: str) -> None:
    told: Told = request.getfixturevalue(name)
    for watch in told.watches.values():
        versions = [
            int(event["object"]["metadata"]["resourceVersion"]) for event in watch if event["type"] != "ERROR"
        ]
        assert versions == sorted(set(versions))
