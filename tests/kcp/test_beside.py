"""What members put beside our resource in their workspace says nothing, and hides nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from openkcm.sdk.conformance.place import Placed
from openkcm_tenants_kcp.wire import FINALIZER
from tests.kcp.crowd import followed, kept
from tests.kcp.emulator.objects import Json
from tests.kcp.emulator.running import thread
from tests.kcp.place import EXPORT, ORG, EmulatedKcp

ONE = Placed(name="one", tenant_id="1one000000000000")
PATH = f"{ORG}:one"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[EmulatedKcp]:
    with thread(folder=tmp_path) as held:
        yield EmulatedKcp(held, tmp_path)


async def test_a_resource_beside_ours_does_not_keep_ours_from_being_made_again(place: EmulatedKcp) -> None:
    api = place.held.kcp.api

    async def replace() -> None:
        beside = {"apiVersion": f"{EXPORT}/v1alpha1", "kind": "Tenant", "metadata": {"name": "aaa"}}
        api.create(PATH, beside)
        api.delete(PATH, "tenants", "tenant")

    async def found() -> Json | None:
        return api.get(PATH, "tenants", "tenant")

    def ours() -> Json | None:
        return place.held.run(found())

    def again(first: Json) -> bool:
        now = ours()
        return now is not None and now["metadata"]["uid"] != first["metadata"]["uid"]

    async with followed(place.settings) as core:
        place.put(ONE)
        await core.until(ours, says="ours is made")
        first = ours()
        assert first is not None
        place._soon(replace())
        await core.until(lambda: core.remarks, says="it is told that ours was deleted")
        await core.until(lambda: again(first), says="ours is made again")
        now = ours()
        assert now is not None
        assert now["metadata"]["finalizers"] == [FINALIZER]
        await core.until(lambda: kept(core.following)["tries"] == 0, says="nothing is tried for ever")
