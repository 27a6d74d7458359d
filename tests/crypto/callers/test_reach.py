"""Where a tenant's address may lead, and that what was looked at is what is connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Semaphore

import pytest

from openkcm.crypto.callers.reach import NotReached, Reach, is_allowed, read_networks
from openkcm.sdk.refusals import Permanent, Refusal
from tests.crypto.callers.issuer import DISCOVERY, Issuer, http
from tests.crypto.callers.pki import Authority

HERE = read_networks(["127.0.0.0/8"])


@pytest.mark.parametrize(
    "address",
    [
        *(
            "0.0.0.0",  # noqa: S104 - an address not to connect to
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
        ),
        *(
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
        ),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1"),
        *("::ffff:10.0.0.1", "::ffff:8.8.8.8", "::10.0.0.1", "64:ff9b::a00:1", "64:ff9b::808:808"),
        *("64:ff9b:1::a00:1", "2002:a00:1::", "2001:0:1::", "198.18.0.1", "203.0.113.1", "2001:db8::1"),
    ],
)
def test_an_address_that_others_do_not_reach_as_we_do_is_not_connected_to(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address), ())


@pytest.mark.parametrize("address", ["8.8.8.8", "2a00:1450:4001:831::200e", "140.82.121.4"])
def test_a_public_address_is(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), ())


def test_the_operator_allows_networks_and_nothing_beside_them() -> None:
    allowed = read_networks(["10.1.0.0/16", "fd00:1::/32"])
    assert is_allowed(ipaddress.ip_address("10.1.2.3"), allowed)
    assert is_allowed(ipaddress.ip_address("fd00:1::7"), allowed)
    for other in ("10.2.0.1", "fd00:2::7", "::ffff:10.1.2.3", "127.0.0.1"):
        assert not is_allowed(ipaddress.ip_address(other), allowed)


@pytest.mark.parametrize("network", ["10.1.0.0/33", "10.1.0.1/16", "intranet"])
def test_a_network_that_cannot_be_read_is_a_wrong_setting(network: str) -> None:
    with pytest.raises(Permanent) as refused:
        read_networks([network])
    assert refused.value.refusal is Refusal.SETTING_INVALID


@pytest.fixture
def reach() -> Iterator[Reach]:
    made = Reach(HERE)
    yield made
    made.close()


async def get(reach: Reach, issuer: Issuer, *, url: str = "", authority: Authority | None = None) -> bytes:
    return await reach.fetch(
        "acme",
        url or f"{issuer.url}{DISCOVERY}",
        authority=(authority or issuer.authority).pem,
        most_bytes=4096,
    )


class Names:
    """A name server that answers each time with the next of these."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: tuple[str, ...]) -> None:
        self._answers = list(answers)
        self.asked = 0
        monkeypatch.setattr(socket, "getaddrinfo", self.look_up)

    def look_up(self, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        self.asked += 1
        found = self._answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]


@pytest.mark.integration
async def test_a_document_comes_from_the_named_server(reach: Reach, issuer: Issuer) -> None:
    assert b"jwks_uri" in await get(reach, issuer)
    assert b"jwks_uri" in await get(reach, issuer, url=f"https://127.0.0.1:{issuer.port}{DISCOVERY}")


@pytest.mark.integration
async def test_a_private_address_is_not_asked_unless_it_is_allowed(issuer: Issuer) -> None:
    nowhere = Reach()
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(NotReached, match="not public") as failed:
            await get(nowhere, issuer, url=f"https://{host}:{issuer.port}{DISCOVERY}")
        assert failed.value.forbidden
    assert not issuer.asked
    nowhere.close()


@pytest.mark.integration
async def test_a_name_that_leads_elsewhere_after_it_was_looked_at_is_looked_up_once(
    reach: Reach, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch, ("127.0.0.1",), ("10.0.0.1",), ("169.254.169.254",))
    assert b"jwks_uri" in await get(reach, issuer)
    assert names.asked == 1


@pytest.mark.integration
async def test_of_several_addresses_a_bad_one_is_enough(
    reach: Reach, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, ("127.0.0.1", "169.254.169.254"))
    with pytest.raises(NotReached, match="not public"):
        await get(reach, issuer)
    assert not issuer.asked


@pytest.mark.integration
async def test_the_servers_certificate_is_of_the_name_and_of_the_given_authority(
    reach: Reach, issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotReached):
        await get(reach, issuer, authority=Authority("Issuer CA"))
    Names(monkeypatch, ("127.0.0.1",))
    with pytest.raises(NotReached):
        await get(reach, issuer, url=f"https://other.example:{issuer.port}{DISCOVERY}")
    assert not issuer.asked


@pytest.mark.integration
@pytest.mark.parametrize(
    "answer",
    [
        http(301, b"", "Location: /elsewhere"),
        http(302, b"", "Location: http://169.254.169.254/latest"),
        http(500),
        http(200, b"x" * 5000),
        http(200, b"{}", "Content-Encoding: gzip"),
        b"junk\r\n\r\n",
        b"",
    ],
)
async def test_another_answer_than_a_small_document_is_none(
    reach: Reach, issuer: Issuer, answer: bytes
) -> None:
    issuer.answers[DISCOVERY] = answer or b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    with pytest.raises(NotReached):
        await get(reach, issuer)
    assert issuer.asked == {DISCOVERY: 1}


@pytest.mark.parametrize(
    "url", ["http://issuer.example/", "https://user:word@issuer.example/", "file:///etc/passwd", "https:///x"]
)
async def test_another_address_than_https_is_not_asked(reach: Reach, url: str) -> None:
    with pytest.raises(NotReached) as failed:
        await reach.fetch("acme", url, authority="", most_bytes=10)
    assert failed.value.forbidden


async def test_a_name_server_that_hangs_holds_up_one_tenant_alone(
    reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, met = Event(), []

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        met.append(host)
        if host.startswith("slow"):
            gate.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    hanging = [
        asyncio.create_task(reach.fetch("blue", f"https://slow-{n}/", authority="", most_bytes=10))
        for n in range(4)
    ]
    done, _ = await asyncio.wait(hanging, return_when=asyncio.FIRST_COMPLETED)
    assert all("already" in str(one.exception()) for one in done)
    with pytest.raises(NotReached, match="not public"):
        await reach.fetch("acme", "https://quick/", authority="", most_bytes=10)
    gate.set()
    await asyncio.wait(hanging)
    assert sorted(met) == ["quick", "slow-0", "slow-1"]


async def test_names_that_nobody_got_to_in_time_are_not_counted_against_their_tenant(
    reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others keep every thread busy; when they are done, whoever came in vain meanwhile is served."""
    gate, busy = Event(), Semaphore(0)

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host.startswith("slow"):
            busy.release()
            gate.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port))]

    def ask(tenant: str, host: str) -> asyncio.Task[bytes]:
        return asyncio.create_task(reach.fetch(tenant, f"https://{host}/", authority="", most_bytes=10))

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    hanging = [ask(f"hostile-{n % 16}", f"slow-{n}") for n in range(32)]
    await asyncio.sleep(0)
    for _ in hanging:
        assert busy.acquire(timeout=10)
    for _ in range(3):
        in_vain = ask("acme", "quick")
        await asyncio.sleep(0)
        in_vain.cancel()
        with pytest.raises(asyncio.CancelledError):
            await in_vain
    gate.set()
    await asyncio.wait(hanging)
    with pytest.raises(NotReached, match="not public"):
        await ask("acme", "quick")
