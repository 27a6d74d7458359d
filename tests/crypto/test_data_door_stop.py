"""A region's process that is told to stop answers whoever it has let in, and lets nobody in any more."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from openkcm.crypto.data.door import data_door
from openkcm.crypto.data.hot import hot_protocol
from openkcm.kernel.db import DB
from openkcm.serving.address import Bind, listen
from openkcm.serving.bounds import BoundedProtocol
from openkcm.serving.server import Served, serve
from tests.crypto.doors import DOORS, DoorName
from tests.crypto.raw_http import GOOD, HEALTHY, PATIENCE_S, Doors, doors, parsed

pytestmark = pytest.mark.integration

__all__ = ["doors"]


@pytest.mark.parametrize("door", DOORS)
async def test_who_waits_for_a_key_and_who_still_sends_are_answered_before_the_process_ends(
    doors: Doors, door: DoorName
) -> None:
    local = doors.plane.local
    DB.pool = local.pool
    taken = listen(Bind("127.0.0.1", 0), setting="a")
    port: int = taken.getsockname()[1]
    started, closing = asyncio.Event(), asyncio.Event()
    served = Served(
        app=data_door(doors.answers),
        socket=taken,
        protocol=hot_protocol(doors.answers) if door == "hot" else BoundedProtocol,
    )
    process = asyncio.create_task(serve([served], closing=closing, started=started.set))
    await started.wait()
    (waits, asking), (sends, sending), (idle, idling) = [
        await asyncio.open_connection("127.0.0.1", port) for _ in range(3)
    ]
    idling.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200" in await idle.readline()
    request, hangs = doors.request(), await asyncpg.connect(local.owner_dsn)
    try:
        async with hangs.transaction():
            await hangs.execute("lock table keys, wraps in access exclusive mode")
            local.here.keys.forget({"acme"})
            asking.write(request)
            sending.write(request[:-5])
            await asyncio.sleep(0.2)
            closing.set()
            async with asyncio.timeout(PATIENCE_S):
                while True:  # until the port is closed
                    try:
                        _, late = await asyncio.open_connection("127.0.0.1", port)
                    except ConnectionError:
                        break
                    late.transport.abort()
                    await asyncio.sleep(0.01)
                assert HEALTHY[1] in await idle.read()  # to its end: it is closed
            sending.write(request[-5:])
            assert not process.done()
        async with asyncio.timeout(PATIENCE_S):
            for reader in (waits, sends):
                said = await reader.read()
                assert parsed(said) == [GOOD]
                assert b"connection: close\r\n" in said.lower()
            await process
    finally:
        await hangs.close()
        for writer in (asking, sending, idling):
            writer.transport.abort()
