"""PostgreSQL's data directory: whole or not there, and the two files that rule how it is served."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from pathlib import Path

from openkcm.embedded.account import Account
from openkcm.embedded.binaries import PostgresBinaries, find_postgres, reachable_postgres
from openkcm.embedded.child import Launch, spawn
from openkcm.embedded.files import read_private, remove_tree, sync_directory, write_private
from openkcm.embedded.logfile import disk_full, full_disk
from openkcm.kernel.commands import command
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

SUPERUSER = "postgres"
NO_ROOM = "No space left on device"
_INITDB_TIMEOUT_S = 120.0
# Without our environment: nothing of it may change how the server behaves.
SERVER_ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# For two cores and little memory. What makes committed work durable (fsync, full_page_writes) stays on.
_SETTINGS: Mapping[str, str] = {
    "max_connections": "100",
    "shared_buffers": "24MB",
    "work_mem": "2MB",
    "maintenance_work_mem": "32MB",
    "wal_buffers": "1MB",
    "huge_pages": "off",
    "jit": "off",
    "dynamic_shared_memory_type": "mmap",  # containers have a /dev/shm of 64 MB; files are swept at start
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "max_logical_replication_workers": "0",
    "max_wal_senders": "0",
    "max_replication_slots": "0",
    "autovacuum_max_workers": "2",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "checkpoint_timeout": "15min",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    # The log names errors, never statements, parameters or rows (a DETAIL line quotes the row).
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
}
_SETTINGS_18: Mapping[str, str] = {"io_method": "sync"}  # no three idle reader processes
_HBA = "# Passwords only, through the unix socket only.\nlocal all all scram-sha-256\n"


async def prepare_cluster(home: Path, account: Account) -> tuple[Path, PostgresBinaries]:
    """A complete data directory of a version that can be run is at ``home/data``; the programs' folder is returned.

    A half-made directory (``data.new-…``) is removed and made again; a complete one is never removed.

    Raises:
        Refused: BINARY_MISSING for data of a version that is not installed; FILE_MODE, DATABASE_FOREIGN for data
            of another account or without its password file; DISK_FULL, START_FAILED from initdb.
    """
    data, copies = home / "data", home / "programs"
    for half in home.glob("data.new*"):
        with suppress(OSError):  # its initdb still dies; the next start finds what it leaves
            remove_tree(half)
    if data.exists():
        _check(home, account)
        found = find_postgres(major=_major(data))
        return reachable_postgres(found, account, copies), found
    found = find_postgres()
    programs = reachable_postgres(found, account, copies)
    await _initdb(home, programs, account)
    return programs, found


def _major(data: Path) -> int:
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii").strip())
    except PermissionError as error:
        raise Permanent(
            Refusal.FILE_MODE,
            f"{data} belongs to an account that this one may not read for.",
            remedy=Remedy(
                "Start as the account that started it first, outside of a user namespace that does not know it; or "
                "with another state directory.",
                "operator",
                "howto/embedded#accounts",
            ),
        ) from error
    except (OSError, ValueError) as error:
        raise Permanent(
            Refusal.DATABASE_FOREIGN,
            f"{data} is there, but it is no PostgreSQL data directory (PG_VERSION cannot be read).",
            remedy=Remedy(
                "Restore it from a backup, or move it away to start empty.",
                "operator",
                "howto/embedded#state",
            ),
        ) from error


def _check(home: Path, account: Account) -> None:
    data = home / "data"
    owner = data.stat().st_uid
    if owner != account.uid:
        raise Permanent(
            Refusal.FILE_MODE,
            f"{data} belongs to uid {owner}; started as this user, PostgreSQL runs as '{account.name}' "
            f"(uid {account.uid}).",
            remedy=Remedy(
                "Start as the user who started it first, or with another state directory.",
                "operator",
                "howto/embedded#accounts",
            ),
        )
    if read_private(password_file(home)) is None:
        raise Permanent(
            Refusal.DATABASE_FOREIGN,
            f"{data} is there, but the file with its password, {password_file(home)}, is gone.",
            remedy=Remedy(
                "Restore that file from the same backup as the data.", "operator", "howto/embedded#state"
            ),
        )


def password_file(home: Path) -> Path:
    """Where the superuser's random password is kept, 0600, owned by who starts OpenKCM."""
    return home / "superuser.password"


