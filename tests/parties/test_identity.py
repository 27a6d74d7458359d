"""A party's identity file: made once, never replaced, read only when nobody else could have."""

import json
import os
from pathlib import Path

import pytest

from openkcm.parties.identity import Identity, enrol, load_identity
from openkcm.parties.labels import Kind, Record
from openkcm.parties.private_file import create_private, read_private
from openkcm.parties.signed import sign
from openkcm.sdk.refusals import Permanent, Refusal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "identity.json"


def refused(path: Path) -> Refusal:
    with pytest.raises(Permanent) as no:
        load_identity(path)
    assert str(path) in str(no.value)
    return no.value.refusal


def test_an_enrolled_party_is_loaded_as_it_was_made(path: Path) -> None:
    made = enrol(path, "eu-1", "region", serial=3)
    loaded = load_identity(path)
    assert (loaded.kind, loaded.name, loaded.serial) == ("region", "eu-1", 3)
    assert loaded.pin == made.pin
    assert loaded.pin.fingerprint == made.pin.fingerprint
    assert sign(loaded, Record.WRAP, 1, b"x") == sign(made, Record.WRAP, 1, b"x")
    assert loaded.tls_key.private_bytes_raw() == made.tls_key.private_bytes_raw()


def test_the_file_is_its_owners_alone_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        enrol(path, "eu-1", "region")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["identity.json"]


def test_an_existing_file_is_never_overwritten(path: Path) -> None:
    first = enrol(path, "eu-1", "region")
    with pytest.raises(Permanent) as no:
        enrol(path, "eu-1", "region", serial=2)
    assert no.value.refusal is Refusal.IDENTITY_EXISTS
    assert load_identity(path).pin == first.pin
    assert [entry.name for entry in path.parent.iterdir()] == ["identity.json"]


def test_not_even_a_dangling_link_is_followed_when_enrolling(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Permanent) as no:
        enrol(path, "eu-1", "region")
    assert no.value.refusal is Refusal.IDENTITY_EXISTS
    assert not (tmp_path / "elsewhere").exists()


def test_file_and_directory_are_synced_before_the_identity_is_used(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append("directory" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")
        synced.append("named" if path.exists() else "unnamed")

    monkeypatch.setattr(os, "fsync", fsync)
    enrol(path, "eu-1", "region")
    assert synced == ["file", "unnamed", "directory", "named"]


def test_a_full_disk_leaves_nothing_and_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(Permanent) as no:
            enrol(path, "eu-1", "region")
    assert no.value.refusal is Refusal.DISK_FULL
    assert list(path.parent.iterdir()) == []
    assert enrol(path, "eu-1", "region").name == "eu-1"


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="No such file or directory") as no:
        enrol(tmp_path / "missing" / "identity.json", "eu-1", "region")
    assert no.value.refusal is Refusal.IDENTITY_UNREADABLE
    assert no.value.remedy is not None


@pytest.mark.parametrize(
    ("name", "kind", "serial"),
    [("EU", "region", 1), ("", "region", 1), ("eu", "planet", 1), ("eu", "region", 0)],
)
def test_a_party_that_cannot_be_named_is_not_enrolled(path: Path, name: str, kind: Kind, serial: int) -> None:
    with pytest.raises(Permanent) as no:
        enrol(path, name, kind, serial=serial)
    assert no.value.refusal is Refusal.SETTING_INVALID
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_open_to_others_is_refused_until_its_mode_is_mended(path: Path, mode: int) -> None:
    enrol(path, "eu-1", "region")
    path.chmod(mode)
    assert refused(path) is Refusal.FILE_MODE
    path.chmod(0o600)
    assert load_identity(path).name == "eu-1"


def test_another_users_file_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enrol(path, "eu-1", "region")
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert refused(path) is Refusal.FILE_MODE


def test_a_link_a_pipe_and_a_directory_are_refused(path: Path, tmp_path: Path) -> None:
    enrol(path, "eu-1", "region")
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(path)
    os.mkfifo(pipe, 0o600)
    for odd in (link, pipe, tmp_path):
        assert refused(odd) is Refusal.FILE_MODE


def test_a_missing_or_oversized_file_is_refused(path: Path) -> None:
    assert refused(path) is Refusal.IDENTITY_UNREADABLE
    create_private(path, b" " * (2**20 + 1))
    assert refused(path) is Refusal.IDENTITY_UNREADABLE


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"kind": "planet"},
        {"serial": -1},
        {"name": "EU"},
        {"signing": "AAAA"},
        {"sealing": "AAAA"},
        {"tls_key": "AAAA"},
        {"tls_certificate": "AAAA"},
        {"extra": 1},
        {"signing": "not base64 secret"},
    ],
)
def test_a_damaged_file_is_refused_without_quoting_it(path: Path, change: dict[str, object]) -> None:
    enrol(path, "eu-1", "region")
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps(content | change))
    with pytest.raises(Permanent) as no:
        load_identity(path)
    assert no.value.refusal is Refusal.IDENTITY_UNREADABLE
    assert no.value.__cause__ is None
    assert "secret" not in str(no.value)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[]", b"null"])
def test_garbage_is_refused(path: Path, raw: bytes) -> None:
    create_private(path, raw)
    assert refused(path) is Refusal.IDENTITY_UNREADABLE


def test_a_certificate_of_another_key_is_refused(path: Path, tmp_path: Path) -> None:
    enrol(path, "eu-1", "region")
    enrol(tmp_path / "other", "eu-1", "region")
    content, other = json.loads(path.read_bytes()), json.loads((tmp_path / "other").read_bytes())
    path.write_text(json.dumps(content | {"tls_certificate": other["tls_certificate"]}))
    assert refused(path) is Refusal.IDENTITY_UNREADABLE


def test_no_private_key_shows_in_a_repr(control: Identity, path: Path) -> None:
    secrets = [
        control.signing.private_bytes_raw(),
        control.sealing.to_bytes(),
        control.tls_key.private_bytes_raw(),
    ]
    assert all(
        repr(secret)[2:-1] not in repr(control) and secret.hex() not in repr(control) for secret in secrets
    )
    assert "signing" not in repr(control)


def test_what_was_created_is_read_back(path: Path) -> None:
    create_private(path, b"root", what="root file", exists=Refusal.ROOT_MISMATCH)
    assert read_private(path, what="root file") == b"root"
    with pytest.raises(Permanent, match="root file") as no:
        create_private(path, b"another", what="root file", exists=Refusal.ROOT_MISMATCH)
    assert no.value.refusal is Refusal.ROOT_MISMATCH
