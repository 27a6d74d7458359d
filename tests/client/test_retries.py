"""What is asked again, when, and what never is."""

from __future__ import annotations

import httpx2
import pytest

from openkcm_client import (
    AsyncClient,
    KeyRevoked,
    KeySuspended,
    NotAuthenticated,
    NotPermitted,
    Refused,
    TooMany,
    Unavailable,
)
from tests.client.conftest import Make
from tests.client.strict_region import FakeTime, StrictRegion, fails, problem, says

PASSING = {
    "no connection": lambda: fails(httpx2.ConnectError),
    "no connection in time": lambda: fails(httpx2.ConnectTimeout),
    "a lost answer": lambda: fails(httpx2.ReadTimeout),
    "a cut answer": lambda: fails(httpx2.RemoteProtocolError),
    "unavailable": lambda: says(problem("unavailable")),
    "too many": lambda: says(problem("too-many", **{"retry-after": "1"})),
    "a proxy's 502": lambda: says(httpx2.Response(502, content=b"Bad Gateway")),
}


@pytest.mark.parametrize("how", PASSING)
async def test_what_passes_is_tried_again(kcm: AsyncClient, region: StrictRegion, how: str) -> None:
    region.faults += [PASSING[how]() for _ in range(3)]
    assert await kcm.decrypt(await kcm.encrypt(b"x")) == b"x"
    assert len(region.asked) == 4


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("key-revoked", KeyRevoked),
        ("key-suspended", KeySuspended),
        ("not-permitted", NotPermitted),
        ("caller-unknown", NotPermitted),
        ("token-invalid", NotAuthenticated),
        ("bad-request", Refused),
        ("not-found", Refused),
    ],
)
async def test_what_cannot_succeed_is_asked_once(
    kcm: AsyncClient, region: StrictRegion, code: str, kind: type[Refused]
) -> None:
    region.faults.append(says(problem(code)))
    with pytest.raises(kind) as refused:
        await kcm.encrypt(b"x")
    assert region.asked == ["/v1/data-keys"]
    assert (refused.value.code, refused.value.reference) == (code, "reference/errors")
    assert "Ask who disabled it." in str(refused.value)


async def test_an_error_of_the_region_itself_is_not_asked_again(
    kcm: AsyncClient, region: StrictRegion
) -> None:
    region.faults.append(says(httpx2.Response(500, json={"code": "internal"})))
    with pytest.raises(Unavailable):
        await kcm.encrypt(b"x")
    assert len(region.asked) == 1


async def test_all_tries_together_have_a_deadline(make: Make, region: StrictRegion, time: FakeTime) -> None:
    region.down = True
    began = time.now_s
    with pytest.raises(Unavailable) as silent:
        await make(timeout_s=10).encrypt(b"x")
    assert 7 <= time.now_s - began <= 10
    assert 6 <= len(region.asked) <= 12, "with pauses that grow"
    assert silent.value.code == "no-answer"


async def test_retry_after_is_kept_to(kcm: AsyncClient, region: StrictRegion, time: FakeTime) -> None:
    region.faults.append(says(problem("too-many", **{"retry-after": "7"})))
    began = time.now_s
    await kcm.encrypt(b"x")
    assert time.now_s - began == 7


async def test_who_must_wait_longer_than_the_deadline_is_told_so_at_once(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    region.faults.append(says(problem("too-many", **{"retry-after": "60"})))
    began = time.now_s
    with pytest.raises(TooMany) as refused:
        await kcm.encrypt(b"x")
    assert (time.now_s, refused.value.retry_after_s, len(region.asked)) == (began, 60, 1)


async def test_the_next_address_is_tried_at_once_and_kept(
    region: StrictRegion, time: FakeTime, make: Make
) -> None:
    hosts: list[str] = []

    class Two(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            hosts.append(request.url.host)
            if request.url.host == "first.example":
                raise httpx2.ConnectError("down", request=request)
            return await region.handle_async_request(request)

    kcm = make(address=["https://first.example", "https://second.example"], transport=Two())
    began = time.now_s
    await kcm.encrypt(b"x")
    await kcm.rewrap(await kcm.encrypt(b"x"))
    assert hosts == ["first.example", "second.example", "second.example"]
    assert time.now_s == began


@pytest.mark.parametrize(
    "address",
    [
        "http://region.example",
        "http://10.0.0.1:8081",
        "ftp://region.example",
        "region.example",
        "https://user:pw@region.example",
        "https://region.example/path",
        "https://region.example?x",
        "https://region.example:99999",
        "",
        [],
    ],
)
def test_an_address_is_https_or_this_machines_own(address: str | list[str]) -> None:
    with pytest.raises(ValueError, match=r"\w+") as refused:
        AsyncClient(address, tenant="acme", credentials="t")
    assert "pw" not in str(refused.value)
    AsyncClient("http://127.0.0.1:8081", tenant="acme", credentials="t")
    AsyncClient("http://[::1]:8081/", tenant="acme", credentials="t")
