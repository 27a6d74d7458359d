from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.kcp.emulator.faults import Which
from tests.kcp.emulator.watch import Tampering
from tests.kcp.emulator.wire import Cut, How, Part
from tests.kcp.raw import read_raw
from tests.kcp.scene import BINDINGS, TENANTS, Scene, tenant
from tests.kcp.watching import Watching, client, send


@pytest.mark.parametrize(
    ("how", "ending"), [(How.RESET, "reset"), (How.CLOSE, "end"), (How.STALL, "silence")]
)
async def test_a_request_may_get_no_answer(two: Scene, how: How, ending: str) -> None:
    two.kcp.faults.unread(Which(verb="list"), how)
    assert await read_raw(two.kcp, two.virtual(TENANTS), quiet_s=0.1) == (b"", ending)
    assert (await read_raw(two.kcp, two.virtual(TENANTS), quiet_s=0.1))[0].startswith(b"HTTP/1.1 200")


async def test_a_request_may_be_cut_while_it_is_sent(two: Scene, http: httpx2.AsyncClient) -> None:
    two.kcp.faults.unread(Which(verb="create"))
    big = tenant("big", spec={"note": "x" * 1_000_000})
    with pytest.raises(httpx2.TransportError):
        await send(http, "POST", two.virtual(TENANTS, "root:a"), big)
    assert two.kcp.api.get("root:a", "tenants", "big") is None
    assert (await send(http, "POST", two.virtual(TENANTS, "root:a"), big)).status_code == 201


async def test_an_answer_may_be_lost_although_the_write_was_done(
    two: Scene, http: httpx2.AsyncClient
) -> None:
    two.kcp.faults.cut(Which(verb="create"), Cut(Part.HEAD))
    with pytest.raises(httpx2.TransportError):
        await send(http, "POST", two.virtual(TENANTS, "root:a"), tenant("new"))
    assert two.kcp.api.get("root:a", "tenants", "new") is not None


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503, 504])
async def test_a_burst_of_bad_answers_ends(two: Scene, http: httpx2.AsyncClient, status: int) -> None:
    fault = two.kcp.faults.answer(Which(verb="list", plural="tenants"), status, times=3, retry_after_s=2)
    answers = [await http.get(two.virtual(TENANTS)) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [status] * 3 + [200]
    assert fault.taken == 3
    if status == 429:
        assert answers[0].headers["retry-after"] == "2"
    assert (await http.get(two.virtual(BINDINGS))).status_code == 200


async def test_only_those_who_are_meant_are_hit(two: Scene, http: httpx2.AsyncClient) -> None:
    two.kcp.faults.answer(Which(port="shard-1"), 500, times=None)
    two.kcp.faults.answer(Which(path="limit=7$"), 500, times=None)
    assert (await http.get(two.virtual(TENANTS))).status_code == 200
    assert (await http.get(two.virtual(TENANTS, shard="shard-1"))).status_code == 500
    assert (await http.get(f"{two.virtual(TENANTS)}?limit=7")).status_code == 500
    two.kcp.faults.clear()
    assert (await http.get(two.virtual(TENANTS, shard="shard-1"))).status_code == 200


async def test_a_list_may_be_slow(two: Scene, http: httpx2.AsyncClient) -> None:
    two.kcp.faults.slow(Which(verb="list"), 0.3)
    with pytest.raises(httpx2.ReadTimeout):
        await http.get(two.virtual(TENANTS), timeout=0.05)
    assert (await http.get(two.virtual(TENANTS), timeout=0.2)).status_code == 200


async def test_a_connection_may_be_half_open(two: Scene, http: httpx2.AsyncClient) -> None:
    async with Watching(http, two.watch(TENANTS)) as watching:
        await watching.until(2)
        two.kcp.silence("root")
        two.kcp.api.create("root:a", tenant("v"))
        two.kcp.end_watches()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watching.until(3), 0.1)
        async with client(two.kcp) as another:
            assert len((await another.get(two.virtual(TENANTS))).json()["items"]) == 3


async def test_all_connections_may_be_reset(two: Scene, http: httpx2.AsyncClient) -> None:
    async with Watching(http, two.watch(TENANTS)) as watching:
        await watching.until(2)
        two.kcp.reset_connections()
        await watching.ended()
    assert isinstance(watching.broken, httpx2.TransportError)
    assert (await http.get(two.virtual(TENANTS))).status_code == 200


async def test_a_line_may_be_broken(two: Scene, http: httpx2.AsyncClient) -> None:
    two.kcp.faults.tamper(Which(verb="watch"), lambda: Tampering(garble_nth=0))
    async with Watching(http, two.watch(TENANTS)) as watching:
        (event,) = await watching.until(1)
    assert event["object"]["metadata"]["name"] == "u"
    assert len(watching.raw) == 1


