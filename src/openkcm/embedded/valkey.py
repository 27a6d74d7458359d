"""An embedded Valkey: our own child behind a unix socket. It only wakes workers; nothing is true because it says so."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from openkcm.embedded.account import server_account
from openkcm.embedded.binaries import find_valkey, reachable_program
from openkcm.embedded.child import Child, Launch, spawn
from openkcm.embedded.cluster import NO_ROOM, SERVER_ENVIRONMENT
from openkcm.embedded.files import make_directory, remove_empty, remove_tree
from openkcm.embedded.former import Former, end_all
from openkcm.embedded.logfile import bound, disk_full, size, tail
from openkcm.embedded.state import Lock, StateDirectory, check_socket, open_mode, own_directory
from openkcm.kernel.commands import command
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

MAX_MEMORY = "128mb"
_START_TIMEOUT_S = 20.0
_POLL_S = 0.01
_LITTLE_ROOM_BYTES = 1 << 20
_FOREIGN_FORMAT = (
    "Bad file format",
    "Can't handle RDB format",
    "Fatal error loading",
    "Unexpected end of file",
)


class RunningValkey:
    """A server that answers on its socket, until ``stop``."""

    def __init__(self, socket: Path, child: Child, lock: Lock, log: Path) -> None:
        self.socket = socket
        self.log = log
        self._child = child
        self._lock = lock

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def url(self) -> str:
        """An address for redis-py and arq."""
        return f"unix://{self.socket}?db=0"

    async def wait(self) -> int:
        """The exit status once the server has ended."""
        return await self._child.wait()

    async def stop(self) -> int:
        """The server has written its log and ended; its socket and lock are gone."""
        code = await self._child.stop((signal.SIGTERM, 10.0))
        self.socket.unlink(missing_ok=True)
        remove_empty(self.socket.parent, self.socket.parent.parent)
        self._lock.release()
        return code


async def start_valkey(state: Path, run: Path) -> RunningValkey:
    """Valkey answers on a socket below ``run`` that this account and no other may open; no TCP port.

    A queue file that cannot be read is put aside: what was queued is found again in PostgreSQL.

    Raises:
        Refused: ALREADY_RUNNING, BINARY_MISSING, DISK_FULL, SETTING_INVALID or START_FAILED.
    """
    account = server_account()
    home = StateDirectory(state.absolute()).make().valkey
    make_directory(home, open_mode())
    data, socket_dir = home / "data", own_directory(run.absolute()) / "valkey"
    socket = check_socket(socket_dir / "valkey.sock")
    log = home / "valkey.log"
    lock = Lock.take(home / "lock", what="This Valkey data directory")
    try:
        program = reachable_program(find_valkey(), account, home / "programs")
        for folder in (data, socket_dir):
            make_directory(folder, 0o700)
            account.own(folder)
        bound(log)
        await end_all([Former.read(home / "process")])  # a killed parent's server would remove our socket
        launch = Launch(
            name="valkey",
            argv=[str(program), *_arguments(data, socket)],
            env=SERVER_ENVIRONMENT,
            log=log,
            account=account,
            cwd=data,
        )
        child = await _serve(launch, home, socket, log)
    except BaseException:
        socket.unlink(missing_ok=True)
        remove_empty(socket_dir, socket_dir.parent)
        lock.release()
        raise
    return RunningValkey(socket, child, lock, log)


def _arguments(data: Path, socket: Path) -> list[str]:
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": MAX_MEMORY,
        "maxmemory-policy": "noeviction",  # a full queue refuses, it never forgets
        "maxclients": "200",
        "auto-aof-rewrite-min-size": "16mb",
        "daemonize": "no",
        "enable-debug-command": "no",
        "enable-module-command": "no",
    }
    return [part for name, value in settings.items() for part in (f"--{name}", value)]


async def _serve(launch: Launch, home: Path, socket: Path, log: Path) -> Child:
    for fresh in (False, True):
        socket.unlink(missing_ok=True)
        before = size(log)
        child = spawn(launch)
        try:
            Former.now(child.pid).write(home / "process")
        except BaseException:
            await child.stop((signal.SIGTERM, 2.0))
            raise
        if await _ready(child, socket):
            return child
        said = tail(log, since=before)
        room = os.statvfs(home)
        if NO_ROOM in said or room.f_bavail * room.f_frsize < _LITTLE_ROOM_BYTES:
            raise disk_full(home)
        if fresh or not any(sign in said for sign in _FOREIGN_FORMAT):
            break
        aside = home / "unreadable"
        remove_tree(aside)
        files = home / "data" / "appendonlydir"
        if files.exists():
            files.rename(aside)
    raise Permanent(
        Refusal.START_FAILED,
        f"Valkey did not start; why stands at the end of {log}.",
        remedy=Remedy(
            f"Read that file; '{command('doctor')}' checks the usual causes.", "operator", "howto/embedded"
        ),
    )


async def _ready(child: Child, socket: Path) -> bool:
    """Whether it came to answer; if not, it has ended."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_TIMEOUT_S
    try:
        while child.returncode is None and loop.time() < deadline:
            if await answers(socket):
                return True
            await asyncio.sleep(_POLL_S)
    except BaseException:
        await child.stop((signal.SIGTERM, 5.0))
        raise
    await child.stop((signal.SIGTERM, 2.0))
    return False


async def answers(socket: Path) -> bool:
    """Whether a server behind the socket answers a PING (it does not while it loads)."""
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
