"""The raw bytes of HTTP at both doors: they agree on status and body, or both close, and the process stands."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openkcm.serving import bounds
from tests.crypto.doors import DOORS
from tests.crypto.raw_http import GOOD, HEALTHY, LAST, PATIENCE_S, Doors, doors, parsed

pytestmark = pytest.mark.integration

__all__ = ["doors"]


async def test_a_request_may_be_split_at_each_byte(doors: Doors) -> None:
    request = doors.request()
    for at in range(1, len(request)):
        assert await doors.say("hot", [request[:at], request[at:]]) == [GOOD, HEALTHY], at
    assert await doors.agree(*(request[at : at + 1] for at in range(len(request)))) == [GOOD, HEALTHY]


@pytest.mark.parametrize("count", [1, 2, 7, 15])
async def test_pipelined_requests_are_answered_in_their_order(doors: Doors, count: int) -> None:
    wrong = doors.request(body=b'{"message":""}')
    cold = doors.request("/v1/decrypt?x")
    refused = doors.request(token="x")
    kinds = [doors.request(), wrong, cold, refused, LAST.replace(b"Connection: close\r\n", b"")]
    for shift in range(len(kinds)):
        said = await doors.agree(b"".join(kinds[(n + shift) % len(kinds)] for n in range(count)))
        assert len(said) == count + 1
        assert [status for status, _ in said[:-1]] == [
            [200, 400, 200, 401, 200][(n + shift) % len(kinds)] for n in range(count)
        ]


async def test_requests_behind_one_that_waits_for_its_key_keep_their_order(doors: Doors) -> None:
    for count in (1, 5, 15):
        doors.plane.local.here.keys.forget({"acme"})
        said = await doors.say("hot", [doors.request() + doors.request(body=b"{}") * count])
        assert [status for status, _ in said] == [200, *[400] * count, 200]
        doors.plane.local.here.keys.forget({"acme"})
        said = await doors.say("hot", [doors.request("/v1/decrypt?") + doors.request() * count])
        assert said == [GOOD] * (count + 1) + [HEALTHY]


async def test_more_than_16_behind_one_that_waits_end_the_connection(doors: Doors) -> None:
    doors.plane.local.here.keys.forget({"acme"})
    said = await doors.say("hot", [doors.request() * 40])
    assert len(said) < 40
    assert (await doors.say("hot", [doors.request()]))[0] == GOOD


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("other length", [400, 400]),
        ("same length twice", [400]),
        ("two lengths", [400]),
        ("negative", [400]),
        ("plus", [400]),
        ("hex", [400]),
        ("huge", [400]),
        ("chunked too", [400]),
        ("chunked alone", [200, 200]),
        ("folded", [400]),
        ("space before colon", [400]),
        ("absolute", [200, 200]),
        ("lower method", [400]),
        ("mixed method", [400]),
        ("unknown method", [400]),
        ("get", [405, 200]),
        ("http 1.0", [200]),
        ("http 0.9", [200]),
        ("http 2", [200]),
        ("close", [200]),
        ("expect", [100, 200, 200]),
        ("expect else", [200, 200]),
        ("bare lf", None),
        ("nul in value", None),
        ("two tokens", [401, 200]),
        ("no token", [401, 200]),
        ("two media", [415, 200]),
        ("fragment", None),
        ("percent", None),
        ("dots", None),
        ("star", None),
        ("junk", [400]),
        ("tls", [400]),
        ("empty lines", [200, 200]),
    ],
)
async def test_what_is_out_of_the_ordinary_is_answered_alike(
    doors: Doors, name: str, said: list[int] | None
) -> None:
    good = doors.request()
    head, _, body = good.partition(b"\r\n\r\n")
    length = f"Content-Length: {len(body)}".encode()
    chunked = head.replace(length, b"Transfer-Encoding: chunked") + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
        len(body),
        body,
    )
    cases = {
        "other length": head.replace(length, b"Content-Length: 3") + b"\r\n\r\n" + body,
        "same length twice": head + b"\r\n" + length + b"\r\n\r\n" + body,
        "two lengths": head + b"\r\nContent-Length: 3\r\n\r\n" + body,
        "negative": head.replace(length, b"Content-Length: -1") + b"\r\n\r\n",
        "plus": head.replace(length, b"Content-Length: +3") + b"\r\n\r\nabc",
        "hex": head.replace(length, b"Content-Length: 0x3") + b"\r\n\r\nabc",
        "huge": head.replace(length, b"Content-Length: 99999999999999999999999") + b"\r\n\r\n",
        "chunked too": head + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "chunked alone": chunked,
        "folded": head + b"\r\nX-More: a\r\n b\r\n\r\n" + body,
        "space before colon": head.replace(b"Host:", b"Host :") + b"\r\n\r\n" + body,
        "absolute": good.replace(b"/v1/decrypt", b"http://x/v1/decrypt"),
        "lower method": good.replace(b"POST", b"post"),
        "mixed method": good.replace(b"POST", b"Post"),
        "unknown method": good.replace(b"POST", b"POSTS"),
        "get": good.replace(b"POST", b"GET"),
        "http 1.0": good.replace(b"HTTP/1.1", b"HTTP/1.0"),
        "http 0.9": good.replace(b"HTTP/1.1", b"HTTP/0.9"),
        "http 2": good.replace(b"HTTP/1.1", b"HTTP/2.0"),
        "close": head + b"\r\nConnection: close\r\n\r\n" + body,
        "expect": head + b"\r\nExpect: 100-continue\r\n\r\n" + body,
        "expect else": head + b"\r\nExpect: tea\r\n\r\n" + body,
        "bare lf": good.replace(b"\r\n", b"\n"),
        "nul in value": head.replace(b"Host: x", b"Host: \0") + b"\r\n\r\n" + body,
        "two tokens": head + b"\r\nAuthorization: Bearer " + doors.token.encode() + b"\r\n\r\n" + body,
        "no token": head.replace(b"Authorization:", b"X-Authorization:") + b"\r\n\r\n" + body,
        "two media": head + b"\r\nContent-Type: application/json\r\n\r\n" + body,
        "fragment": good.replace(b"/v1/decrypt", b"/v1/decrypt#x"),
        "percent": good.replace(b"/v1/decrypt", b"/v1/%64ecrypt"),
        "dots": good.replace(b"/v1/decrypt", b"/v1/../v1/decrypt"),
        "star": good.replace(b"/v1/decrypt", b"*"),
        "junk": bytes(range(256)),
        "tls": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(200),
        "empty lines": b"\r\n\r\n" + good,
    }
    answers = await doors.agree(cases[name])
    if said is not None:
        assert [status for status, _ in answers] == said, answers


async def test_a_wish_for_another_protocol_is_answered_alike(doors: Doors) -> None:
    said = set()
    for door in DOORS:
        reader, writer = await asyncio.open_connection("127.0.0.1", doors.ports[door])
        writer.write(doors.request(more=["Connection: Upgrade", "Upgrade: h2c"]))
        async with asyncio.timeout(PATIENCE_S):
            said.add((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1])
        writer.transport.abort()
    assert said == {b"400"}  # llhttp reads no body of it


async def test_a_body_over_the_limit_is_refused_before_it_is_read(doors: Doors) -> None:
    for path, longest in (
        ("/v1/decrypt", 1_490_000),
        ("/v1/data-keys", 4096),
        ("/v1/decrypt/batch", 4 * 2**20),
    ):
        head = doors.request(path, body=b"", length=str(longest + 10_000))
        for door in DOORS:
            reader, writer = await asyncio.open_connection("127.0.0.1", doors.ports[door])
            writer.write(head)
            async with asyncio.timeout(PATIENCE_S):
                answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 413 "), (door, path)
            writer.transport.abort()
    large = b'{"message":"' + b"A" * 1_480_000 + b'"}'
    assert [status for status, _ in await doors.agree(doors.request(body=large))] == [413, 200]


@pytest.mark.parametrize("part", ["head", "body"])
async def test_who_is_slow_is_told_so_and_let_go(
    doors: Doors, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "HEAD_S", 0.2)
    monkeypatch.setattr(bounds, "BODY_S", 0.2)
    request = doors.request()
    cut = request[:40] if part == "head" else request[:-1]
    for door in DOORS:
        reader, writer = await asyncio.open_connection("127.0.0.1", doors.ports[door])
        writer.write(doors.request() + cut)
        async with asyncio.timeout(PATIENCE_S):
            said = parsed(await reader.read())
        assert [status for status, _ in said] == [200, 408]
        writer.transport.abort()


async def test_somebody_who_takes_no_answers_gets_no_more_of_them(doors: Doors) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", doors.ports["hot"], limit=2**10)
    writer.transport.pause_reading()  # type: ignore[attr-defined] # a socket's has it
    request = doors.request(
        "/v1/encrypt/batch", body=b'{"items":[' + b",".join([b'{"plaintext":""}'] * 1000) + b"]}"
    )
    outcomes = doors.answers._operations.outcomes
    writer.write(request * 400)
    answered = -1
    while answered != outcomes["encrypt", "done"]:  # 0.3 MiB each
        answered = outcomes["encrypt", "done"]
        await asyncio.sleep(0.5)
    assert 0 < answered < 200_000
    assert (await doors.say("hot", [doors.request()]))[0] == GOOD
    writer.transport.abort()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEAD_S", 1.0)
    monkeypatch.setattr(bounds, "BODY_S", 1.0)
    monkeypatch.setattr(bounds, "SWEEP_S", 0.1)


@settings(max_examples=50, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
async def test_bytes_changed_anywhere_are_answered_alike(
    impatient: None, doors: Doors, data: st.DataObject
) -> None:
    raw = bytearray(
        b"".join(
            doors.request(path, body=body)
            for path, body in data.draw(
                st.lists(
                    st.sampled_from(
                        [("/v1/decrypt", None), ("/v1/decrypt?x", None), ("/v1/leases", b"{}"), ("/x", b"")]
                    ),
                    min_size=1,
                    max_size=3,
                )
            )
        )
    )
    for at, what in data.draw(
        st.lists(st.tuples(st.integers(0, len(raw) - 1), st.binary(max_size=3)), max_size=3)
    ):
        raw[at : at + data.draw(st.integers(0, 2))] = what
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=3)))
    pieces = [bytes(raw[a:b]) for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True) if a < b]
    if pieces:
        await doors.agree(*pieces)


@pytest.mark.parametrize("path", ["/v1/decrypt", "/v1/decrypt?", "/v1/token", "/nowhere"])
@pytest.mark.parametrize("zeros", [1, 4000, 5000, 30_000])
async def test_a_length_with_however_many_zeros_before_it_is_no_error_of_ours(
    doors: Doors, path: str, zeros: int
) -> None:
    body = f'{{"message":"{doors.message}"}}'.encode()
    request = doors.request(path, body=body, length="0" * zeros + str(len(body)))
    statuses = [[status for status, _ in await doors.say(door, [request])] for door in DOORS]
    assert statuses[0] == statuses[1]
    assert statuses[0][0] in ((200, 400) if "decrypt" in path else (400, 404))
