"""What a member of an account, or a kcp that does not behave, can make happen: everybody else goes on as before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from openkcm.sdk.conformance.place import Placed
from openkcm.sdk.refusals import Refusal, Temporary
from openkcm.sdk.tenant_source import Presence, RemarkKind, TenantStatus
from openkcm_tenants_kcp.mirror import Mirror
from openkcm_tenants_kcp.source import KcpSource
from openkcm_tenants_kcp.wire import Binding
from tests.kcp.crowd import Followed, followed, kept
from tests.kcp.emulator.faults import Which
from tests.kcp.emulator.objects import BINDINGS, Json
from tests.kcp.emulator.running import thread
from tests.kcp.emulator.watch import Tampering
from tests.kcp.place import EXPORT, ORG, PROVIDER, EmulatedKcp

ONE, TWO = Placed(name="one", tenant_id="1one000000000000"), Placed(name="two", tenant_id="2two000000000000")
PATH = f"{ORG}:one"
T = TypeVar("T")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[EmulatedKcp]:
    with thread(folder=tmp_path, shards=("root", "shard-1")) as held:
        yield EmulatedKcp(held, tmp_path)


async def at(place: EmulatedKcp, work: Coroutine[object, object, T]) -> T:
    """What this returned, in kcp's own thread."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, place.held.loop.loop))


@asynccontextmanager
async def both(place: EmulatedKcp) -> AsyncIterator[Followed]:
    """Two tenants that are told, and have our resource."""
    async with followed(place.settings) as core:
        place.put(ONE)
        await core.until(lambda: core.those(Presence.PRESENT) == {ONE.tenant_id}, says="one is told")
        place.put(TWO)
        await core.until(
            lambda: core.those(Presence.PRESENT) == {ONE.tenant_id, TWO.tenant_id}, says="both are told"
        )
        await core.until(lambda: kept(core.following)["tenants (kept)"] == 2, says="both have our resource")
        yield core


def small(core: Followed) -> bool:
    """Nothing is kept but what is there now."""
    sizes = kept(core.following)
    return all(
        sizes[name] == 0 for name in ("changed", "left", "missing", "remarks", "chores that wait", "tries")
    )


async def test_a_binding_that_comes_and_goes_is_told_each_time_and_costs_its_neighbour_nothing(
    place: EmulatedKcp,
) -> None:
    async with both(place) as core:
        for turn in range(1, 9):
            await at(place, place._remove(ONE))
            await core.until(lambda: core.those(Presence.UNINSTALLED) == {ONE.tenant_id}, says="it is gone")
            await at(place, place._put(ONE))
            await core.until(lambda: len(core.those(Presence.PRESENT)) == 2, says="it is back")
            assert core.times[ONE.tenant_id, Presence.UNINSTALLED] == turn
        await core.until(lambda: kept(core.following)["tenants (kept)"] == 2, says="it has our resource")
        await core.until(lambda: small(core), says="nothing is kept of the past")
        assert core.times[TWO.tenant_id, Presence.PRESENT] == 1
        assert core.repeated == []


async def test_who_deletes_our_resource_again_and_again_gets_it_back_once_in_ten_seconds(
    place: EmulatedKcp,
) -> None:
    async with both(place) as core:
        now = [0.0]
        core.following.keeper._clock = lambda: time.monotonic() + now[0]
        first = await at(place, resource(place))
        await at(place, delete(place))
        await core.until(lambda: len(core.remarks) == 1, says="it is remarked")
        await core.until(lambda: uid(core) not in ("", first["metadata"]["uid"]), says="it is made again")
        for _ in range(5):
            await at(place, delete(place))
        await core.until(lambda: kept(core.following)["tries"] == 1, says="it waits")
        assert len(core.remarks) == 1
        now[0] = 11.0
        await core.until(lambda: len(core.remarks) == 2, says="it is remarked again")
        await core.until(lambda: small(core), says="nothing is due any more")
        assert {each.kind for each in core.remarks} == {RemarkKind.RESOURCE_REMOVED}
        assert {each.tenant_id for each in core.remarks} == {ONE.tenant_id}
        assert kept(core.following)["made again"] == 1
        assert set(core.times.values()) == {1}


async def test_who_takes_our_finalizer_off_before_is_told_and_waits_just_the_same(place: EmulatedKcp) -> None:
    async def past_us() -> None:
        place.held.kcp.api.edit(PATH, "tenants", "tenant", lambda obj: obj["metadata"].update(finalizers=[]))
        await delete(place)

    async with both(place) as core:
        first = await at(place, resource(place))
        await at(place, past_us())
        await core.until(lambda: len(core.remarks) == 1, says="it is remarked")
        await core.until(lambda: uid(core) not in ("", first["metadata"]["uid"]), says="it is made again")
        await at(place, past_us())
        await core.until(lambda: kept(core.following)["tries"] == 1, says="it waits")
        assert len(core.remarks) == 1
        assert set(core.times.values()) == {1}


async def test_a_members_own_tenant_stands_in_the_way_of_nothing(place: EmulatedKcp) -> None:
    async def mine() -> None:
        body = {"apiVersion": "operations.openkcm.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "aaa"}}
        place.held.kcp.api.create(PATH, body)

    async with both(place) as core:
        await at(place, mine())
        known = core.known()
        now = dict(core.now)
    async with followed(place.settings) as later:
        later.now |= now
        later.following._stored = {str(each.tenant_id): each for each in known}
        await later.until(lambda: kept(later.following)["tenants (kept)"] == 2, says="ours are seen")
        await at(place, delete(place))
        await later.until(lambda: len(later.remarks) == 1, says="ours alone was deleted")
        await later.until(lambda: small(later), says="nothing is due any more")
        assert later.problems == ()


async def test_a_deletion_is_not_taken_back_by_a_binding_that_is_seen_late(place: EmulatedKcp) -> None:
    """The watch of the bindings lags behind: the workspace is gone, and its binding still looks as it was."""
    late = Which(verb="watch", plural="apibindings")

    async def lag() -> None:
        place.held.kcp.faults.slow(late, 20.0, times=None)
        place.held.kcp.end_watches()

    async with both(place) as core:
        await at(place, lag())
        await at(place, place._delete(ONE))
        await core.until(lambda: core.those(Presence.DELETING) == {ONE.tenant_id}, says="its end is told")
        mirror, org = core.following.mirror, str(place.held.kcp.world.resolve(ORG))
        await core.until(lambda: mirror.workspace(org, ONE.name) is None, says="its workspace is gone")
        await core.until(
            lambda: mirror.sight(str(ONE.tenant_id)).logical is None, says="and all that said so"
        )
        assert mirror.sight(str(ONE.tenant_id)).binding is not None
        mirror.touch(str(ONE.tenant_id))
        await core.until(lambda: small(core), says="nothing waits")
        assert core.those(Presence.DELETING) == {ONE.tenant_id}
        assert core.times[str(ONE.tenant_id), Presence.PRESENT] == 1


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


async def resource(place: EmulatedKcp) -> Json:
    found = place.held.kcp.api.get(PATH, "tenants", "tenant")
    assert found is not None
    return found


async def delete(place: EmulatedKcp) -> None:
    place.held.kcp.api.delete(PATH, "tenants", "tenant")


def uid(core: Followed) -> str:
    found = core.following.mirror.sight(str(ONE.tenant_id)).resource
    return found.metadata.uid if found is not None and found.metadata.deletion_timestamp is None else ""


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
