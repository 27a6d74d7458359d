"""The data door as an application meets it: tokens, sizes, refusals, and one answer for every bad message."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator

import httpx2
import pytest

from openkcm.crypto.contract import DesiredCaller, TokenItem, Verb
from openkcm.crypto.data.door import data_door
from openkcm.crypto.data.encrypt import MAX_PLAINTEXT_BYTES
from openkcm.crypto.metrics import OPERATIONS
from openkcm.kernel.db import DB
from tests.crypto.answering import answers_of
from tests.crypto.plane import Plane

pytestmark = pytest.mark.integration


class Door:
    """The data door of ``local`` without a socket, with a good token at hand."""

    def __init__(self, plane: Plane, http: httpx2.AsyncClient, token: str) -> None:
        self.plane = plane
        self.http = http
        self.token = token

    async def post(self, verb: str, token: str | None = None, **fields: object) -> httpx2.Response:
        DB.pool = self.plane.local.pool
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        return await self.http.post(
            f"/v1/{verb}", json={"tenant": "acme", "service": "default"} | fields, headers=headers
        )

    async def encrypt(self, plaintext: bytes, aad: bytes = b"") -> str:
        answer = await self.post("encrypt", plaintext=b64(plaintext), aad=b64(aad))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["message"])

    async def ask_token(self, *verbs: Verb, tenant: str = "acme", lifetime_s: int = 900) -> str:
        item = TokenItem(tenant=tenant, caller="shop", service="default", verbs=verbs, lifetime_s=lifetime_s)
        return (await self.plane.local.token(item)).token


@pytest.fixture
async def door(plane: Plane) -> AsyncIterator[Door]:
    minted = await plane.protect("acme")
    assert len(minted.records) == 2
    here = plane.local.here
    application = data_door(answers_of(here, operations=OPERATIONS))
    transport = httpx2.ASGITransport(application, raise_app_exceptions=False)  # type: ignore[arg-type] # looser dicts
    async with httpx2.AsyncClient(transport=transport, base_url="http://region") as http:
        made = Door(plane, http, "")
        made.token = await made.ask_token("encrypt", "decrypt")
        yield made


def b64(raw: bytes) -> str:
    return b64encode(raw).decode()


def is_problem(answer: httpx2.Response, code: str, status: int) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code), body
    assert body["type"] == f"urn:openkcm:problem:{code}"
    assert body["detail"]
    assert body["action"]
    assert body["who"]


@pytest.mark.parametrize("size", [0, 1, 64, MAX_PLAINTEXT_BYTES])
async def test_what_was_encrypted_comes_back(door: Door, size: int) -> None:
    plaintext = b"x" * size
    message = await door.encrypt(plaintext, b"row 7")
    answer = await door.post("decrypt", message=message, aad=b64(b"row 7"))
    assert b64decode(answer.json()["plaintext"]) == plaintext
    assert answer.headers["cache-control"] == "no-store"


async def test_every_bad_message_has_one_answer(door: Door) -> None:
    good = b64decode(await door.encrypt(b"secret", b"row 7"))
    bad = [
        bytes([*good[:at], good[at] ^ 1, *good[at + 1 :]])
        for at in (0, 4, 7, 9, 30, 100, 128, 140, len(good) - 1)
    ]
    bad += [b"", good[:100], good[:-1], good + b"\0", b"nonsense" * 40]
    bodies = {(await door.post("decrypt", message=b64(one), aad=b64(b"row 7"))).text for one in bad}
    bodies.add((await door.post("decrypt", message=b64(good))).text)  # without its associated data
    assert len(bodies) == 1
    is_problem(await door.post("decrypt", message=b64(bad[0])), "ciphertext-invalid", 400)
    assert (await door.post("decrypt", message=b64(good), aad=b64(b"row 7"))).status_code == 200


async def test_another_tenants_message_is_a_bad_message(door: Door) -> None:
    await door.plane.protect("blue")
    message = await door.plane.local.encrypt("blue", b"theirs")
    is_problem(await door.post("decrypt", message=b64(message)), "ciphertext-invalid", 400)


@pytest.mark.parametrize(
    "change", ["missing", "other scheme", "twice", "cut", "flipped", "padded", "other version"]
)
async def test_a_token_that_does_not_hold_is_refused(door: Door, change: str) -> None:
    token = door.token
    authorization = {
        "missing": [],
        "other scheme": [f"Basic {token}"],
        "twice": [f"Bearer {token}", f"Bearer {token}"],
        "cut": [f"Bearer {token[:-1]}"],
        "flipped": [f"Bearer {token[:8]}{'A' if token[8] != 'A' else 'B'}{token[9:]}"],
        "padded": [f"Bearer {token}="],
        "other version": [f"Bearer okcm2{token[5:]}"],
    }[change]
    headers = [("Authorization", value) for value in authorization]
    answer = await door.http.post("/v1/encrypt", content=b"not even JSON", headers=headers)
    is_problem(answer, "token-invalid", 401)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("field", ["", '{"tenant":"acme","service":"default","plaintext":"","x":'])
async def test_a_body_nested_too_deep_is_a_bad_body(door: Door, field: str) -> None:
    headers = {"Authorization": f"Bearer {door.token}", "Content-Type": "application/json"}
    body = field.encode() + b"[" * 1_000_000
    is_problem(await door.http.post("/v1/encrypt", content=body, headers=headers), "bad-request", 400)
    await door.encrypt(b"and on it goes")


async def test_a_token_ends_with_its_time(door: Door) -> None:
    short = await door.ask_token("encrypt", lifetime_s=10)
    assert (await door.post("encrypt", short, plaintext="")).status_code == 200
    door.plane.clock.advance(11)
    is_problem(await door.post("encrypt", short, plaintext=""), "token-invalid", 401)


async def test_a_clock_set_back_makes_no_token_live_longer_than_it_may(door: Door) -> None:
    door.plane.clock.jump(-3600)
    is_problem(await door.post("encrypt", plaintext=""), "token-invalid", 401)


async def test_another_regions_token_is_refused(door: Door) -> None:
    item = TokenItem(tenant="acme", caller="shop", service="default", verbs=("encrypt",))
    is_problem(
        await door.post("encrypt", (await door.plane.eu.token(item)).token, plaintext=""),
        "token-invalid",
        401,
    )


async def test_a_token_is_for_its_tenant_service_and_verbs(door: Door) -> None:
    await door.plane.protect("blue")
    is_problem(await door.post("encrypt", tenant="blue", plaintext=""), "not-permitted", 403)
    is_problem(await door.post("encrypt", service="other", plaintext=""), "not-permitted", 403)
    only = await door.ask_token("encrypt")
    is_problem(await door.post("decrypt", only, message=""), "not-permitted", 403)


async def test_a_caller_that_is_taken_out_is_refused_at_its_next_request(door: Door) -> None:
    world = door.plane.world
    keys = world.last_keys("acme")
    await door.plane.local.apply(world.decide("acme", keys=keys, callers=()))
    is_problem(await door.post("encrypt", plaintext=""), "caller-unknown", 403)
    narrower = DesiredCaller(name="shop", service="default", verbs=("decrypt",))
    await door.plane.local.apply(world.decide("acme", keys=keys, callers=(narrower,)))
    is_problem(await door.post("encrypt", plaintext=""), "caller-unknown", 403)


async def test_read_only_decrypts_and_does_not_encrypt_and_blocked_does_neither(door: Door) -> None:
    world = door.plane.world
    keys = world.last_keys("acme")
    message = await door.encrypt(b"secret")
    await door.plane.local.apply(world.decide("acme", keys=keys, access="read-only"))
    is_problem(await door.post("encrypt", plaintext=""), "key-read-only", 409)
    assert (await door.post("decrypt", message=message)).status_code == 200
    await door.plane.local.apply(world.decide("acme", keys=keys, access="blocked"))
    is_problem(await door.post("encrypt", plaintext=""), "key-blocked", 403)
    is_problem(await door.post("decrypt", message=message), "key-blocked", 403)
    await door.plane.local.apply(world.decide("acme", keys=keys))
    assert (await door.post("decrypt", message=message)).status_code == 200


async def test_a_key_that_is_not_active_does_not_encrypt_and_an_abandoned_one_does_nothing(
    door: Door,
) -> None:
    world = door.plane.world
    message = await door.encrypt(b"secret")
    old = world.last_keys("acme", state="decrypt-only")
    await door.plane.local.apply(world.decide("acme", keys=old))
    is_problem(await door.post("encrypt", plaintext=""), "key-not-active", 409)
    assert (await door.post("decrypt", message=message)).status_code == 200
    await door.plane.local.apply(world.decide("acme", keys=world.last_keys("acme", state="abandoned")))
    is_problem(await door.post("decrypt", message=message), "ciphertext-invalid", 400)


async def test_a_region_that_is_taken_out_of_the_set_serves_the_tenant_no_more(door: Door) -> None:
    world = door.plane.world
    await door.plane.local.apply(world.decide("acme", keys=world.last_keys("acme"), regions=("eu-1",)))
    is_problem(await door.post("encrypt", plaintext=""), "region-not-in-set", 403)


async def test_a_state_that_is_not_confirmed_is_not_served_and_not_ready(door: Door) -> None:
    assert (await door.http.get("/readyz")).json() == {"ready": True, "reasons": []}
    door.plane.clock.advance(31)
    answer = await door.post("encrypt", plaintext="")
    is_problem(answer, "unavailable", 503)
    assert answer.headers["retry-after"] == "1"
    assert (await door.http.get("/readyz")).status_code == 503
    await door.plane.local.refresh()
    assert (await door.post("encrypt", plaintext="")).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"tenant":"acme","service":"default"}',
        b'{"tenant":"acme","service":"default","plaintext":"!"}',
        b'{"tenant":"ACME","service":"default","plaintext":""}',
        b'{"tenant":"acme","service":"default","plaintext":"","more":1}',
        b'{"tenant":"acme","service":"default","plaintext":7}',
    ],
)
async def test_a_body_of_another_form_is_refused_and_not_quoted(door: Door, body: bytes) -> None:
    answer = await door.http.post(
        "/v1/encrypt", content=body, headers={"Authorization": f"Bearer {door.token}"}
    )
    is_problem(answer, "bad-request", 400)
    assert "ACME" not in answer.text


async def test_too_much_is_refused(door: Door) -> None:
    is_problem(await door.post("encrypt", plaintext=b64(b"x" * (MAX_PLAINTEXT_BYTES + 1))), "too-large", 413)
    is_problem(await door.post("encrypt", plaintext="", aad=b64(b"x" * (2**16 + 1))), "too-large", 413)
    is_problem(await door.post("encrypt", plaintext=b64(b"x" * 4 * MAX_PLAINTEXT_BYTES)), "too-large", 413)


async def test_what_is_not_there_and_what_goes_wrong_is_a_problem_too(door: Door) -> None:
    is_problem(await door.http.get("/nowhere"), "not-found", 404)
    is_problem(await door.http.get("/v1/encrypt"), "bad-request", 405)
    DB.pool = None  # the database is gone, and the key is not in memory
    await door.plane.local.open()
    door.plane.local.here.keys._keys.clear()
    headers = {"Authorization": f"Bearer {door.token}"}
    DB.pool = None
    body = {"tenant": "acme", "service": "default", "plaintext": ""}
    is_problem(await door.http.post("/v1/encrypt", json=body, headers=headers), "database-unavailable", 503)
    assert (await door.post("encrypt", plaintext="")).status_code == 200


async def test_health_metrics_and_the_description_are_there(door: Door) -> None:
    await door.encrypt(b"secret")
    assert (await door.http.get("/healthz")).json() == {"status": "ok"}
    metrics = (await door.http.get("/metrics")).text
    assert 'openkcm_data_operations_total{outcome="done",verb="encrypt"}' in metrics
    assert "openkcm_memory_pss_bytes" in metrics
    paths = (await door.http.get("/openapi.json")).json()["paths"]
    assert {"/v1/encrypt", "/v1/decrypt", "/healthz", "/readyz", "/metrics"} <= paths.keys()


async def test_one_data_key_serves_many_messages_and_is_renewed_after_five_minutes(door: Door) -> None:
    envelopes = {b64decode(await door.encrypt(b"secret"))[:128] for _ in range(3)}
    assert len(envelopes) == 1
    door.plane.clock.advance(299)
    await door.plane.local.refresh()
    door.token = await door.ask_token("encrypt", "decrypt")
    assert b64decode(await door.encrypt(b"secret"))[:128] in envelopes
    door.plane.clock.advance(2)
    assert b64decode(await door.encrypt(b"secret"))[:128] not in envelopes


async def test_a_key_that_nobody_asks_for_any_more_leaves_memory(door: Door) -> None:
    await door.encrypt(b"secret")
    keys, views = door.plane.local.here.keys, door.plane.local.here.state.views
    keys.sweep(views)
    assert len(keys._keys) == 1
    door.plane.clock.advance(301)
    keys.sweep(views)
    assert len(keys._keys) == 0
