"""How often an issuer is asked, by whom it is waited for, and for how long its keys count."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from joserfc.jwk import Key

from openkcm.crypto.callers.assertion import Assertion
from openkcm.crypto.callers.issuers import (
    AGAIN_S,
    FETCHES_BURST,
    FETCHES_PER_S,
    GOOD_S,
    KEPT_S,
    MOST_OF_TENANT,
    Issuers,
)
from openkcm.crypto.callers.proof import ProofFailed, Why
from openkcm.crypto.callers.reach import NotReached
from openkcm.crypto.trust import IssuerTrust
from openkcm.kernel.clock import SetClock
from openkcm.sdk.refusals import Refusal, Temporary
from tests.crypto.callers.issuer import ec_key

TRUST = IssuerTrust(issuer="https://issuer.example", subject="backend")


class Web:
    """What is fetched, by address; an address that is not there does not answer. ``gate`` holds all answers back."""

    def __init__(self, *keys: Key) -> None:
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.documents: dict[str, object] = {
            f"{TRUST.issuer}/.well-known/openid-configuration": {
                "issuer": TRUST.issuer,
                "jwks_uri": "https://keys.example/",
            }
        }
        self.publish(*keys)

    def publish(self, *keys: Key) -> None:
        self.documents["https://keys.example/"] = {"keys": [key.as_dict(private=False) for key in keys]}

    async def fetch(self, tenant: str, url: str, *, authority: str, most_bytes: int) -> bytes:
        self.asked.append(url)
        await self.gate.wait()
        if url not in self.documents:
            raise NotReached("nobody there")
        return msgspec.json.encode(self.documents[url])


def of(kid: str) -> Assertion:
    return Assertion(algorithm="ES256", kid=kid, ends_at_s=0.0, token="")


async def wanted(issuers: Issuers, kid: str = "one", tenant: str = "acme") -> str:
    return (await issuers.key(tenant, TRUST, of(kid))).kid


async def is_silent(issuers: Issuers, kid: str = "one") -> None:
    with pytest.raises(Temporary) as refused:
        await wanted(issuers, kid)
    assert refused.value.refusal is Refusal.ISSUER_SILENT
    assert refused.value.retry_after_s is not None
    assert 1 <= refused.value.retry_after_s <= AGAIN_S


async def test_keys_are_asked_for_once_and_again_when_they_are_old(clock: SetClock) -> None:
    web = Web(ec_key())
    issuers = Issuers(web, clock.monotonic)
    for _ in range(3):
        assert await wanted(issuers) == "one"
    assert len(web.asked) == 2
    clock.advance(GOOD_S + 1)
    await wanted(issuers)
    assert len(web.asked) == 4


async def test_whoever_asks_meanwhile_waits_for_the_same_answer(clock: SetClock) -> None:
    web = Web(ec_key())
    web.gate.clear()
    issuers = Issuers(web, clock.monotonic)
    asking = [asyncio.create_task(wanted(issuers)) for _ in range(20)]
    await asyncio.sleep(0)
    asking[0].cancel()  # who asked first has gone
    web.gate.set()
    assert await asyncio.gather(*asking[1:]) == ["one"] * 19
    assert len(web.asked) == 2


async def test_a_key_that_nobody_knows_has_the_issuer_asked_once_in_a_while(clock: SetClock) -> None:
    web = Web(ec_key())
    issuers = Issuers(web, clock.monotonic)
    await wanted(issuers)
    for n in range(50):
        await is_silent(issuers, f"made-up-{n}")
    assert len(web.asked) == 2
    clock.advance(AGAIN_S)
    with pytest.raises(ProofFailed) as failed:
        await wanted(issuers, "made-up")
    assert failed.value.why is Why.KEY_UNKNOWN
    for n in range(50):
        await is_silent(issuers, f"made-up-{n}")
    assert len(web.asked) == 4
    assert await wanted(issuers) == "one"


async def test_a_new_key_counts_and_one_that_is_gone_does_not(clock: SetClock) -> None:
    web = Web(ec_key("one"))
    issuers = Issuers(web, clock.monotonic)
    await wanted(issuers, "one")
    web.publish(ec_key("two"))
    clock.advance(AGAIN_S)
    assert await wanted(issuers, "two") == "two"
    clock.advance(AGAIN_S)
    with pytest.raises(ProofFailed):
        await wanted(issuers, "one")


async def test_keys_outlive_an_issuer_that_is_down_for_an_hour_and_no_longer(clock: SetClock) -> None:
    web = Web(ec_key())
    issuers = Issuers(web, clock.monotonic)
    await wanted(issuers)
    web.documents.clear()
    clock.advance(GOOD_S + 1)
    assert await wanted(issuers) == "one"
    clock.advance(KEPT_S)
    await is_silent(issuers)
    before = len(web.asked)
    await is_silent(issuers)  # and it is left alone
    assert len(web.asked) == before


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://issuer.example/", "jwks_uri": "https://keys.example/"},
        {"issuer": "https://issuer.example"},
        [],
    ],
)
async def test_a_discovery_of_another_issuer_leads_nowhere(clock: SetClock, document: object) -> None:
    web = Web(ec_key())
    web.documents[f"{TRUST.issuer}/.well-known/openid-configuration"] = document
    await is_silent(Issuers(web, clock.monotonic))
    assert len(web.asked) == 1


async def test_one_tenant_has_two_fetches_under_way_and_no_other_tenant_waits_for_them(
    clock: SetClock,
) -> None:
    web = Web(ec_key())
    web.gate.clear()
    issuers = Issuers(web, clock.monotonic)
    many = [IssuerTrust(issuer=f"https://dead-{n}.example", subject="s") for n in range(10)]
    hanging = [asyncio.create_task(issuers.key("blue", trust, of("one"))) for trust in many]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(web.asked) == 2
    asked = asyncio.create_task(wanted(issuers))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(web.asked) == 3
    web.gate.set()
    assert await asked == "one"
    told = await asyncio.gather(*hanging, return_exceptions=True)
    assert all(isinstance(one, Temporary) for one in told)


async def test_each_tenant_has_its_own_keys_of_a_common_issuer(clock: SetClock) -> None:
    web = Web(ec_key())
    issuers = Issuers(web, clock.monotonic)
    await wanted(issuers, tenant="acme")
    await wanted(issuers, tenant="blue")
    assert len(web.asked) == 4


async def test_a_tenant_has_nobody_asked_fast_however_many_issuers_it_registers(clock: SetClock) -> None:
    web = Web()
    issuers = Issuers(web, clock.monotonic)
    for n in range(100):
        trust = IssuerTrust(issuer=f"https://victim.example/{n}", subject="s")
        with pytest.raises(Temporary):
            await issuers.key("blue", trust, of("one"))
    assert len(web.asked) == FETCHES_BURST
    assert len(issuers._known) == MOST_OF_TENANT
    clock.advance(3 / FETCHES_PER_S)
    for n in range(100):
        trust = IssuerTrust(issuer=f"https://victim.example/{n}", subject="s")
        with pytest.raises(Temporary):
            await issuers.key("blue", trust, of("one"))
    assert len(web.asked) == FETCHES_BURST + 3