async def _initdb(home: Path, programs: Path, account: Account) -> None:
    # A name of its own: the initdb of a start that was killed may still be at work, or clean up after itself.
    half, password = home / f"data.new-{secrets.token_hex(4)}", secrets.token_urlsafe(32)
    write_private(password_file(home), password + "\n")
    try:
        with full_disk(home):
            half.mkdir(mode=0o700)
        account.own(half)
        said = await _run_initdb(half, programs, account, password)
        if said is not None:
            raise disk_full(home) if NO_ROOM in said else _initdb_failed(programs)
        with full_disk(home):
            half.rename(home / "data")
            sync_directory(home)
    except BaseException:
        remove_tree(half)
        if not (home / "data").exists():
            password_file(home).unlink(missing_ok=True)
        raise


def _initdb_failed(programs: Path) -> Permanent:
    return Permanent(
        Refusal.START_FAILED,
        f"The database directory could not be made: {programs / 'initdb'} failed.",
        remedy=Remedy(
            f"Run '{command('doctor')}'; check the free space, and that the programs are complete.",
            "operator",
            "howto/embedded",
        ),
    )


async def _run_initdb(data: Path, programs: Path, account: Account, password: str) -> str | None:
    """None when it succeeded, else what it said (into a pipe: the disk may be full)."""
    secret_in, secret_out = os.pipe()
    said_in, said_out = os.pipe()
    try:
        os.write(secret_out, password.encode() + b"\n")
        os.close(secret_out)
        if account.drops:
            os.fchown(secret_in, account.uid, account.gid)  # it is opened again, by name, as that account
        argv = [
            str(programs / "initdb"),
            f"--pgdata={data}",
            f"--username={SUPERUSER}",
            f"--pwfile=/dev/fd/{secret_in}",
            "--auth=scram-sha-256",
            "--data-checksums",
            "--encoding=UTF8",
            "--locale=C",
            "--wal-segsize=4",
            "--no-instructions",
        ]
        child = spawn(
            Launch(
                name="initdb",
                argv=argv,
                env=SERVER_ENVIRONMENT,
                log=said_out,
                account=account,
                death_signal=signal.SIGTERM,
                pass_fds=(secret_in,),
            )
        )
        os.close(said_out)
        said_out = -1
        try:
            code = await _within(child.wait(), _INITDB_TIMEOUT_S)
        finally:
            await child.stop((signal.SIGTERM, 2.0))
        os.set_blocking(said_in, False)
        return None if code == 0 else _read(said_in)
    finally:
        for descriptor in (secret_in, said_in, said_out):
            if descriptor >= 0:
                os.close(descriptor)


async def _within(waiting: Awaitable[int], limit_s: float) -> int:
    try:
        return await asyncio.wait_for(waiting, limit_s)
    except TimeoutError:
        return -1


def _read(descriptor: int) -> str:
    try:
        return os.read(descriptor, 1 << 16).decode("utf-8", "replace")
    except BlockingIOError:
        return ""


def write_configuration(home: Path, major: int) -> None:
    """``postgresql.conf`` and ``pg_hba.conf`` say exactly what this version of OpenKCM wants, whatever stood there."""
    settings = {**_SETTINGS, **(_SETTINGS_18 if major >= 18 else {}), "hba_file": str(home / "pg_hba.conf")}
    lines = "".join(f"{name} = '{_quoted(value)}'\n" for name, value in settings.items())
    with full_disk(home):
        for name, content in (("postgresql.conf", lines), ("pg_hba.conf", _HBA)):
            path = home / name
            if not path.exists() or path.read_text(encoding="utf-8") != content:
                path.write_text(content, encoding="utf-8")
            path.chmod(0o644)


def _quoted(value: str) -> str:
    return value.replace("'", "''")
