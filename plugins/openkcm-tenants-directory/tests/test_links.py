"""Files that become links, and links that turn, between the look at the folder and the reading."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from openkcm.sdk.conformance.listening import Core, Listener
from openkcm_tenants_directory import folder as rules
from openkcm_tenants_directory import source as reading
from openkcm_tenants_directory.folder import Look, Unreadable, look, read
from openkcm_tenants_directory.settings import DirectorySettings
from openkcm_tenants_directory.source import DirectorySource

SECRET = (
    "apiVersion: core.platform-mesh.io/v1alpha1\nkind: Account\n"
    "metadata: {name: secret, uid: uid-secret, annotations: {kcp.io/cluster: 1org}}\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tenants"
    path.mkdir()
    return path


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside, as old as the file whose name will lead to it, and as large."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.yaml").write_text(SECRET)
    os.utime(outside / "a.yaml", (1, 1))
    return outside / "a.yaml"


def ordinary(path: Path) -> None:
    path.write_text(SECRET.replace("secret", "proper"))
    os.utime(path, (1, 1))


def read_as_seen(folder: Path, name: str, seen: Look) -> bytes:
    return read(folder, name, max_bytes=1000, seen=seen.entries[name].stamp)


def test_a_file_that_becomes_a_link_to_outside_is_not_read(folder: Path, secret: Path) -> None:
    ordinary(folder / "a.yaml")
    seen = look(folder)
    (folder / "a.yaml").unlink()
    (folder / "a.yaml").symlink_to(secret)
    with pytest.raises(Unreadable, match="outside of the folder"):
        read_as_seen(folder, "a.yaml", seen)
    (folder / "a.yaml").unlink()
    ordinary(folder / "a.yaml")
    assert b"proper" in read_as_seen(folder, "a.yaml", look(folder))


def test_a_link_whose_folder_turns_into_a_link_to_outside_is_not_read(folder: Path, secret: Path) -> None:
    (folder / "..data").mkdir()
    ordinary(folder / "..data" / "a.yaml")
    (folder / "a.yaml").symlink_to("..data/a.yaml")
    seen = look(folder)
    (folder / "..data").rename(folder / "..before")
    (folder / "..data").symlink_to(secret.parent)
    with pytest.raises(Unreadable, match="outside of the folder"):
        read_as_seen(folder, "a.yaml", seen)


def test_a_mounted_config_map_is_read_and_read_again_when_it_is_replaced(folder: Path) -> None:
    for number in (1, 2):
        (folder / f"..2026_{number}").mkdir()
        ordinary(folder / f"..2026_{number}" / "a.yaml")
    (folder / "..data").symlink_to("..2026_1")
    (folder / "a.yaml").symlink_to("..data/a.yaml")
    seen = look(folder)
    assert b"proper" in read_as_seen(folder, "a.yaml", seen)
    (folder / "..data_tmp").symlink_to("..2026_2")
    (folder / "..data_tmp").replace(folder / "..data")
    with pytest.raises(Unreadable, match="has changed") as changed:
        read_as_seen(folder, "a.yaml", seen)
    assert changed.value.again
    assert b"proper" in read_as_seen(folder, "a.yaml", look(folder))


def test_a_link_to_a_neighbour_folder_whose_name_begins_alike_is_not_read(folder: Path, secret: Path) -> None:
    neighbour = folder.with_name("tenants-of-others")
    secret.parent.rename(neighbour)
    (folder / "a.yaml").symlink_to(neighbour / "a.yaml")
    with pytest.raises(Unreadable, match="outside of the folder"):
        read(folder, "a.yaml", max_bytes=1000)


def test_a_pipe_behind_a_link_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / ".pipe")
    (folder / "a.yaml").symlink_to(".pipe")
    with pytest.raises(Unreadable, match="no ordinary file"):
        read(folder, "a.yaml", max_bytes=1000)


def test_the_folder_itself_may_be_a_link(folder: Path) -> None:
    ordinary(folder / "b.yaml")
    (folder / "a.yaml").symlink_to("b.yaml")
    named = folder.with_name("named")
    named.symlink_to(folder)
    assert b"proper" in read_as_seen(named, "a.yaml", look(named))


@pytest.mark.parametrize("missing", ["the list of descriptors", "the way to open nothing"])
def test_where_the_system_does_not_tell_links_are_refused_and_files_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    ordinary(folder / "a.yaml")
    (folder / "b.yaml").symlink_to("a.yaml")
    if missing == "the list of descriptors":
        monkeypatch.setattr(rules, "_DESCRIPTORS", "/proc-that-is-not-mounted/self/fd")
    else:
        monkeypatch.delattr(os, "O_PATH")
    assert b"proper" in read(folder, "a.yaml", max_bytes=1000)
    with pytest.raises(Unreadable, match="does not tell where it leads"):
        read(folder, "b.yaml", max_bytes=1000)


async def test_nobody_outside_becomes_a_tenant_by_a_swap_after_the_look(
    folder: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary(folder / "b.yaml")

    def look_and_swap(path: Path) -> Look:
        """What the folder says, just before its file is replaced: the instant that a racing writer waits for."""
        (path / "a.yaml").unlink(missing_ok=True)
        (path / "a.yaml").write_text("kind: x")
        os.utime(path / "a.yaml", (1, 1))
        seen = look(path)
        (path / "a.yaml").unlink()
        (path / "a.yaml").symlink_to(secret)
        return seen

    monkeypatch.setattr(reading, "look", look_and_swap)
    source = DirectorySource(DirectorySettings(path=folder, poll_s=0.05))
    core = Core()
    async with Listener(source, core) as heard:
        await heard.until(lambda: core.problems and core.last("proper"), says="both were read")
    await source.aclose()
    assert [each.name for each in core.observations] == ["proper"]
    assert "outside of the folder" in core.problems[0].message
