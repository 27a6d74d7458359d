"""Callers with tokens of an issuer at a real region's door: the issuer is real too, and so is TLS between all."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx2
import pytest

from openkcm.crypto.contract import DesiredCaller, IssuerTrust
from tests.crypto.callers.applications import HOST, Applications
from tests.crypto.callers.issuer import (
    DISCOVERY,
    KEYS,
    Issuer,
    claims,
    coded,
    ec_key,
    http,
    rsa_key,
    unsigned,
)

pytestmark = pytest.mark.integration
AUDIENCE = "openkcm:local:acme"


def caller(issuer: Issuer, *, name: str = "shop", subject: str = "backend") -> DesiredCaller:
    trust = IssuerTrust(issuer=issuer.url, subject=subject, authority=issuer.authority.pem)
    return DesiredCaller(name=name, service="default", verbs=("encrypt",), trust=trust, registered=1)


def is_refused(answer: httpx2.Response) -> None:
    """As every exchange is whose proof does not hold."""
    assert (answer.status_code, answer.json()["code"]) == (403, "caller-unknown"), answer.text


async def test_a_token_of_the_registered_issuer_gets_one_that_encrypts_over_any_connection(
    applications: Applications, issuer: Issuer
) -> None:
    await applications.register("acme", caller(issuer))
    async with applications.dial(HOST) as shop, applications.dial(f"acme.{HOST}") as other:
        token = await shop.token("acme", assertion=issuer.token(AUDIENCE), lifetime_s=900)
        assert token.region == "local"
        assert 0 < token.expires_at_s - time.time() <= 660  # no longer than what proves it
        for application in (shop, other):
            assert (await application.encrypt("acme", token.token)).status_code == 200
        # The keys are remembered.
        await shop.token("acme", assertion=issuer.token([AUDIENCE]))
    assert issuer.asked == {DISCOVERY: 1, KEYS: 1}


async def test_a_service_account_of_kubernetes_gets_a_token(
    applications: Applications, issuer: Issuer
) -> None:
    """What a projected token holds: docs/reference/callers.md names the manual's page."""
    subject = "system:serviceaccount:shop:backend"
    issuer.keys = [rsa_key("UcXkh-dmiqz3")]
    await applications.register("acme", caller(issuer, subject=subject))
    now = int(time.time())
    kubernetes: Any = {
        "namespace": "shop",
        "pod": {"name": "backend-7d", "uid": "5ad7a3c6"},
        "serviceaccount": {"name": "backend", "uid": "cf2b"},
        "warnafter": now + 3607,
    }
    assertion = issuer.token(
        [AUDIENCE],
        alg="RS256",
        sub=subject,
        exp=now + 3600,
        iat=now,
        nbf=now,
        jti="7fd8",
        **{"kubernetes.io": kubernetes},
    )
    async with applications.dial(HOST) as shop:
        token = await shop.token("acme", assertion=assertion)
        assert (await shop.encrypt("acme", token.token)).status_code == 200


async def test_whatever_of_a_token_is_wrong_the_answer_is_the_same(
    applications: Applications, issuer: Issuer
) -> None:
    await applications.register("acme", caller(issuer))
    await applications.register("blue", caller(issuer))
    now = int(time.time())
    said = claims(issuer.url, AUDIENCE)
    wrong = {
        "audience": issuer.token("openkcm:local:blue"),
        "region": issuer.token("openkcm:eu-1:acme"),
        "two audiences": issuer.token([AUDIENCE, "other"]),
        "no audience": issuer.token(AUDIENCE, aud=None),
        "subject": issuer.token(AUDIENCE, sub="backend2"),
        "issuer": issuer.token(AUDIENCE, iss=issuer.url + "/"),
        "expired": issuer.token(AUDIENCE, exp=now - 61),
        "future": issuer.token(AUDIENCE, nbf=now + 120),
        "old": issuer.token(AUDIENCE, iat=now - 90_000, exp=now + 600),
        "no end": issuer.token(AUDIENCE, exp=None),
        "none": unsigned(said),
        "none, as one": unsigned(said, kid="one"),
        "HS256 with the public key": coded(issuer.public_pem, said, kid="one"),
        "another's key": issuer.token(AUDIENCE, key=ec_key()),
        "junk": "junk",
        "nothing": "",
    }
    async with applications.dial(HOST) as shop:
        told = {name: await shop.exchange("acme", assertion=assertion) for name, assertion in wrong.items()}
        for answer in told.values():
            is_refused(answer)
        assert len({answer.text for answer in told.values()}) == 1
        await shop.token("acme", assertion=issuer.token(AUDIENCE))


