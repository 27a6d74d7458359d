"""What a member of an account can make happen: everybody else goes on as before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from openkcm.sdk.tenant_source import Presence, RemarkKind
from tests.kcp.crowd import Followed, followed, kept
from tests.kcp.emulator.faults import Which
from tests.kcp.emulator.running import thread
from tests.kcp.pair import ONE, PATH, TWO, at, both, resource, small
from tests.kcp.place import ORG, EmulatedKcp


@pytest.fixture
def place(tmp_path: Path) -> Iterator[EmulatedKcp]:
    with thread(folder=tmp_path, shards=("root", "shard-1")) as held:
        yield EmulatedKcp(held, tmp_path)


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


async def delete(place: EmulatedKcp) -> None:
    place.held.kcp.api.delete(PATH, "tenants", "tenant")


def uid(core: Followed) -> str:
    found = core.following.mirror.sight(str(ONE.tenant_id)).resource
    return found.metadata.uid if found is not None and found.metadata.deletion_timestamp is None else ""
