"""The kcp that is tested: the emulator as a process of its own, or the one that a kubeconfig names."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.kcp.conformance.ground import Target
from tests.kcp.emulator import people, running

EMULATED = {"one-shard": ("root",), "two-shards": ("root", "shard-1")}


@contextlib.contextmanager
def emulated(name: str, folder: Path) -> Iterator[Target]:
    """The emulator, whose restart is a kill; it answers what a real one answers while it starts."""
    shards = EMULATED[name]
    with running.process(folder, "--shards", ",".join(shards)) as held:
        kubeconfig = folder / "admin.kubeconfig"

        def note() -> None:
            server = f"{held.where['front']}/clusters/root"
            token = {"token": held.where["admin_token"]}
            kubeconfig.write_bytes(people.kubeconfig(server, token, ca=held.where["ca"]))

        def kill_and_start() -> None:
            held.kill()
            held.start("--warm-up", "403:0.5,500:0.1,404:0.5")
            note()

        async def restart() -> None:
            await asyncio.to_thread(kill_and_start)

        note()
        yield Target(name, kubeconfig, len(shards), restart, hurry=True)


def real(kubeconfig: Path, *, restart: str, shards: int) -> Target:
    """The kcp of the kubeconfig. ``restart`` is a command for the shell; empty where there is none."""

    async def run() -> None:
        process = await asyncio.create_subprocess_shell(restart)
        assert await process.wait() == 0, f"the restart {restart!r} ended with {process.returncode}"

    return Target("real", kubeconfig.resolve(), max(1, shards), run if restart else None)
