"""Control's client: coalesced calls, outages in plain words, and answers that are not believed unseen."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Coroutine

import httpx2
import msgspec
import pytest

from openkcm.crypto.client import PinnedRegion, PinnedRegions
from openkcm.crypto.contract import MintItem, Proof, ProveItem
from openkcm.crypto.settings import RegionSettings
from openkcm.parties.pins import Pins
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from openkcm.serving.calls import Answer, Call, Fault, Outcome
from tests.crypto.refusing import refused
from tests.crypto.world import World

Handler = Callable[[httpx2.Request], Coroutine[None, None, httpx2.Response]]


def region(handler: Handler, pins: Pins | None = None) -> PinnedRegion:
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(handler), base_url="https://region")
    return PinnedRegion("local", http, pins or Pins(()))


def answered(*outcomes: Outcome[Proof], name: str = "local") -> httpx2.Response:
    answer = Answer(outcomes=outcomes, region=name, epoch=1, tenants=1, digest="0" * 64)
    return httpx2.Response(200, content=msgspec.json.encode(answer))


def asked(request: httpx2.Request) -> list[ProveItem]:
    return list(msgspec.json.decode(request.content, type=Call[ProveItem]).items)


def proof(item: ProveItem) -> Outcome[Proof]:
    return Outcome(done=Proof(tenant=item.tenant, message=b"m", digest="d"))


def item(number: int = 0) -> ProveItem:
    return ProveItem(tenant=f"t{number}", service="default")


async def test_calls_made_together_travel_together_and_one_is_under_way_at_a_time() -> None:
    sizes, under_way, most = [], 0, 0

    async def handle(request: httpx2.Request) -> httpx2.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        sizes.append(len(asked(request)))
        under_way -= 1
        return answered(*map(proof, asked(request)))

    client = region(handle)
    done = await asyncio.gather(*(client.prove(item(number)) for number in range(250)))
    assert [one.tenant for one in done] == [f"t{number}" for number in range(250)]
    assert sizes == [100, 100, 50]
    assert most == 1
    await client.aclose()


async def test_one_refused_item_stops_nobody_else() -> None:
    async def handle(request: httpx2.Request) -> httpx2.Response:
        first, _second, _third = asked(request)
        return answered(
            proof(first),
            Outcome(fault=Fault(refusal="key-blocked", message="no")),
            Outcome(
                fault=Fault(refusal="not-invented-yet", message="wait", temporary=True, retry_after_s=2.5)
            ),
        )

    client = region(handle)
    first, second, third = await asyncio.gather(
        *(client.prove(item(n)) for n in range(3)), return_exceptions=True
    )
    assert isinstance(first, Proof)
    assert isinstance(second, Permanent)
    assert second.refusal is Refusal.KEY_BLOCKED
    assert isinstance(third, Temporary)
    assert (third.refusal, third.retry_after_s) == (Refusal.INTERNAL, 2.5)
    await client.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(500, content=b"secret stack"),
        httpx2.Response(403, content=b"{}"),
        httpx2.Response(200, content=b"secret nonsense"),
        answered(),
        answered(proof(item()), proof(item())),
        answered(proof(item()), name="mars"),
        answered(proof(item(7))),
        answered(Outcome()),
        httpx2.ConnectError("secret detail"),
        httpx2.ReadTimeout("secret detail"),
    ],
    ids=[
        "500",
        "403",
        "no JSON",
        "none",
        "too many",
        "other region",
        "other tenant",
        "empty",
        "down",
        "late",
    ],
)
async def test_whatever_is_no_good_answer_is_an_outage_in_plain_words(
    answer: httpx2.Response | Exception,
) -> None:
    given = [answer]

    async def handle(request: httpx2.Request) -> httpx2.Response:
        one = given.pop() if given else answered(*map(proof, asked(request)))
        if isinstance(one, Exception):
            raise one
        return one

    client = region(handle)
    with pytest.raises(Temporary, match="Region 'local' is not available") as found:
        await client.prove(item())
    assert found.value.refusal is Refusal.REGION_UNAVAILABLE
    assert "secret" not in found.value.message
    assert found.value.remedy is not None
    assert (await client.prove(item())).tenant == "t0"  # and by itself it goes on
    await client.aclose()


async def test_an_endless_answer_is_an_outage_before_it_fills_memory() -> None:
    sent, endless = 0, True

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(400):
            sent += 1
            yield b" " * 2**20

    async def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=body()) if endless else answered(*map(proof, asked(request)))

    client = region(handle)
    with pytest.raises(Temporary, match="its answer is larger than 16 MiB") as found:
        await client.prove(item())
    assert found.value.refusal is Refusal.REGION_UNAVAILABLE
    assert sent <= 17
    endless = False
    assert (await client.prove(item())).tenant == "t0"
    await client.aclose()


async def test_an_answer_that_comes_byte_by_byte_is_an_outage_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("openkcm.crypto.client.DEADLINE_S", 0.1)

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    async def handle(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=body())

    client = region(handle)
    with pytest.raises(Temporary, match="not complete within") as found:
        await client.prove(item())
    assert found.value.refusal is Refusal.REGION_UNAVAILABLE
    await client.aclose()


async def test_a_compressed_answer_is_never_unpacked() -> None:
    async def handle(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["accept-encoding"] == "identity"
        content = gzip.compress(b" " * 2**25)
        return httpx2.Response(200, content=aiter_of(content), headers={"content-encoding": "gzip"})

    client = region(handle)
    with refused(Refusal.REGION_UNAVAILABLE):
        await client.prove(item())
    await client.aclose()


async def aiter_of(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_deeply_nested_answer_is_an_outage() -> None:
    async def handle(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=b'{"x":' + b"[" * 1_000_000)

    client = region(handle)
    with refused(Refusal.REGION_UNAVAILABLE):
        await client.prove(item())
    await client.aclose()


@pytest.mark.parametrize(("sent_s", "wait_s"), [(1e300, 3600.0), (-5.0, 0.0), (7.5, 7.5)])
async def test_a_regions_words_can_be_stored_and_shown_whatever_it_sent(sent_s: float, wait_s: float) -> None:
    async def handle(_request: httpx2.Request) -> httpx2.Response:
        message = "a\x00b\n\u202ec" + "d" * 2**20
        fault = Fault(refusal="unavailable", message=message, temporary=True, retry_after_s=sent_s)
        return answered(Outcome(fault=fault))

    client = region(handle)
    with pytest.raises(Temporary) as found:
        await client.prove(item())
    assert found.value.message == "a b c" + "d" * 1019
    assert found.value.retry_after_s == wait_s
    await client.aclose()


async def test_an_answer_to_a_proof_is_of_the_record_that_was_sent() -> None:
    async def handle(request: httpx2.Request) -> httpx2.Response:
        return answered(*map(proof, asked(request)))

    client = region(handle)
    with refused(Refusal.REGION_UNAVAILABLE):
        await client.prove(ProveItem(tenant="t0", service="default", message=b"other"))
    await client.aclose()


async def test_who_gives_up_takes_nobody_along() -> None:
    async def handle(request: httpx2.Request) -> httpx2.Response:
        return answered(*map(proof, asked(request)))

    client = region(handle)
    first, second = (asyncio.create_task(client.prove(item(number))) for number in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).tenant == "t1"
    await client.aclose()


async def test_closing_answers_those_who_wait() -> None:
    forever = asyncio.Event()

    async def handle(_request: httpx2.Request) -> httpx2.Response:
        await forever.wait()
        raise AssertionError

    client = region(handle)
    waiting = asyncio.create_task(client.mint(MintItem(tenant="t", generation=1, services=("s",), token="t")))
    await asyncio.sleep(0.01)
    await client.aclose()
    with refused(Refusal.REGION_UNAVAILABLE):
        await waiting


async def test_only_regions_with_an_address_and_a_pin_are_dialled(world: World) -> None:
    settings = [
        RegionSettings(name="local", address="127.0.0.1:1"),
        RegionSettings(name="mars", address="127.0.0.1:1"),
    ]
    regions = PinnedRegions(world.control, world.pins, settings)
    assert regions.names() == ["local"]
    for name in ("mars", "eu-1"):
        with refused(Refusal.REGION_UNKNOWN):
            regions.get(name)
    assert regions.get("local") is regions.get("local")
    with refused(Refusal.REGION_UNAVAILABLE):
        await regions.get("local").prove(item())
    await regions.aclose()
