"""A wrong pin looks like an outage to the processes; the doctor tells them apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from openkcm.cli._reach import region
from openkcm.kernel.clock import SystemClock
from openkcm.parties.identity import Identity, enrol
from openkcm.parties.pins import Pins
from openkcm.parties.tls import Door


def parties(folder: Path) -> Sequence[Identity]:
    folder.chmod(0o700)
    control = enrol(folder / "control", "control", "control")
    return (
        control,
        enrol(folder / "north", "north", "region"),
        enrol(folder / "impostor", "north", "region"),
    )


@asynccontextmanager
async def door_of(identity: Identity, pins: Pins) -> AsyncIterator[str]:
    door = Door(identity, pins, admits="control", clock=SystemClock())
    server = await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=door.context
    )
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_the_pinned_region_an_impostor_and_nobody_are_told_apart(tmp_path: Path) -> None:
    control, north, impostor = parties(tmp_path)
    pins = Pins([control.pin, north.pin])
    async with door_of(north, pins) as address:
        assert (await region("north", address, control, pins)).level == "ok"
    nobody = await region("north", address, control, pins)
    assert (nobody.level, "Nobody answers" in nobody.said) == ("bad", True)
    async with door_of(impostor, pins) as address:
        wrong = await region("north", address, control, pins)
    assert (wrong.level, "Another party answers" in wrong.said) == ("bad", True)
    assert impostor.pin.tls_sha256.hex()[:16] in wrong.said
    unpinned = await region("south", address, control, pins)
    assert unpinned.level == "bad"
