"""An embedded PostgreSQL: our own child, reached through a unix socket, asking everybody for a password."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from openkcm.embedded.account import Account, server_account
from openkcm.embedded.child import Child, Launch, spawn
from openkcm.embedded.cluster import (
    NO_ROOM,
    SERVER_ENVIRONMENT,
    SUPERUSER,
    password_file,
    prepare_cluster,
    write_configuration,
)
from openkcm.embedded.files import make_directory, read_private, remove_empty
from openkcm.embedded.logfile import bound, disk_full, size, tail
from openkcm.embedded.state import Lock, StateDirectory, check_socket, open_mode, own_directory
from openkcm.kernel.commands import command
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

PORT = 5432  # only a part of the socket's name
_START_TIMEOUT_S = 60.0  # crash recovery may take that long
_FORMER_TIMEOUT_S = 20.0
_POLL_S = 0.01
_LITTLE_ROOM_BYTES = 1 << 20
_SEGMENT_IN_USE = "pre-existing shared memory block"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """Where a server is reached and how its superuser signs in."""

    socket_dir: Path
    port: int
    superuser: str
    password_file: Path

    def dsn(self, database: str, user: str, password: str) -> str:
        """An address for asyncpg or libpq. It holds the password: never logged."""
        signed_in = f"{quote(user, safe='')}:{quote(password, safe='')}"
        place = f"host={quote(str(self.socket_dir), safe='/')}&port={self.port}"
        return f"postgresql://{signed_in}@/{quote(database, safe='')}?{place}"

    def superuser_dsn(self, database: str = "postgres") -> str:
        """The superuser's address; for setting up databases, never handed to a process that serves.

        Raises:
            Refused: FILE_MODE when others may read the password file; DATABASE_FOREIGN when it is gone.
        """
        password = read_private(self.password_file)
        if password is None:
            raise Permanent(
                Refusal.DATABASE_FOREIGN,
                f"The password file {self.password_file} is gone.",
                remedy=Remedy(
                    "Restore it from the same backup as the data.", "operator", "howto/embedded#state"
                ),
            )
        return self.dsn(database, self.superuser, password.strip())


class RunningPostgres:
    """A server that accepts connections, until ``stop``."""

    def __init__(self, server: PostgresServer, child: Child, lock: Lock, data: Path, log: Path) -> None:
        self.server = server
        self.data = data
        self.log = log
        self._child = child
        self._lock = lock

    @property
    def pid(self) -> int:
        return self._child.pid

    async def wait(self) -> int:
        """The exit status once the server has ended."""
        return await self._child.wait()

    async def stop(self) -> int:
        """The server has ended (fast: sessions are cut, the data is closed cleanly); sockets and lock are gone."""
        code = await self._child.stop((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))
        _sweep(self.server.socket_dir)
        remove_empty(self.server.socket_dir, self.server.socket_dir.parent)
        self._lock.release()
        return code


async def start_postgres(state: Path, run: Path) -> RunningPostgres:
    """PostgreSQL accepts connections on a socket below ``run``, with its data below ``state``.

    What a killed predecessor left is recovered. Call from the main thread (the server dies with that thread).

    Raises:
        Refused: ALREADY_RUNNING names the pid that uses ``state``; DISK_FULL, BINARY_MISSING, FILE_MODE,
            SETTING_INVALID, DATABASE_FOREIGN, START_FAILED say what is wrong. Nothing half-made is left.
    """
    account = server_account()
    home = StateDirectory(state.absolute()).make().postgres
    make_directory(home, open_mode())
    _check_reachable(home, account)
    socket_dir = own_directory(run.absolute()) / "pg"
    check_socket(socket_dir / f".s.PGSQL.{PORT}.lock")
    lock = Lock.take(home / "lock", what="This PostgreSQL data directory")
    try:
        await _former_gone(home / "data")
        programs, found = await prepare_cluster(home, account)
        write_configuration(home, found.major)
        make_directory(socket_dir, 0o700)
        account.own(socket_dir)
        log = home / "postgres.log"
        bound(log)
        child = await _serve(home, programs, socket_dir, account, log)
    except BaseException:
        _sweep(socket_dir)
        remove_empty(socket_dir, socket_dir.parent)
        lock.release()
        raise
    server = PostgresServer(socket_dir, PORT, SUPERUSER, password_file(home))
    return RunningPostgres(server, child, lock, home / "data", log)


def _check_reachable(home: Path, account: Account) -> None:
    for folder in (home, *home.resolve().parents):
        if not account.can_enter(folder):
            raise Permanent(
                Refusal.SETTING_INVALID,
                f"As root the database runs as '{account.name}', who may not pass through {folder} to {home}.",
                remedy=Remedy(
                    "Use a state directory such as /var/lib/openkcm, or start as a plain user.",
                    "operator",
                    "howto/embedded#accounts",
                ),
            )


async def _serve(home: Path, programs: Path, socket_dir: Path, account: Account, log: Path) -> Child:
    deadline = asyncio.get_running_loop().time() + _START_TIMEOUT_S
    while True:
        _sweep(socket_dir)
        before = size(log)
        child = spawn(
            Launch(
                name="postgres",
                argv=[
                    str(programs / "postgres"),
                    *("-D", str(home / "data"), "-c", f"config_file={home / 'postgresql.conf'}"),
                    *(
                        "-h",
                        "",
                        "-k",
                        f'"{socket_dir}"',
                        "-p",
                        str(PORT),
                        "-c",
                        "unix_socket_permissions=0700",
                    ),
                ],
                env=SERVER_ENVIRONMENT,
                log=log,
                account=account,
                death_signal=signal.SIGINT,
            )
        )
        if await _ready(child, home / "data", deadline):
            return child
        said = tail(log, since=before)
        if _SEGMENT_IN_USE in said and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.2)  # a killed server's sessions are still on their way out
            continue
        raise _not_started(home, log, said)


async def _ready(child: Child, data: Path, deadline: float) -> bool:
    """Whether it came to accept connections; if not, it has ended."""
    loop = asyncio.get_running_loop()
    try:
        while child.returncode is None and loop.time() < deadline:
            told = _postmaster_file(data)
            if len(told) >= 8 and told[0] == str(child.pid) and told[7] == "ready":
                return True
            await asyncio.sleep(_POLL_S)
    except BaseException:
        await child.stop((signal.SIGINT, 5.0))
        raise
    await child.stop((signal.SIGQUIT, 5.0))
    return False


def _not_started(home: Path, log: Path, said: str) -> Permanent:
    room = os.statvfs(home)
    if NO_ROOM in said or room.f_bavail * room.f_frsize < _LITTLE_ROOM_BYTES:
        return disk_full(home)
    return Permanent(
        Refusal.START_FAILED,
        f"PostgreSQL did not start; why stands at the end of {log}.",
        remedy=Remedy(
            f"Read that file; '{command('doctor')}' checks the usual causes.", "operator", "howto/embedded"
        ),
    )


def _postmaster_file(data: Path) -> list[str]:
    try:
        return [line.strip() for line in (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []


async def _former_gone(data: Path) -> None:
    """No server of an earlier start uses the data; a pid file that names a stranger is removed.

    A parent that was killed takes its server with it, but not in the same instant.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _FORMER_TIMEOUT_S
    while told := _postmaster_file(data):
        pid = int(told[0]) if told[0].isdigit() else 0
        if not _serves(pid, data):
            if pid and Path(f"/proc/{pid}").exists():
                # The number was given to somebody else since: PostgreSQL would take it for a living server.
                (data / "postmaster.pid").unlink(missing_ok=True)
            return
        if loop.time() > deadline:
            raise Permanent(
                Refusal.ALREADY_RUNNING,
                f"PostgreSQL is already running on {data} as process {pid}.",
                remedy=Remedy(
                    f"Stop process {pid} (SIGINT), then start again.", "operator", "howto/embedded#state"
                ),
            )
        await asyncio.sleep(0.05)


def _serves(pid: int, data: Path) -> bool:
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(data) in argv


def _sweep(socket_dir: Path) -> None:
    """Sockets of a server that is gone are gone too."""
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        with suppress(FileNotFoundError):
            (socket_dir / name).unlink()