async def test_a_deletion_may_be_lost(two: Scene, http: httpx2.AsyncClient) -> None:
    two.kcp.api.create("root:a", tenant("gone", finalizer=False))
    two.kcp.faults.tamper(Which(verb="watch"), lambda: Tampering(drop="DELETED"))
    async with Watching(
        http, two.watch(TENANTS, resourceVersion=two.kcp.world.shards["root"].rv)
    ) as watching:
        two.kcp.api.delete("root:a", "tenants", "gone")
        two.kcp.api.create("root:a", tenant("v"))
        assert [event["type"] for event in await watching.until(1)] == ["ADDED"]


async def test_a_deletion_while_nobody_watched_is_in_no_event(two: Scene, http: httpx2.AsyncClient) -> None:
    two.kcp.api.create("root:a", tenant("gone", finalizer=False))
    cursor = (await http.get(two.virtual(TENANTS))).json()["metadata"]["resourceVersion"]
    two.kcp.api.delete("root:a", "tenants", "gone")
    two.kcp.compact()
    async with Watching(http, two.watch(TENANTS, resourceVersion=cursor)) as watching:
        assert [event["object"]["code"] for event in await watching.ended()] == [410]
    names = [one["metadata"]["name"] for one in (await http.get(two.virtual(TENANTS))).json()["items"]]
    assert names == ["t", "u"]


async def test_what_was_listed_may_be_added_once_more(two: Scene, http: httpx2.AsyncClient) -> None:
    cursor = (await http.get(two.virtual(TENANTS))).json()["metadata"]["resourceVersion"]
    two.kcp.faults.tamper(Which(verb="watch"), lambda: Tampering(double=True))
    async with Watching(http, two.watch(TENANTS, resourceVersion=cursor)) as watching:
        assert [event["type"] for event in await watching.until(2)] == ["ADDED", "ADDED"]


async def test_an_event_may_be_very_long(two: Scene, http: httpx2.AsyncClient) -> None:
    async with Watching(http, two.watch(TENANTS, fieldSelector="metadata.name=big")) as watching:
        big = tenant("big", spec={"note": "x" * 2_500_000})
        assert (await send(http, "POST", two.virtual(TENANTS, "root:a"), big)).status_code == 201
        (event,) = await watching.until(1)
    assert len(event["object"]["spec"]["note"]) == 2_500_000


async def test_one_that_reads_slowly_does_not_hold_up_the_others(
    two: Scene, http: httpx2.AsyncClient
) -> None:
    at = urlsplit(two.kcp.shard_url())
    _, writer = await asyncio.open_connection(at.hostname, at.port, limit=1024)
    path = two.watch(TENANTS).partition(at.netloc)[2]
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {two.kcp.admin_token}\r\n\r\n".encode()
    )
    async with Watching(http, two.watch(TENANTS, fieldSelector="metadata.name=last")) as watching:
        for number in range(20):
            two.kcp.api.create("root:a", tenant(f"x{number}", spec={"note": "x" * 500_000}))
        two.kcp.api.create("root:a", tenant("last"))
        assert len(await watching.until(1)) == 1
    waiting = [one.transport.get_write_buffer_size() for one in two.kcp.doors.connections if one.transport]
    assert max(waiting) < 2_000_000, "nor does what it does not read pile up"
    writer.close()


async def test_virtual_workspaces_may_be_served_later_than_their_url_is_told(
    two: Scene, http: httpx2.AsyncClient
) -> None:
    for status in (404, 503):
        two.kcp.quirks.vw_down = status
        assert two.slice_urls()
        assert (await http.get(two.virtual(TENANTS))).status_code == status
    two.kcp.quirks.vw_down = 0
    assert (await http.get(two.virtual(TENANTS))).status_code == 200


async def test_a_shard_may_serve_a_while_after_its_first_binding(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    scene.kcp.quirks.vw_late = (503, 0.2)
    await scene.account("a")
    (url,) = scene.slice_urls()
    assert (await http.get(f"{url}/clusters/*/{TENANTS}")).status_code == 503
    async with asyncio.timeout(10):
        while (await http.get(f"{url}/clusters/*/{TENANTS}")).status_code != 200:
            await asyncio.sleep(0.02)


async def test_a_start_goes_through_phases(two: Scene) -> None:
    await two.kcp.restart(phases=[(403, 0.05), (500, 0.05), (404, 0.05)])
    seen: list[int] = []
    async with client(two.kcp) as http, asyncio.timeout(10):
        while 200 not in seen:
            answer = await http.get(two.virtual(TENANTS))
            if answer.status_code not in seen[-1:]:
                seen.append(answer.status_code)
            if answer.status_code == 404:
                assert answer.text == "404 page not found\n"
            await asyncio.sleep(0.005)
    assert seen == [403, 500, 404, 200]


async def test_the_clock_may_be_wrong(two: Scene, http: httpx2.AsyncClient) -> None:
    two.kcp.world.skew_s = -7200
    made = (await send(http, "POST", two.virtual(TENANTS, "root:a"), tenant("v"))).json()
    old = two.kcp.api.get("root:a", "tenants", "t")
    assert old is not None
    assert made["metadata"]["creationTimestamp"] < old["metadata"]["creationTimestamp"]
