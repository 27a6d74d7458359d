"""A folder that is away, empty or another one, and a source that starts again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openkcm.sdk.conformance.listening import Core, Listener
from openkcm.sdk.refusals import Refusal, Temporary
from openkcm.sdk.tenant_source import Presence
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


async def test_an_empty_folder_that_is_another_one_is_not_believed(
    folder: Path, source: DirectorySource
) -> None:
    (folder / "a.yaml").write_text(account("a"))
    core = Core()
    async with Listener(source, core) as heard:
        await heard.until(lambda: core.last("a"), says="the tenant is observed")
        folder.rename(folder.with_name("mounted"))
        folder.mkdir()
        await heard.until(lambda: heard.refused, says="the empty folder is refused")
    assert heard.refused is not None
    assert heard.refused.refusal is Refusal.SOURCE_UNAVAILABLE
    assert "perhaps it is not mounted" in heard.refused.message
    fresh = opened(folder)
    async with Listener(fresh, core) as heard:
        await heard.until(lambda: heard.refused, says="it is refused after a restart too")
    (folder / ".openkcm-source").touch()
    async with Listener(fresh, core) as heard:
        gone = Presence.UNINSTALLED
        await heard.until(lambda: core.presence("a") is gone, says="with the mark it is believed")
    await fresh.aclose()


async def test_a_folder_that_was_never_there_is_unavailable_until_it_is(tmp_path: Path) -> None:
    source = opened(tmp_path / "later")
    with pytest.raises(Temporary) as refused:
        await source.list()
    assert refused.value.refusal is Refusal.SOURCE_UNAVAILABLE
    core = Core()
    async with Listener(source, core) as heard:
        await heard.until(lambda: heard.refused, says="it is unavailable")
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "a.yaml").write_text(account("a"))
    async with Listener(source, core) as heard:
        await heard.until(lambda: core.last("a"), says="it is read")
    await source.aclose()


async def test_after_a_restart_an_unchanged_folder_tells_nothing(
    folder: Path, source: DirectorySource
) -> None:
    for number in range(150):
        (folder / f"n{number}.yaml").write_text(account(f"n{number}"))
    core = Core()
    async with Listener(source, core) as heard:
        await heard.until(lambda: len(core.observations) == 150, says="all are observed")
        (folder / "last.yaml").write_text(account("last"))
        await heard.until(lambda: core.last("last"), says="the last is observed")
    (folder / "newest.yaml").write_text("kind: [")
    again = opened(folder)
    async with Listener(again, core) as heard:
        await heard.until(lambda: core.problems, says="the folder is read")
    assert len(core.observations) == 151
    await again.aclose()


async def test_a_manifest_that_moved_into_a_file_still_being_written_is_not_gone(
    folder: Path, source: DirectorySource
) -> None:
    for name in ("a", "b"):
        (folder / f"{name}.yaml").write_text(account(name))
    core = Core()
    async with Listener(source, core) as heard:
        await heard.until(lambda: core.last("a") and core.last("b"), says="both are observed")
    (folder / "a.yaml").rename(folder / "z.yaml")
    core.cursor = None  # nothing to compare with first: what is gone counts from the first look
    fresh = opened(folder)
    with (folder / "z.yaml").open("a") as writing:
        async with Listener(fresh, core) as heard:
            await asyncio.sleep(1.5)
            assert core.presences("a") == [Presence.PRESENT]
            writing.close()
            moved = "z.yaml#1"
            await heard.until(
                lambda: (seen := core.last("a")) and seen.reference == moved, says="it is found where it is"
            )
    assert Presence.UNINSTALLED not in core.presences("a")
    await fresh.aclose()
