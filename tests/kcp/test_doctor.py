"""What ``openkcm doctor`` says of identities that may not do what they must."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from openkcm_tenants_kcp.plugin import openkcm_tenant_source
from openkcm_tenants_kcp.source import KcpSource
from tests.kcp.emulator.running import thread
from tests.kcp.place import EXPORT, PROVIDER, EmulatedKcp


@pytest.fixture
def place(tmp_path: Path) -> Iterator[EmulatedKcp]:
    with thread(folder=tmp_path) as held:
        yield EmulatedKcp(held, tmp_path)


async def said(settings: dict[str, str]) -> list[tuple[str, str, str]]:
    source = openkcm_tenant_source(settings)
    assert isinstance(source, KcpSource)
    try:
        return [(each.level, each.said, each.action) for each in await source.check()]
    finally:
        await source.aclose()


async def test_the_rights_that_are_missing_are_named_also_where_not_even_the_slices_may_be_read(
    place: EmulatedKcp,
) -> None:
    right = place.settings
    role = place.held.kcp.api.get(PROVIDER, "clusterroles", "writer")
    assert role is not None

    def narrow(obj: dict[str, object]) -> None:
        obj["rules"] = role["rules"][:1]

    async def change() -> None:
        place.held.kcp.api.edit(PROVIDER, "clusterroles", "writer", narrow)

    place.held.run(change())
    swapped = right | {"kubeconfig": right["writer_kubeconfig"], "writer_kubeconfig": right["kubeconfig"]}
    reader, writer = await said(swapped)
    assert (reader[0], writer[0]) == ("bad", "bad")
    for missing in ("list apiexportendpointslices", f"watch apiexports/content ({EXPORT})"):
        assert missing in reader[1]
    assert f"create apiexports/content ({EXPORT})" in writer[1]
    assert "doctor" not in f"{reader} {writer}", "who reads this has just run it"


async def test_a_server_that_is_not_the_providers_workspace_is_named(place: EmulatedKcp) -> None:
    config = Path(place.settings["kubeconfig"])
    config.write_text(config.read_text().replace(f"/clusters/{PROVIDER}", "/clusters/root:orgs:acme"))
    reader, _ = await said(place.settings)
    assert reader[0] == "bad"
    assert f"{place.held.kcp.url}/clusters/root:orgs:acme" in f"{reader[1]} {reader[2]}"
