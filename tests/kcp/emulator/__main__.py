"""The emulator as a process of its own: ``python -m tests.kcp.emulator --folder DIR``. See README.md."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from tests.kcp.emulator.control import Control
from tests.kcp.emulator.doors import HOST, Doors
from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.objects import encode
from tests.kcp.emulator.platform_mesh import PlatformMesh
from tests.kcp.emulator.snapshots import Journal, replay
from tests.kcp.emulator.wire import Connection
from tests.kcp.emulator.world import measured


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="tests.kcp.emulator")
    options.add_argument("--folder", type=Path, required=True, help="for the CA's certificate and keys")
    options.add_argument("--state", type=Path, help="a journal; what it tells is there again after a start")
    options.add_argument("--shards", default="root", help="names, with commas; each may be NAME=PORT")
    options.add_argument("--front", type=int, default=0, help="the front proxy's port")
    options.add_argument("--control", type=int, default=0, help="the port of the control door")
    options.add_argument("--plain", action="store_true", help="HTTP instead of HTTPS")
    options.add_argument("--client-certificates", action="store_true")
    options.add_argument("--measured", action="store_true", help="the delays of a real kcp")
    options.add_argument("--warm-up", default="", help="statuses at first, with seconds: 403:1,500:0.2,404:3")
    return options.parse_args()


async def _serve(options: argparse.Namespace) -> None:
    shards = dict((*one.split("="), "0")[:2] for one in options.shards.split(","))
    kcp = Kcp(
        shards=list(shards),
        folder=options.folder,
        tls=not options.plain,
        client_certificates=options.client_certificates,
        delays=measured() if options.measured else None,
        doors=Doors(options.front, {name: int(port) for name, port in shards.items()}),
    )
    mesh = PlatformMesh(kcp)
    known = bool(options.state) and replay(kcp.world, kcp.tokens, options.state)
    if options.state:
        journal = Journal(options.state)
        kcp.tokens.noted = journal.note_token
        for shard in kcp.world.shards.values():
            shard.observers.append(journal.changed)
    phases = [
        (int(status), float(seconds))
        for status, _, seconds in (one.partition(":") for one in options.warm_up.split(",") if one)
    ]
    await kcp.start(phases=phases)
    if known:
        kcp.resume()
        mesh.resume()
    control = Control(kcp, mesh)
    held: set[Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection("control", control.handle, kcp.world.clock, held), HOST, options.control
    )
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(encode({**control.where(), "control": f"http://{HOST}:{port}"}).decode() + "\n")
    sys.stdout.flush()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await kcp.stop()
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve(_options()))
