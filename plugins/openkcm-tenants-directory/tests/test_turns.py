"""Which files are read when, so that no file keeps the others waiting for long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from openkcm.sdk.conformance.listening import Core, Listener
from openkcm.sdk.refusals import Refusal
from openkcm.sdk.tenant_source import Presence
from openkcm_tenants_directory import source as reading
from openkcm_tenants_directory.claims import MAX_PROBLEMS, settle
from openkcm_tenants_directory.files import LARGE_BYTES, Files
from openkcm_tenants_directory.folder import Entry, Look, Stamp, look
from openkcm_tenants_directory.manifests import contents_of
from openkcm_tenants_directory.settings import DirectorySettings
from openkcm_tenants_directory.source import DirectorySource, part_of


def account(name: str) -> str:
    return (
        "apiVersion: core.platform-mesh.io/v1alpha1\nkind: Account\n"
        f"metadata: {{name: {name}, uid: uid-{name}, annotations: {{kcp.io/cluster: 1org}}}}\n"
    )


def put(path: Path, name: str, *, more_bytes: int = 0) -> None:
    path.joinpath(f"{name}.yaml").write_text(account(name) + "#" * more_bytes + "\n")
    os.utime(path / f"{name}.yaml", (1, 1))


def stamp(size: int) -> Stamp:
    return (1, 1, size, 1, 1)


def test_large_files_are_due_after_the_others_each_in_the_order_of_their_names() -> None:
    sizes = {"a": LARGE_BYTES + 1, "b": 10, "c": LARGE_BYTES + 1, "d": LARGE_BYTES}
    files = Files(settle_s=0.0, max_bytes=1_000_000)
    files.saw(Look((1, 1), {name: Entry(stamp(size), size, 0.0) for name, size in sizes.items()}), now=1.0)
    assert [name for name, _ in files.due(now=2.0, wall_s=10.0)] == ["b", "d", "a", "c"]


def test_a_part_is_bounded_in_files_and_in_bytes_and_grows_with_the_tenants() -> None:
    small = [(f"{number}", stamp(1000)) for number in range(5000)]
    part, rest = part_of(small, tenants=0)
    assert (len(part), len(rest)) == (100, 4900)
    assert len(part_of(small, tenants=10_000)[0]) == 524
    assert len(part_of(small, tenants=100_000)[0]) == 3200
    larger = [(f"{number}", stamp(LARGE_BYTES)) for number in range(50)]
    assert len(part_of(larger, tenants=0)[0]) == 8


def test_a_large_file_is_a_part_however_large_and_never_with_smaller_ones() -> None:
    due = [("s", stamp(10)), ("l", stamp(10_000_000)), ("m", stamp(10_000_000))]
    part, rest = part_of(due, tenants=0)
    assert part == due[:1]
    part, rest = part_of(rest, tenants=0)
    assert (part, rest) == (due[1:2], due[2:])


async def test_what_comes_while_a_large_file_is_read_goes_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = [f"large{number}" for number in range(4)]
    for name in large:
        put(tmp_path, name, more_bytes=400_000)
    put(tmp_path, "small")
    looks = 0

    def look_at_more(path: Path) -> Look:
        nonlocal looks
        looks += 1
        if looks > 1:
            put(tmp_path, f"late{looks}")
        return look(path)

    monkeypatch.setattr(reading, "look", look_at_more)
    source = DirectorySource(DirectorySettings(path=tmp_path, poll_s=0.05))
    core = Core()
    async with Listener(source, core) as heard:
        await heard.until(lambda: core.last("large3"), says="all are observed")
    await source.aclose()
    order = [each.name for each in core.observations]
    assert order[:6] == ["small", "large0", "late2", "large1", "late3", "large2"]


def test_files_that_all_claim_the_same_cost_a_bounded_list_of_problems() -> None:
    text = "---\n".join(account("same") for _ in range(200)).encode()
    said = {
        f"{number}.yaml": contents_of(text, file_name=f"{number}.yaml", issuer="").observations
        for number in range(10)
    }
    settled = settle(said, holders={}, uncertain=frozenset())
    assert len(settled.problems) == MAX_PROBLEMS
    assert settled.left == 2000 - 1 - MAX_PROBLEMS
    assert settled.refused_files == set(said)
    assert {each.refusal for each in settled.problems} == {Refusal.TENANT_CLAIMED}
    assert [each.presence for each in settled.tenants.values()] == [Presence.PRESENT]


def test_a_file_that_says_the_same_when_it_is_read_again_changes_nothing() -> None:
    files = Files(settle_s=0.0, max_bytes=1000)
    files.saw(Look((1, 1), {"a.yaml": Entry(stamp(7), 7, 0.0)}), now=1.0)
    broken = contents_of(b"kind: [", file_name="a.yaml", issuer="")
    files.took("a.yaml", stamp(7), broken, now=1.0)
    before = files.version
    assert files.due(now=3.0, wall_s=10.0) == [("a.yaml", stamp(7))]
    files.took("a.yaml", stamp(7), broken, now=3.0)
    assert files.version == before
    files.took("a.yaml", stamp(7), contents_of(account("a").encode(), file_name="a.yaml", issuer=""), now=5.0)
    assert files.version > before
    assert not files.uncertain()
