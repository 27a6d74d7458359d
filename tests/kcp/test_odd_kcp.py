"""What a kcp that does not behave can make happen: everybody else goes on as before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from openkcm.sdk.conformance.place import Placed
from openkcm.sdk.refusals import Refusal, Temporary
from openkcm.sdk.tenant_source import Presence, TenantStatus
from openkcm_tenants_kcp.mirror import Mirror
from openkcm_tenants_kcp.source import KcpSource
from openkcm_tenants_kcp.wire import Binding
from tests.kcp.crowd import Followed, followed, kept
from tests.kcp.emulator.faults import Which
from tests.kcp.emulator.objects import BINDINGS, Json
from tests.kcp.emulator.running import thread
from tests.kcp.emulator.watch import Tampering
from tests.kcp.pair import ONE, PATH, TWO, at, both, resource, small
from tests.kcp.place import EXPORT, PROVIDER, EmulatedKcp


@pytest.fixture
def place(tmp_path: Path) -> Iterator[EmulatedKcp]:
    with thread(folder=tmp_path, shards=("root", "shard-1")) as held:
        yield EmulatedKcp(held, tmp_path)


@pytest.mark.parametrize(
    "tampering",
    [
        lambda: Tampering(garble_nth=0),
        lambda: Tampering(garble_nth=1, join_lines=50),
        lambda: Tampering(double=True),
        lambda: Tampering(double=True, join_lines=50),
    ],
    ids=["broken line", "broken line among others", "added twice", "added twice in one piece"],
)
async def test_broken_and_doubled_lines_of_a_watch_change_nothing_of_what_is_told(
    place: EmulatedKcp, tampering: type[Tampering]
) -> None:
    async with both(place) as core:
        place.held.kcp.faults.tamper(Which(verb="watch"), tampering, times=20)
        for turn in range(3):
            await at(place, again(place, turn))
        await at(place, place._remove(ONE))
        await core.until(lambda: core.those(Presence.UNINSTALLED) == {ONE.tenant_id}, says="it is gone")
        place.held.kcp.faults.clear()
        await core.until(lambda: small(core), says="nothing waits")
        assert core.repeated == []
        assert set(core.times.values()) == {1}
        assert core.problems == ()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "https://ho\x01st/x", "https://host:99999/x"])
async def test_an_endpoint_that_cannot_be_asked_costs_the_others_nothing(
    place: EmulatedKcp, url: str
) -> None:
    async def add() -> None:
        place.held.kcp.api.edit(
            PROVIDER,
            "apiexportendpointslices",
            EXPORT,
            lambda obj: obj["status"]["endpoints"].append({"url": url}),
            status=True,
        )

    async with both(place) as core:
        await at(place, add())
        await core.until(lambda: url in core.following.mirror.endpoints, says="it is in the slice")
        await asyncio.sleep(1.5)
        await at(place, again(place, 1))
        assert not core.following.endpoints.complete
        assert len(core.those(Presence.PRESENT)) == 2


async def again(place: EmulatedKcp, turn: int) -> None:
    """Every watch ends, and every object of one account changes."""
    api = place.held.kcp.api
    place.held.kcp.end_watches()
    for plural, name in (("apibindings", "one"), ("logicalclusters", "cluster"), ("tenants", "tenant")):
        api.edit(
            PATH, plural, name, lambda obj: obj["metadata"].setdefault("labels", {}).update(turn=str(turn))
        )


async def test_a_workspace_on_both_shards_is_one_tenant_under_whatever_versions(place: EmulatedKcp) -> None:
    async with both(place) as core:
        kcp = place.held.kcp
        kcp.world.shards["shard-1"].rv = (
            kcp.world.shards["root"].rv - 3
        )  # the same numbers mean other things there

        async def move(*, keep: bool) -> None:
            kcp.move(PATH, "shard-1", keep=keep)

        async def forget() -> None:
            kcp.forget(PATH, "root")

        await at(place, move(keep=True))
        await core.until(lambda: places(core) == 2, says="it is seen on both shards")
        await at(place, forget())
        await core.until(lambda: places(core) == 1, says="it is seen on its new shard")
        await core.until(lambda: "changed" in kept(core.following) and small(core), says="nothing waits")
        assert set(core.times.values()) == {1}
        assert core.repeated == []
        await at(place, place._remove(ONE))
        await core.until(lambda: core.those(Presence.UNINSTALLED) == {ONE.tenant_id}, says="it is gone")
        await core.until(lambda: core.those(Presence.PRESENT) == {TWO.tenant_id}, says="the other is there")


def places(core: Followed) -> int:
    """At how many endpoints the binding is seen."""
    return sum(ONE.tenant_id in each.bindings.of for each in core.following.mirror.endpoints.values())


def test_one_version_that_says_two_things_is_believed_for_what_it_says_now() -> None:
    """A kcp that is played back from a backup counts on from there: the same number comes again for something else."""
    table = Mirror().endpoint("https://shard").bindings
    metadata = {"name": "one", "resourceVersion": "7", "annotations": {"kcp.io/cluster": "c"}}
    for phase in ("Bound", "Binding"):
        found = msgspec.convert({"metadata": metadata, "status": {"phase": phase}}, Binding)
        table.replace([found], [])
        assert table.at("c", "one") == found


async def test_a_workspace_without_a_path_is_a_tenant_all_the_same(place: EmulatedKcp) -> None:
    place.held.kcp.quirks.without_path = {"*"}
    async with both(place) as core:
        found = core.now[str(ONE.tenant_id)]
        assert found.origin.endswith(" in kcp")
        assert found.display_name
        assert core.repeated == []


@pytest.mark.parametrize("every_s", [0.0, 0.01], ids=["never", "a hundred a second"])
async def test_bookmarks_are_a_help_and_never_news(place: EmulatedKcp, every_s: float) -> None:
    place.held.kcp.quirks.bookmark_every_s = every_s
    async with both(place) as core:
        await at(place, place._remove(ONE))
        await core.until(lambda: core.those(Presence.UNINSTALLED) == {ONE.tenant_id}, says="it is gone")
        await core.until(lambda: small(core), says="nothing waits")
        assert core.repeated == []
        assert set(core.times.values()) == {1}


async def test_a_chore_waits_as_long_as_kcp_asks_for(place: EmulatedKcp) -> None:
    place.held.kcp.faults.answer(Which(verb="create", plural="tenants"), 429, times=1, retry_after_s=3)
    async with followed(place.settings) as core:
        asked: list[float] = []
        loop = asyncio.get_running_loop()
        later = loop.call_later

        def heard(delay_s: float, do: object, *given: object) -> object:
            if do == core.following.keeper._later:
                asked.append(delay_s)
                delay_s = 0.0
            return later(delay_s, do, *given)  # type: ignore[arg-type]  # as it was called

        loop.call_later = heard  # type: ignore[assignment,method-assign]  # time is not waited for
        place.put(ONE)
        await core.until(lambda: kept(core.following)["tenants (kept)"] == 1, says="it has our resource")
        loop.call_later = later  # type: ignore[method-assign]  # as it was
        assert asked == [3.0]


async def test_a_resource_that_cannot_be_read_fails_its_own_report_alone(place: EmulatedKcp) -> None:
    async with both(place) as core:
        await at(place, spoil(place, 7))
        await core.until(lambda: core.problems, says="it is in the list of problems")
        with pytest.raises(Temporary) as refused:
            await report(core.source, ONE)
        assert refused.value.refusal is Refusal.STATUS_NOT_WRITTEN
        await report(core.source, TWO)
        await at(place, spoil(place, []))
        await core.until(lambda: not core.problems, says="it is mended")
        await report(core.source, ONE)
        assert '"Encryption is ready."' in await at(place, status(place))


async def status(place: EmulatedKcp) -> str:
    return str(msgspec.json.encode((await resource(place))["status"]), "utf-8")


async def test_a_binding_that_cannot_be_read_is_no_binding_that_is_gone(place: EmulatedKcp) -> None:
    async with both(place) as core:
        await at(place, spoil(place, 7, "apibindings", "one", "phase"))
        await core.until(lambda: core.problems, says="it is in the list of problems")
        known = core.known()
        assert kept(core.following)["missing"] == 0
    async with followed(place.settings) as later:
        later.now |= core.now
        later.following._stored = {str(each.tenant_id): each for each in known}
        await later.until(lambda: later.those(Presence.PRESENT) and later.problems, says="it is seen")
        await later.until(lambda: small(later), says="nothing waits, and nobody is missing")
        assert later.following.mirror.obscured(str(ONE.tenant_id))
        assert not later.following.mirror.obscured(str(TWO.tenant_id))
        await at(place, remove_unreadable(place))
        await later.until(lambda: later.those(Presence.UNINSTALLED) == {ONE.tenant_id}, says="it is gone")


async def test_a_kcp_that_says_404_of_everything_while_it_starts_is_asked_again_to_let_go(
    place: EmulatedKcp,
) -> None:
    kcp = place.held.kcp
    async with both(place) as core:
        kcp.faults.answer(Which(verb="patch", plural="tenants"), 404, times=2)
        await at(place, place._remove(ONE))
        await core.until(
            lambda: core.those(Presence.UNINSTALLED) == {ONE.tenant_id}, says="it is uninstalled"
        )
        await core.until(
            lambda: kcp.api.get(PATH, "apibindings", "one") is None, says="our finalizer keeps it no longer"
        )
        assert not kcp.faults.waiting


async def remove_unreadable(place: EmulatedKcp) -> None:
    """kcp's own admin has cleaned up."""
    kcp = place.held.kcp
    cluster = str(kcp.world.resolve(PATH))
    kcp.world.home(cluster).remove(BINDINGS.key, (cluster, "", "one"))


async def spoil(
    place: EmulatedKcp, value: object, plural: str = "tenants", name: str = "tenant", what: str = "conditions"
) -> None:
    def change(obj: Json) -> None:
        obj.setdefault("status", {})[what] = value

    place.held.kcp.api.edit(PATH, plural, name, change, status=True)


async def report(source: KcpSource, tenant: Placed) -> None:
    told = TenantStatus(
        reference=str(tenant.tenant_id),
        tenant_id=str(tenant.tenant_id),
        state="ready",
        message="Encryption is ready.",
        url="https://kcm.example",
        reported_at=datetime.now(UTC),
    )
    await source.report([told])
