"""Leases on the disk: what opens, what is refused, and what a revoke leaves."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from openkcm.crypto.bounds import LONGEST_WINDOW_S
from openkcm.crypto.lease_files import Why
from openkcm.crypto.leases import HOUR_S, LeaseStore
from openkcm.crypto.place import Place, open_place, this_host
from openkcm.crypto.rootfile import Root
from openkcm.sdk.refusals import Permanent, Refusal
from tests.crypto.disk import KEY, L2, OTHER, Disk, lease, moment
from tests.crypto.refusing import refused


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    found = Disk(tmp_path / "leases")
    yield found
    found.close()


def opened(store: LeaseStore, key_id: bytes = KEY) -> bytes | None:
    found = store.open(key_id)
    return found[0] if found else None


def test_a_lease_opens_after_a_restart_in_private_files_without_the_key_in_them(disk: Disk) -> None:
    disk.store.issue([lease()])
    assert opened(disk.again()) == L2
    assert opened(disk.store, OTHER) is None
    assert {path.stat().st_mode & 0o777 for path in disk.directory.iterdir()} == {0o600}
    assert disk.directory.stat().st_mode & 0o777 == 0o700
    assert all(L2 not in path.read_bytes() for path in disk.directory.iterdir())
    assert "b'\\x00\\x01" not in repr(lease())


def test_each_hour_has_a_secret_of_its_own_and_the_last_ones_are_gone(disk: Disk) -> None:
    disk.store.issue([lease(), lease(OTHER)])
    first = {path.read_bytes() for path in disk.directory.glob("*.secret")}
    disk.store.issue([lease(seconds=60)])
    assert len(first) == 2
    assert {path.read_bytes() for path in disk.directory.glob("*.secret")} == first
    disk.store.issue([lease(seconds=HOUR_S), lease(OTHER, seconds=HOUR_S)])
    assert first.isdisjoint(path.read_bytes() for path in disk.directory.glob("*.secret"))
    assert len(disk.names()) == 4
    assert opened(disk.again()) == L2


def test_a_revoke_deletes_and_syncs_the_secret_before_it_returns(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.store.issue([lease(), lease(OTHER, tenant="blue")])
    happened: list[str] = []
    unlink, fsync = os.unlink, os.fsync

    def noted_unlink(path: str, **named: int) -> None:
        unlink(path, **named)
        happened.append(Path(path).suffix)

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        happened.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", noted_unlink)
        patch.setattr(os, "fsync", noted_fsync)
        disk.store.revoke(["acme"], (1, 1, 2))
    assert happened == [".secret", "sync leases", ".lease"]
    assert opened(disk.store) is None
    assert opened(disk.again()) is None
    assert opened(disk.store, OTHER) == L2


def test_a_lease_that_was_on_its_way_when_its_tenant_was_revoked_is_not_written(disk: Disk) -> None:
    disk.store.revoke(["acme"], (1, 1, 2))
    disk.store.issue([lease(stamp=(1, 1, 1)), lease(OTHER, stamp=(1, 1, 2))])
    assert disk.names() == set()
    disk.store.issue([lease(stamp=(1, 1, 3))])
    assert opened(disk.again(revoked={"acme": (1, 1, 2)})) == L2


def test_a_lease_older_than_the_last_known_revoke_is_refused_on_load(disk: Disk) -> None:
    disk.store.issue([lease(stamp=(1, 1, 4))])
    assert opened(disk.again(revoked={"acme": (1, 1, 5)})) is None
    assert list(disk.store.refused.values()) == [Why.REVOKED]
    assert disk.names() == set()
    disk.store.issue([lease(stamp=(1, 1, 6))])
    assert opened(disk.again(revoked={"acme": (1, 1, 5)})) == L2


def test_a_revoke_that_was_lifted_while_this_process_was_elsewhere_leaves_no_lease_of_before(
    disk: Disk,
) -> None:
    disk.store.issue([lease(stamp=(1, 1, 4)), lease(OTHER, tenant="blue", stamp=(1, 1, 4))])
    disk.store.know({"acme": (1, 1, 5)})
    assert (opened(disk.store), opened(disk.store, OTHER)) == (None, L2)
    disk.store.issue([lease(stamp=(1, 1, 6))])
    disk.store.know({"acme": (1, 1, 5)})
    assert opened(disk.again(revoked={"acme": (1, 1, 5)})) == L2


@pytest.mark.parametrize("kind", ["lease", "secret"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "noise", "another's"])
def test_a_damaged_file_is_refused_and_the_start_goes_on(disk: Disk, kind: str, damage: str) -> None:
    disk.store.issue([lease()])
    path = disk.file(kind)
    raw = path.read_bytes()
    disk.store.issue([lease(OTHER)])
    other = next(p for p in disk.directory.glob(f"*.{kind}") if p != path).read_bytes()
    changed = {
        "flipped": raw[:-1] + bytes([raw[-1] ^ 1]),
        "truncated": raw[: len(raw) // 2],
        "empty": b"",
        "noise": b"\x93\xff" * 50,
        "another's": other,
    }
    path.write_bytes(changed[damage])
    store = disk.again()
    assert (opened(store), opened(store, OTHER)) == (None, L2)
    assert list(store.refused.values()) == [Why.DAMAGED]
    assert len(disk.names()) == 2
    store.issue([lease()])
    assert opened(disk.again()) == L2


def test_a_lease_that_is_damaged_while_the_process_runs_is_no_lease(disk: Disk) -> None:
    disk.store.issue([lease()])
    disk.file("lease").write_bytes(b"")
    assert opened(disk.store) is None
    assert disk.names() == set()
    disk.store.issue([lease()])
    assert opened(disk.store) == L2


def test_a_file_that_others_may_read_or_that_is_a_link_is_refused(disk: Disk, tmp_path: Path) -> None:
    disk.store.issue([lease()])
    disk.file("secret").chmod(0o644)
    assert opened(disk.again()) is None
    assert disk.names() == set()
    disk.store.issue([lease()])
    elsewhere = disk.file("lease").rename(tmp_path / "elsewhere")
    (disk.directory / f"{KEY.hex()}-{lease().hour}.lease").symlink_to(elsewhere)
    assert opened(disk.again()) is None
    assert list(disk.store.refused.values()) == [Why.EXPOSED]
    assert elsewhere.exists()


def test_a_lease_of_another_process_host_or_backup_is_refused(disk: Disk, tmp_path: Path) -> None:
    disk.store.issue([lease()])
    sibling = Disk(tmp_path / "sibling")
    for path in disk.directory.glob("*-*"):
        shutil.copy2(path, sibling.directory)
    assert opened(sibling.again()) is None
    assert list(sibling.store.refused.values()) == [Why.FOREIGN]
    assert sibling.names() == set()
    sibling.close()
    shutil.copytree(disk.directory, tmp_path / "backup", copy_function=shutil.copy2)
    backup = Disk(tmp_path / "backup")
    assert opened(backup.store) is None
    backup.close()
    assert opened(disk.again()) == L2
    assert opened(disk.again(host=b"another")) is None


def test_a_lease_under_a_root_that_is_gone_is_refused(disk: Disk) -> None:
    disk.store.issue([lease()])
    assert opened(disk.again(root=Root({2: b"s" * 32}, region="local"))) is None
    disk.store.issue([lease()])
    assert opened(disk.again(root=Root({2: b"t" * 32}, region="local"))) is None


def test_two_processes_never_share_a_folder(disk: Disk) -> None:
    with refused(Refusal.ALREADY_RUNNING):
        open_place(disk.directory)
    disk.close()
    place = open_place(disk.directory)
    place.close()
    assert this_host()


def test_what_is_not_ours_in_the_folder_stays_and_what_a_crash_left_goes(disk: Disk) -> None:
    (disk.directory / "notes").write_text("mine")
    (disk.directory / f"{KEY.hex()}-7.secret").write_bytes(b"half")
    (disk.directory / f".{KEY.hex()}-7.lease.0123abcd.draft").write_bytes(b"half")
    assert disk.again().refused == {}
    assert disk.names() == {"notes"}


def test_a_full_disk_is_refused_and_the_lease_of_before_stands(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.store.issue([lease()])

    def full(descriptor: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with refused(Refusal.DISK_FULL):
            disk.store.issue([lease(seconds=HOUR_S)])
        assert opened(disk.store) == L2
        assert len(disk.names()) == 2
    disk.store.issue([lease(seconds=HOUR_S)])
    assert opened(disk.again()) == L2


def test_a_disk_that_fills_up_in_the_middle_leaves_the_new_ones_and_the_old_ones(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.store.issue([lease(), lease(OTHER)])
    write, left = os.write, [2]

    def filling(descriptor: int, content: bytes) -> int:
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "no room")
        left[0] -= 1
        return write(descriptor, content)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", filling)
        with refused(Refusal.DISK_FULL):
            disk.store.issue([lease(seconds=HOUR_S), lease(OTHER, seconds=HOUR_S)])
    store = disk.again()
    assert (opened(store), opened(store, OTHER)) == (L2, L2)
    assert [kept.hour - lease().hour for key in (KEY, OTHER) if (kept := store.kept(key))] == [1, 0]


def test_a_revoke_that_cannot_be_written_is_not_acknowledged_and_in_force(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.store.issue([lease()])

    def broken(*given: object, **named: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", broken)
        for _ in range(2):  # asked again it does not say that all is well
            with refused(Refusal.STATE_UNWRITABLE):
                disk.store.revoke(["acme"], (1, 1, 2))
        assert opened(disk.store) is None
    disk.store.revoke(["acme"], (1, 1, 2))
    assert disk.names() == set()


def test_a_secret_older_than_the_longest_window_and_its_hour_is_deleted_by_confirmed_time_alone(
    disk: Disk,
) -> None:
    disk.store.issue([lease()])
    disk.store.sweep(None)
    disk.store.sweep(moment(LONGEST_WINDOW_S + HOUR_S).wall)
    assert opened(disk.store) == L2
    disk.store.sweep(moment(LONGEST_WINDOW_S + HOUR_S + 1).wall)
    assert disk.names() == set()
    assert opened(disk.again()) is None


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Permanent) as found:
        open_place(tmp_path / "file" / "leases")
    assert found.value.refusal is Refusal.STATE_UNWRITABLE


def test_a_revoke_does_not_wait_until_many_leases_are_written(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoked, began, written = Event(), Event(), 0
    write = Place.write

    def counted(place: Place, name: str, content: bytes) -> None:
        nonlocal written
        write(place, name, content)
        written += 1
        began.set()
        if written == 100:
            in_time.append(revoked.wait(5))

    in_time: list[bool] = []
    monkeypatch.setattr(Place, "write", counted)
    keys = [bytes([number]) * 16 for number in range(64)]
    writing = Thread(target=disk.store.issue, args=([lease(key) for key in keys],))
    writing.start()
    assert began.wait(5)
    disk.store.revoke(["blue"], (1, 1, 1))
    revoked.set()
    writing.join()
    assert in_time == [True]
    assert len(disk.names()) == 128
