"""The status beside the manifest."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier, Event

import pytest
import yaml

from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from openkcm.sdk.tenant_source import TenantStatus
from openkcm_tenants_directory import status as writing
from openkcm_tenants_directory.documents import Document, documents_of
from openkcm_tenants_directory.status import StatusFiles

AT = datetime(2026, 2, 1, 9, 30, tzinfo=UTC)


def status(reference: str, tenant: str = "uid-a", state: str = "ready", message: str = "") -> TenantStatus:
    return TenantStatus(
        reference=reference,
        tenant_id=tenant,
        state=state,
        message=message,
        url=f"https://kcm.example/t/{tenant}",
        reported_at=AT,
    )


def read(path: Path) -> object:
    return yaml.safe_load(path.read_text())


def test_one_document_has_one_mapping(tmp_path: Path) -> None:
    StatusFiles(tmp_path).write([status("a.yaml#1", message="Encryption is active.")])
    assert read(tmp_path / "a.yaml.status.yaml") == {
        "document": "1",
        "tenantId": "uid-a",
        "state": "ready",
        "message": "Encryption is active.",
        "url": "https://kcm.example/t/uid-a",
        "reportedAt": "2026-02-01T09:30:00Z",
    }


def test_several_documents_have_a_list_in_their_order_and_keep_each_other(tmp_path: Path) -> None:
    StatusFiles(tmp_path).write([status("a.yaml#10", "uid-j"), status("a.yaml#2", "uid-b")])
    StatusFiles(tmp_path).write([status("a.yaml#1", "uid-a"), status("a.yaml#2", "uid-b", "uninstalled")])
    found = read(tmp_path / "a.yaml.status.yaml")
    assert isinstance(found, list)
    assert [(each["document"], each["tenantId"], each["state"]) for each in found] == [
        ("1", "uid-a", "ready"),
        ("2", "uid-b", "uninstalled"),
        ("10", "uid-j", "ready"),
    ]


@pytest.mark.parametrize(
    "message", ["a: b\n- c", '"} evil', "<b>&", "!!python/object:x", "*a", "é✓😀", "\0\x1b[2J"]
)
def test_text_stays_text(tmp_path: Path, message: str) -> None:
    StatusFiles(tmp_path).write([status("a.yaml#1", message=message)])
    StatusFiles(tmp_path).write([status("a.yaml#2", "uid-b")])
    found = read(tmp_path / "a.yaml.status.yaml")
    assert isinstance(found, list)
    assert found[0]["message"] == " ".join(message.replace("\0", " ").replace("\x1b", " ").split())


def test_times_are_utc(tmp_path: Path) -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=5)))
    told = TenantStatus(
        reference="a.yaml#1", tenant_id="a", state="", message="", url="", reported_at=elsewhere
    )
    StatusFiles(tmp_path).write([told])
    assert "2026-02-01T09:30:00Z" in (tmp_path / "a.yaml.status.yaml").read_text()


@pytest.mark.parametrize("before", ["kind: [", "", "just text", "- a\n- b\n", "- tenantId: [x]\n"])
def test_what_somebody_else_wrote_there_is_replaced(tmp_path: Path, before: str) -> None:
    (tmp_path / "a.yaml.status.yaml").write_text(before)
    StatusFiles(tmp_path).write([status("a.yaml#1")])
    assert "uid-a" in (tmp_path / "a.yaml.status.yaml").read_text()


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "a.yaml.status.yaml").symlink_to(precious)
    StatusFiles(tmp_path).write([status("a.yaml#1")])
    assert precious.read_text() == "precious"
    assert not (tmp_path / "a.yaml.status.yaml").is_symlink()


def test_one_that_cannot_be_written_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    (tmp_path / "b.yaml.status.yaml").mkdir()
    with pytest.raises(Temporary, match=r"The status of b\.yaml could not be written") as refused:
        StatusFiles(tmp_path).write(
            [status("a.yaml#1"), status("b.yaml#1", "uid-b"), status("c.yaml#1", "uid-c")]
        )
    assert refused.value.refusal is Refusal.STATUS_NOT_WRITTEN
    assert refused.value.remedy is not None
    assert (tmp_path / "a.yaml.status.yaml").exists()
    assert (tmp_path / "c.yaml.status.yaml").exists()
    (tmp_path / "b.yaml.status.yaml").rmdir()
    StatusFiles(tmp_path).write([status("b.yaml#1", "uid-b")])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.yaml.status.yaml" for name in "abc"]


def test_a_folder_that_is_away_is_temporary(tmp_path: Path) -> None:
    with pytest.raises(Temporary):
        StatusFiles(tmp_path / "away").write([status("a.yaml#1")])


@pytest.mark.parametrize(
    "reference",
    ["../evil.yaml#1", "a/b.yaml#1", "#1", "", "a.status.yaml#1", ".a.yaml#1", f"{'a' * 250}.yaml#1"],
)
def test_a_reference_to_elsewhere_is_refused(tmp_path: Path, reference: str) -> None:
    with pytest.raises(Permanent) as refused:
        StatusFiles(tmp_path).write([status(reference)])
    assert refused.value.refusal is Refusal.STATUS_NOT_WRITTEN
    assert list(tmp_path.iterdir()) == []


def test_what_this_process_wrote_last_is_not_parsed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []

    def parsing(content: bytes, *, is_json: bool) -> list[Document]:
        parsed.append(content)
        return documents_of(content, is_json=is_json)

    monkeypatch.setattr(writing, "documents_of", parsing)
    files = StatusFiles(tmp_path)
    for number in range(1, 51):
        files.write([status(f"a.yaml#{number}", f"uid-{number}")])
    assert parsed == []
    others = StatusFiles(tmp_path)
    others.write([status("a.yaml#51", "uid-51")])
    files.write([status("a.yaml#52", "uid-52")])
    assert len(parsed) == 2
    found = read(tmp_path / "a.yaml.status.yaml")
    assert isinstance(found, list)
    assert [each["tenantId"] for each in found] == [f"uid-{number}" for number in range(1, 53)]


def test_what_is_reported_at_once_is_all_written(tmp_path: Path) -> None:
    files, together = StatusFiles(tmp_path), Barrier(8)

    def report(number: int) -> None:
        for turn in range(10):
            together.wait()
            files.write([status(f"{turn}.yaml#{number}", f"uid-{number}")])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(report, range(1, 9)))
    for turn in range(10):
        found = read(tmp_path / f"{turn}.yaml.status.yaml")
        assert isinstance(found, list)
        assert [each["document"] for each in found] == [str(number) for number in range(1, 9)]


def test_what_waits_for_a_writing_goes_into_the_next_together_and_hears_how_it_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, begun, released, replacings = StatusFiles(tmp_path), Event(), Event(), []
    whole = writing._write_whole  # the disk, which is slow here and then full

    def slow_and_then_full(target: Path, content: bytes) -> writing.Written:
        replacings.append(content)
        if len(replacings) > 1:
            raise OSError(errno.ENOSPC, "full")
        begun.set()
        assert released.wait(10)
        return whole(target, content)

    monkeypatch.setattr(writing, "_write_whole", slow_and_then_full)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(files.write, [status("a.yaml#1")])
        assert begun.wait(10)
        others = [pool.submit(files.write, [status(f"a.yaml#{n}", f"uid-{n}")]) for n in range(2, 6)]
        while files.waiting < len(others):
            assert not any(each.done() for each in others)
        released.set()
        first.result()
        failures = [each.exception() for each in others]
    assert len(replacings) == 2
    assert replacings[1].count(b"tenantId") == 5
    assert all(isinstance(each, Temporary) for each in failures)
    monkeypatch.undo()
    files.write([status("a.yaml#2", "uid-2")])
    assert (tmp_path / "a.yaml.status.yaml").read_text().count("tenantId") == 2
