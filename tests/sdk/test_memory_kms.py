"""One system in memory, seen from several processes: whatever one of them changes, the others meet."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from openkcm.sdk.key_store import Answered, Connection
from openkcm.sdk.testing.memory_key_place import MemoryPlace
from openkcm.sdk.testing.memory_key_store import openkcm_key_store
from openkcm.sdk.testing.memory_kms import Holdings, MemoryKms

TENANT = "2hy7gk1p3c0zq9xv"
CHILD = """
import asyncio, json, sys
from openkcm.sdk.key_store import Answered, Connection
from openkcm.sdk.testing.memory_key_store import openkcm_key_store

async def main():
    plugin = openkcm_key_store(settings=json.loads(sys.argv[1]))
    store = await plugin.open(Connection(**json.loads(sys.argv[2])))
    for _ in sys.stdin:
        try:
            await store.probe()
            print("answered", flush=True)
        except Answered as refused:
            print(refused.code, flush=True)

asyncio.run(main())
"""


class Host:
    """A process of its own with one store open, which probes when it is told to."""

    def __init__(self, directory: Path, connection: Connection) -> None:
        given = {
            each: getattr(connection, each) for each in ("id", "tenant", "answers", "secrets", "subject")
        }
        settings = {"directory": str(directory), "deadline_s": "0.05"}
        command = [sys.executable, "-c", CHILD, json.dumps(settings), json.dumps(given)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def probed(self) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@pytest.fixture
def place(tmp_path: Path) -> MemoryPlace:
    return MemoryPlace(MemoryKms(tmp_path))


@pytest.fixture
def host(place: MemoryPlace, tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path, asyncio.run(place.connect(TENANT)))
    yield host
    host.process.kill()
    host.process.communicate()


def test_faults_from_outside_reach_a_store_in_another_process_and_heal(
    place: MemoryPlace, host: Host
) -> None:
    assert host.probed() == "answered"
    for kind, code in (("away", "unreachable"), ("throttled", "throttled"), ("late", "timeout")):
        place.kms.fail(kind)  # type: ignore[arg-type]  # each is one
        assert host.probed() == code
        place.kms.heal()
        assert host.probed() == "answered"


def test_a_key_that_is_disabled_from_outside_is_refused_in_another_process(
    place: MemoryPlace, host: Host
) -> None:
    place.kms.change_key("key-1", lambda key: setattr(key, "state", "disabled"))
    assert host.probed() == "key-disabled"


def test_a_process_that_asks_can_be_made_to_die(place: MemoryPlace, host: Host) -> None:
    place.kms.fail("crash")
    assert host.probed() == ""
    assert host.process.wait(timeout=10) == 70


def test_a_change_that_fails_half_way_is_not_seen(place: MemoryPlace) -> None:
    before = place.kms.held

    def fail(held: Holdings) -> None:
        held.administrators.append("somebody")
        raise KeyError

    with pytest.raises(KeyError), place.kms.changing() as held:
        fail(held)
    assert place.kms.held == before


async def test_a_restart_finds_what_was_there(place: MemoryPlace, tmp_path: Path) -> None:
    connection = await place.connect(TENANT)
    context = place.context(connection)
    plugin = openkcm_key_store(settings={"directory": str(tmp_path)})
    wrapped = await (await plugin.open(connection)).wrap(bytes(32), context)
    again = openkcm_key_store(settings={"directory": str(tmp_path)})
    assert await (await again.open(connection)).unwrap(wrapped, context) == bytes(32)


async def test_a_throttled_store_tells_when_to_come_back(place: MemoryPlace) -> None:
    connection = await place.connect(TENANT)
    place.kms.fail("throttled")
    with pytest.raises(Answered) as refused:
        await (await place.plugin.open(connection)).probe()
    assert (refused.value.code, refused.value.retry_after_s) == ("throttled", 1.0)
