"""A real folder: what lies in it, who writes in it, and when it is not to be believed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from openkcm.sdk.conformance.listening import Core, Listener
from openkcm.sdk.refusals import Refusal
from openkcm.sdk.tenant_source import Creator, Presence
from openkcm_tenants_directory.settings import directory_settings
from openkcm_tenants_directory.source import DirectorySource

ACCOUNT = """apiVersion: core.platform-mesh.io/v1alpha1
kind: Account
metadata:
  name: {name}
  uid: uid-{name}
  annotations:
    kcp.io/cluster: 1orgacme00000000
    kcp.io/path: root:orgs:acme
spec:
  type: account
  displayName: {display}
  creator: jane@acme.example
"""


def account(name: str, display: str = "") -> str:
    return ACCOUNT.format(name=name, display=display or name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tenants"
    path.mkdir()
    return path


def opened(folder: Path, **more: str) -> DirectorySource:
    settings = directory_settings(
        {"path": str(folder), "issuer": "https://kc.example", "poll_s": "0.2"} | more
    )
    assert settings is not None
    return DirectorySource(settings)


@pytest.fixture
async def source(folder: Path) -> AsyncIterator[DirectorySource]:
    made = opened(folder)
    yield made
    await made.aclose()


async def test_an_account_is_observed_whole(folder: Path, source: DirectorySource) -> None:
    (folder / "a.yaml").write_text(account("payments", "Payments"))
    [seen] = await source.list()
    assert (seen.tenant_id, seen.kind, seen.parent, seen.name) == (
        "uid-payments",
        "Account",
        "1orgacme00000000",
        "payments",
    )
    assert (seen.presence, seen.display_name, seen.path) == (
        Presence.PRESENT,
        "Payments",
        "root:orgs:acme:payments",
    )
    assert seen.creator == Creator("https://kc.example", "jane@acme.example")
    assert (seen.origin, seen.reference) == ("a.yaml", "a.yaml#1")


async def test_several_documents_and_lists_are_numbered(folder: Path, source: DirectorySource) -> None:
    items = "".join("- " + account(name).replace("\n", "\n  ").rstrip() + "\n" for name in ("b", "c"))
    text = account("a") + "---\napiVersion: v1\nkind: List\nitems:\n" + items
    (folder / "all.yml").write_text(text)
    seen = {each.name: (each.origin, each.reference) for each in await source.list()}
    assert seen == {
        "a": ("all.yml, document 1", "all.yml#1"),
        "b": ("all.yml, document 2.1", "all.yml#2.1"),
        "c": ("all.yml, document 2.2", "all.yml#2.2"),
    }


async def test_a_new_file_is_observed_within_0_3_s(folder: Path, source: DirectorySource) -> None:
    core, took_s = Core(), []
    async with Listener(source, core) as heard:
        (folder / "first.yaml").write_text(account("first"))
        await heard.until(lambda: core.last("first"), says="the first is observed")
        for number in range(5):
            name = f"n{number}"
            began = time.monotonic()
            if number % 2:
                (folder / f".{name}").write_text(account(name))
                (folder / f".{name}").rename(folder / f"{name}.yaml")
            else:
                (folder / f"{name}.yaml").write_text(account(name))
            await heard.until(partial(core.last, name), says="the new one is observed")
            took_s.append(time.monotonic() - began)
    assert sorted(took_s)[2] <= 0.3, took_s


async def test_a_file_that_is_still_open_for_writing_is_not_read(
    folder: Path, source: DirectorySource
) -> None:
    core = Core()
    whole = account("payments")
    async with Listener(source, core) as heard:
        with (folder / "a.yaml").open("w") as slow:
            slow.write(whole[: whole.index("ments")])
            slow.flush()
            (folder / "b.yaml").write_text(account("other"))
            await heard.until(lambda: core.last("other"), says="the other is observed")
            await asyncio.sleep(0.3)
            assert [each.name for each in core.observations] == ["other"]
            slow.write(whole[whole.index("ments") :])
        await heard.until(lambda: core.last("payments"), says="the whole one is observed")
    assert {each.name for each in core.observations} == {"other", "payments"}


async def test_problems_have_file_line_and_code(folder: Path, source: DirectorySource) -> None:
    bad = {
        "alias.yaml": ("a: &x 1\nb: *x\n", 2, Refusal.MANIFEST_UNREADABLE),
        "broken.json": ('{"kind": "Account",\n}', 2, Refusal.MANIFEST_UNREADABLE),
        "empty.yaml": ("# nothing\n", None, Refusal.MANIFEST_UNREADABLE),
        "kind.yaml": ("\napiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", 2, Refusal.KIND_UNKNOWN),
        "list.yaml": ("- a\n- b\n", 1, Refusal.MANIFEST_INVALID),
        "twice.yaml": ("kind: Account\nkind: Account\n", 2, Refusal.MANIFEST_UNREADABLE),
        "uid.yaml": (account("u").replace("uid: uid-u", "uid: UID_U"), 1, Refusal.TENANT_ID_INVALID),
        "when.yaml": (
            account("w").replace("  name:", "  deletionTimestamp: tomorrow\n  name:"),
            1,
            Refusal.MANIFEST_INVALID,
        ),
    }
    for name, (text, _, _) in bad.items():
        (folder / name).write_text(text)
    (folder / "good.yaml").write_text(account("good"))
    core = Core()
    async with Listener(source, core) as heard:
        await heard.until(lambda: len(core.problems) == len(bad), says="every problem is reported")
        assert core.last("good")
        found = {each.origin: (each.line, each.refusal) for each in core.problems}
        assert found == {name: (line, code) for name, (_, line, code) in bad.items()}
        for name in bad:
            (folder / name).unlink()
        await heard.until(lambda: not core.problems, says="the problems are gone with their files")


async def test_a_file_of_10_mb_is_refused_without_being_read(folder: Path, source: DirectorySource) -> None:
    with (folder / "huge.yaml").open("wb") as huge:
        huge.truncate(10_000_000)
    (folder / "good.yaml").write_text(account("good"))
    core = Core()
    async with Listener(source, core) as heard:
        await heard.until(
            lambda: core.problems and core.last("good"), says="it is refused, the other observed"
        )
    [problem] = core.problems
    assert (problem.origin, problem.refusal) == ("huge.yaml", Refusal.MANIFEST_TOO_LARGE)
    assert "10,000,000" in problem.message


async def test_what_is_no_manifest_is_left_alone(
    folder: Path, source: DirectorySource, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text(account("secret"))
    (folder / "outside.yaml").symlink_to(secret)
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "dangling.yaml").symlink_to("nowhere.yaml")
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "fifo.yaml")
    for ignored in (
        ".hidden.yaml",
        "a.yaml~",
        "#a.yaml#",
        "a.yaml.swp",
        "notes.txt",
        "x.yaml.status.yaml",
        "4913",
    ):
        (folder / ignored).write_text(account("ignored"))
    (folder / "..data").mkdir()
    (folder / "..data" / "inner.yaml").write_text(account("inner"))
    (folder / "inner.yaml").symlink_to("..data/inner.yaml")
    core = Core()
    async with Listener(source, core) as heard:
        await heard.until(lambda: core.last("inner") and len(core.problems) == 5, says="the folder is read")
    assert [each.name for each in core.observations] == ["inner"]
    assert {each.origin for each in core.problems} == {
        "outside.yaml",
        "loop.yaml",
        "dangling.yaml",
        "folder.yaml",
        "fifo.yaml",
    }
    assert all(each.refusal is Refusal.MANIFEST_UNREADABLE for each in core.problems)


async def test_a_file_whose_name_cannot_be_shown_is_named_as_far_as_can_be(
    folder: Path, source: DirectorySource
) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff\n.yaml")).write_text(account("bad"))
    core = Core()
    async with Listener(source, core) as heard:
        await heard.until(lambda: core.problems, says="it is refused")
    assert core.problems[0].origin == "bad .yaml"
    assert not core.observations


async def test_a_thousand_at_once_come_in_small_batches(folder: Path, source: DirectorySource) -> None:
    core = Core()
    async with Listener(source, core) as heard:
        began_s = time.process_time()
        for number in range(1000):
            (folder / f"n{number}.yaml").write_text(account(f"n{number}"))
        await heard.until(lambda: len(core.observations) >= 1000, says="all are observed")
        assert time.process_time() - began_s < 10
    assert len({each.tenant_id for each in core.observations}) == len(core.observations) == 1000
    assert core.largest_batch <= 100
    assert not core.problems