async def test_another_tenants_caller_is_no_caller_here(applications: Applications, issuer: Issuer) -> None:
    await applications.register("acme")
    await applications.register("blue", caller(issuer))
    async with applications.dial(HOST) as shop:
        is_refused(await shop.exchange("acme", assertion=issuer.token(AUDIENCE)))
        is_refused(await shop.exchange("blue", assertion=issuer.token(AUDIENCE)))
        token = await shop.token("blue", assertion=issuer.token("openkcm:local:blue"))
        assert (await shop.encrypt("acme", token.token)).status_code == 403


async def test_a_removed_caller_gets_no_token_and_the_one_that_it_has_ends_at_once(
    applications: Applications, issuer: Issuer
) -> None:
    await applications.register("acme", caller(issuer))
    async with applications.dial(HOST) as shop:
        token = await shop.token("acme", assertion=issuer.token(AUDIENCE))
        await applications.register("acme")
        answer = await shop.encrypt("acme", token.token)
        assert (answer.status_code, answer.json()["code"]) == (403, "caller-unknown")
        is_refused(await shop.exchange("acme", assertion=issuer.token(AUDIENCE)))


async def test_a_new_key_of_the_issuer_counts_and_an_unknown_one_is_no_amplifier(
    applications: Applications, issuer: Issuer
) -> None:
    await applications.register("acme", caller(issuer))
    async with applications.dial(HOST) as shop:
        await shop.token("acme", assertion=issuer.token(AUDIENCE))
        junk = [issuer.token(AUDIENCE, key=ec_key(f"made-up-{n}")) for n in range(50)]
        told = await asyncio.gather(*(shop.exchange("acme", assertion=one) for one in junk))
        assert {answer.status_code for answer in told} <= {403, 503}
        assert issuer.asked[KEYS] <= 2
        # Those whose key is known are served meanwhile.
        await shop.token("acme", assertion=issuer.token(AUDIENCE))


async def test_an_issuer_that_hangs_holds_up_nobody_elses_exchange(
    applications: Applications, issuer: Issuer
) -> None:
    await applications.register("acme", caller(issuer))
    async with Issuer(issuer.directory) as dead:
        dead.delay_s = 30
        await applications.register("blue", caller(dead))
        async with applications.dial(HOST) as shop, applications.dial(HOST) as blue:
            token = dead.token("openkcm:local:blue")
            begun = time.monotonic()
            hanging = [asyncio.create_task(blue.exchange("blue", assertion=token)) for _ in range(40)]
            await asyncio.sleep(0.2)
            await shop.token("acme", assertion=issuer.token(AUDIENCE))
            assert time.monotonic() - begun < 4
            for answer in await asyncio.gather(*hanging):
                assert (answer.status_code, answer.json()["code"]) == (503, "issuer-silent"), answer.text
                assert int(answer.headers["retry-after"]) >= 1
        assert dead.asked == {DISCOVERY: 1}


@pytest.mark.parametrize("what", ["redirect", "other issuer", "keys elsewhere", "too much", "compressed"])
async def test_an_issuer_that_answers_with_something_else_proves_nobody(
    applications: Applications, issuer: Issuer, what: str
) -> None:
    await applications.register("acme", caller(issuer))
    elsewhere = b'{"issuer":"%s","jwks_uri":"http://localhost/keys"}' % issuer.url.encode()
    issuer.answers[DISCOVERY] = {
        "redirect": http(302, b"", f"Location: {issuer.url}/moved"),
        "other issuer": http(200, b'{"issuer":"https://other","jwks_uri":"%s/keys"}' % issuer.url.encode()),
        "keys elsewhere": http(200, elsewhere),
        "too much": http(200, b" " * 70_000 + b"{}"),
        "compressed": http(200, b"{}", "Content-Encoding: gzip"),
    }[what]
    async with applications.dial(HOST) as shop:
        answer = await shop.exchange("acme", assertion=issuer.token(AUDIENCE))
        assert (answer.status_code, answer.json()["code"]) == (503, "issuer-silent"), answer.text
    assert issuer.asked == {DISCOVERY: 1}
