"""One head after the other over a connection: each request is decided anew, and what differs is read as at first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openkcm.crypto.contract import TokenItem
from openkcm.crypto.data.hot import HotProtocol
from openkcm.kernel.db import DB
from openkcm.serving import bounds
from tests.crypto.doors import DOORS, DoorName
from tests.crypto.raw_http import GOOD, HEALTHY, LAST, PATIENCE_S, Doors, doors, parsed

pytestmark = pytest.mark.integration

__all__ = ["doors"]


@dataclass
class Talk:
    """A connection over which each request waits for the answer to the one before."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self.writer.write(request)
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return parsed(head + await self.reader.readexactly(length))[0]

    async def end(self, rest: bytes) -> list[tuple[int, bytes]]:
        """All that is answered to these bytes, and to no more."""
        self.writer.write(rest)
        self.writer.write(LAST)
        async with asyncio.timeout(PATIENCE_S):
            return parsed(await self.reader.read())


@asynccontextmanager
async def talk(doors: Doors, door: DoorName = "hot") -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection("127.0.0.1", doors.ports[door])
    try:
        yield Talk(reader, writer)
    finally:
        writer.transport.abort()


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies of all requests whose head was known."""
    found: list[bytes] = []
    come_again = HotProtocol._come_again

    def noted(self: HotProtocol, call: object, body: bytes) -> None:
        found.append(body)
        come_again(self, call, body)  # type: ignore[arg-type] # as it came

    monkeypatch.setattr(HotProtocol, "_come_again", noted)
    return found


async def test_a_head_that_comes_again_is_answered_without_the_parser(
    doors: Doors, again: list[bytes]
) -> None:
    bodies = [b'{"message":"%b"}' % doors.message.encode() + b" " * n for n in (0, 1, 700)]
    wrong = [b'{"message":""}', b"", b"x" * 5000]
    async with talk(doors) as it:
        for number, body in enumerate([*bodies, *wrong, *bodies]):
            assert (await it.ask(doors.request(body=body)))[0] == (200 if body in bodies else 400)
            assert len(again) == max(0, number - 1)
        cold, other = doors.request("/v1/decrypt?"), doors.request(more=["X-Other: 1"])
        for request in (cold, other, doors.request()):  # none has the head of the one before
            assert await it.ask(request) == GOOD
        assert len(again) == 7
        assert [await it.ask(doors.request()) for _ in range(8)] == [
            GOOD
        ] * 8  # it is learnt again, but not at once
        assert await it.end(b"") == [HEALTHY]
    assert len(again) == 9


async def test_what_is_answered_again_is_decided_anew(doors: Doors, again: list[bytes]) -> None:
    local = doors.plane.local
    DB.pool = local.pool
    async with talk(doors) as it:
        assert [await it.ask(doors.request()) for _ in range(2)] == [GOOD] * 2
        local.here.keys.forget({"acme"})  # then it is waited for
        assert [await it.ask(doors.request()) for _ in range(3)] == [GOOD] * 3
        assert len(again) == 2
        local.here.keys.forget({"acme"})
        pair = doors.request() + doors.request(body=b"{}")
        assert [status for status, _ in await it.end(doors.request() + pair)] == [200, 200, 400, 200]
    async with talk(doors) as it:
        assert [await it.ask(doors.request()) for _ in range(2)] == [GOOD] * 2
        await local.apply(
            doors.plane.world.decide("acme", keys=local.here.state.view("acme").desired.keys, callers=())
        )
        assert (await it.ask(doors.request()))[0] == 403  # the caller was taken out
        doors.plane.clock.advance(901)
        assert (await it.ask(doors.request()))[0] == 401  # the token has ended
        assert (await it.ask(doors.request()))[0] == 401
        assert await it.end(b"") == [HEALTHY]


async def test_another_token_in_the_same_place_is_another_head(doors: Doors, again: list[bytes]) -> None:
    item = TokenItem(tenant="acme", caller="shop", service="default", verbs=("encrypt", "encrypt"))
    other = (await doors.plane.local.token(item)).token
    changed = doors.token[:-2] + ("A" if doors.token[-2] != "A" else "B") + doors.token[-1]
    async with talk(doors) as it:
        for token, status in (*[(doors.token, 200)] * 3, (other, 403), (changed, 401), (doors.token, 200)):
            assert (await it.ask(doors.request(token=token)))[0] == status
    assert len(again) == 1


async def test_who_asks_again_has_the_time_between_requests_and_no_more(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "SWEEP_S", 0.1)
    monkeypatch.setattr("openkcm.crypto.data.hot.IDLE_S", 0.3)
    async with talk(doors) as it:
        assert [await it.ask(doors.request()) for _ in range(3)] == [GOOD] * 3
        async with asyncio.timeout(PATIENCE_S):
            assert await it.reader.read() == b""


def _changed(raw: bytes, changes: Sequence[tuple[int, int, bytes]]) -> bytes:
    made = bytearray(raw)
    for at, cut, what in changes:
        made[at % max(1, len(made)) : at % max(1, len(made)) + cut] = what
    return bytes(made)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEAD_S", 1.0)
    monkeypatch.setattr(bounds, "BODY_S", 1.0)
    monkeypatch.setattr(bounds, "SWEEP_S", 0.1)


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    count=st.integers(1, 4),
    paths=st.lists(st.sampled_from(["/v1/decrypt", "/v1/decrypt?x"]), min_size=1, max_size=2),
    changes=st.lists(
        st.tuples(
            st.integers(0, 2000),
            st.integers(0, 2),
            st.sampled_from([b"", b"0", b"9", b"\r", b"\n", b"\r\n", b"x"]),
        ),
        max_size=3,
    ),
)
async def test_bytes_changed_after_good_requests_are_answered_alike(
    impatient: None, doors: Doors, count: int, paths: list[str], changes: list[tuple[int, int, bytes]]
) -> None:
    last = _changed(b"".join(map(doors.request, paths)), changes)
    said = []
    for door in DOORS:
        async with talk(doors, door) as it:
            assert [await it.ask(doors.request()) for _ in range(count)] == [GOOD] * count
            said.append(await it.end(last))
    hot, application = said
    junk = bool(hot) and hot[-1][0] in (400, 408, 429, 431)
    assert hot == application or (junk and hot[: len(application)] == application), last
