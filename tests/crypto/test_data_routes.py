"""Everything that the data door does for an application, at both doors: the same status, the same body."""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec
import pytest

from openkcm.crypto.contract import DesiredCaller, DesiredKey, KeyDestroy, MintItem, TokenItem, Verb
from openkcm.crypto.data.answer import Answers
from openkcm.crypto.mint import mint
from openkcm.crypto.uses import Use
from openkcm.kernel.db import DB
from openkcm_client.envelope import parse_envelope
from openkcm_client.message import DataKey
from openkcm_client.stream import StreamKey
from openkcm_client.wrapping import derive
from tests.crypto.answering import answers_of
from tests.crypto.doors import DOORS, left_alone, opened
from tests.crypto.plane import Plane, one
from tests.crypto.world import keys_of

pytestmark = pytest.mark.integration

ALL: tuple[Verb, ...] = ("encrypt", "decrypt", "rewrap")
CALLERS = [
    DesiredCaller(name="shop", service="default", verbs=ALL),
    DesiredCaller(name="desk", service="other", verbs=ALL),
]


@dataclass
class Door:
    """A door of ``local``; each call says the path below ``/v1/`` and the body's fields."""

    plane: Plane
    answers: Answers
    http: httpx2.AsyncClient
    minted: list[DesiredKey]
    tokens: dict[tuple[str, ...], str] = field(default_factory=dict)

    async def token(
        self, *verbs: Verb, caller: str = "shop", service: str = "default", leaf: str = ""
    ) -> str:
        name = (caller, service, leaf, *verbs)
        if name not in self.tokens:
            self.tokens[name] = self.answers._tokens.make(
                tenant="acme",
                caller=caller,
                service=service,
                verbs=verbs or ALL,
                expires_at_s=int(self.plane.clock.now().timestamp()) + 800,
                leaf=leaf,
            )
        return self.tokens[name]

    async def post(self, path: str, token: str = "", /, **fields: Any) -> httpx2.Response:  # noqa: ANN401 - what JSON takes
        return await self.http.post(
            f"/v1/{path}", json=fields, headers={"Authorization": f"Bearer {token or await self.token()}"}
        )

    async def raw(
        self,
        path: str,
        body: bytes,
        token: str = "",
        *,
        media: str | None = "application/json",
        **headers: str,
    ) -> httpx2.Response:
        said = {"Authorization": f"Bearer {token or await self.token()}"} | headers
        if media is not None:
            said["Content-Type"] = media
        return await self.http.post(f"/v1/{path}", content=body, headers=said)

    async def done(self, path: str, /, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - what JSON takes
        answer = await self.post(path, **fields)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def message(self, plaintext: bytes = b"secret", /, **fields: Any) -> str:  # noqa: ANN401 - what JSON takes
        return str((await self.done("encrypt", plaintext=b64(plaintext), **fields))["message"])

    async def apply(self, keys: list[DesiredKey] | None = None, **changes: Any) -> None:  # noqa: ANN401 - as decide has them
        changes = {"callers": CALLERS} | changes
        await self.plane.local.apply(
            self.plane.world.decide("acme", keys=self.minted if keys is None else keys, **changes)
        )

    async def rotate(self) -> bytes:
        """Another key of the service encrypts from now on; its id."""
        generation = self.plane.local.here.state.view("acme").mark.generation
        made = await self.plane.local.renew("acme", "default", generation=generation, token=f"r{generation}")
        (record,) = [r for r in made.records if r.statement.service == "default"]
        new = DesiredKey(
            key_id=record.statement.key_id, level="L3", service="default", version=2, state="active"
        )
        self.minted = [
            msgspec.structs.replace(key, state="decrypt-only")
            if key.service == "default" and key.state == "active"
            else key
            for key in self.minted
        ] + [new]
        await self.apply()
        return bytes.fromhex(new.key_id)

    def uses(self) -> dict[Use, int]:
        return self.plane.local.here.uses.take()[0]


def b64(raw: bytes) -> str:
    return b64encode(raw).decode()


def is_refused(answer: httpx2.Response, code: str, status: int) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


@pytest.fixture(params=DOORS)
async def door(plane: Plane, request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    local = plane.local
    await local.apply(plane.world.decide("acme", callers=CALLERS))
    item = MintItem(tenant="acme", generation=1, services=("default", "other"), token="t")
    minted = keys_of(one(await local.run(mint, item)))
    answers = answers_of(local.here)
    async with (
        opened(answers, request.param) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        made = Door(plane, answers, http, minted)
        await made.apply()
        DB.pool = local.pool
        yield made


async def test_an_octet_stream_goes_in_and_out_as_it_is(door: Door) -> None:
    for aad in (b"", b"row 7"):
        said = {"OpenKCM-AAD": b64(aad)} if aad else {}
        sealed = await door.raw("encrypt", b"\0\xff secret", media="application/octet-stream", **said)
        assert (sealed.status_code, sealed.headers["content-type"]) == (200, "application/octet-stream")
        assert sealed.headers["cache-control"] == "no-store"
        opened_ = await door.raw("decrypt", sealed.content, media="application/octet-stream", **said)
        assert (opened_.status_code, opened_.content) == (200, b"\0\xff secret")
        as_json = await door.done("decrypt", message=b64(sealed.content), aad=b64(aad))
        assert b64decode(as_json["plaintext"]) == b"\0\xff secret"
        wrong = await door.raw(
            "decrypt", sealed.content, media="application/octet-stream", **{"OpenKCM-AAD": b64(b"row 8")}
        )
        is_refused(wrong, "ciphertext-invalid", 400)


async def test_associated_data_in_a_header_is_base64_up_to_8_kib_and_for_octets_alone(door: Door) -> None:
    for bad in ("row 7", "aGk", "aGk\\u003d", "", "aGk=,aGk="):
        answer = await door.raw("encrypt", b"x", media="application/octet-stream", **{"OpenKCM-AAD": bad})
        if bad:
            is_refused(answer, "bad-request", 400)
        else:
            assert answer.status_code == 200
    fits = await door.raw(
        "encrypt", b"x", media="application/octet-stream", **{"OpenKCM-AAD": b64(bytes(8192))}
    )
    assert fits.status_code == 200
    over = await door.raw(
        "encrypt", b"x", media="application/octet-stream", **{"OpenKCM-AAD": b64(bytes(8193))}
    )
    is_refused(over, "too-large", 413)
    is_refused(
        await door.raw("encrypt", b'{"plaintext":""}', **{"OpenKCM-AAD": b64(b"x")}), "bad-request", 400
    )


async def test_another_media_type_is_refused_and_none_is_json(door: Door) -> None:
    for media in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application"):
        is_refused(await door.raw("encrypt", b'{"plaintext":""}', media=media), "bad-request", 415)
    for path in ("rewrap", "data-keys", "leases", "encrypt/batch"):
        is_refused(await door.raw(path, b"{}", media="application/octet-stream"), "bad-request", 415)
    for json in (None, "application/json", "Application/JSON; charset=utf-8"):
        assert (await door.raw("encrypt", b'{"plaintext":""}', media=json)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"plaintext":"","plaintext":""}',
        b'{"plaintext":"","aad":"","aad":""}',
        b'{"plaintext":"","\\u0061ad":"","aad":""}',
        b'{"plaintext":"","tenant":"acme","tenant":"acme"}',
        b'{"plaintext":"","service":"a:b"}',
        b'{"plaintext":null}',
        b'{"plaintext":"aGk"}',
        b'{"plaintext":"aG k="}',
        b'{"plaintext":"aG-_"}',
        b'{"plaintext":"\xff"}',
        b'{"plaintext":"", "more":' + b"[" * 100_000 + b"}",
        b"[" * 100_000,
        b'{"plaintext":""}{}',
        b'\xef\xbb\xbf{"plaintext":""}',
    ],
)
async def test_a_body_of_another_form_is_one_refusal(door: Door, body: bytes) -> None:
    answer = await door.raw("encrypt", body)
    is_refused(answer, "bad-request", 400)
    assert answer.json()["detail"] == "The request's body is not what this address takes."
    batch = b'{"items":[' + body + b"]}"
    is_refused(await door.raw("encrypt/batch", batch), "bad-request", 400)


async def test_a_request_may_say_whose_it_is_and_is_refused_where_that_is_not_so(door: Door) -> None:
    await door.message(tenant="acme", service="default")
    await door.message(tenant="", service="")
    for said in ({"tenant": "blue"}, {"service": "other"}):
        is_refused(await door.post("encrypt", plaintext="", **said), "not-permitted", 403)
        is_refused(await door.post("data-keys", **said), "not-permitted", 403)
    is_refused(await door.post("encrypt", plaintext="", tenant="ACME"), "bad-request", 400)


async def test_a_data_key_is_what_its_envelope_carries_and_opens_what_it_encrypted(door: Door) -> None:
    active = door.plane.local.here.state.view("acme").active["default"].hex()
    for suite, number in ((None, 1), ("message", 1), ("stream", 2)):
        made = await door.done("data-keys", **({} if suite is None else {"suite": suite}))
        assert (made["key_id"], made["lease_s"]) == (active, 30.0)
        key, envelope = b64decode(made["key"]), parse_envelope(b64decode(made["envelope"]))
        assert (len(key), envelope.suite, envelope.l3_key_id.hex()) == (32, number, active)
        derived, commitment = derive(key, number, "acme", "default")
        assert commitment == envelope.commitment
        again = await door.done("data-keys/open", envelope=made["envelope"])
        assert again == made | {"lease_s": 300.0}
        if number == 1:
            whole = DataKey(derived, envelope, tenant="acme", service="default", max_messages=1)
            assert (
                b64decode((await door.done("decrypt", message=b64(whole.encrypt(b"mine"))))["plaintext"])
                == b"mine"
            )
        else:
            stream = StreamKey(derived, envelope, tenant="acme", service="default", max_streams=1)
            assert b"".join(stream.decrypt([b"".join(stream.encrypt([b"mine"]))])) == b"mine"


async def test_an_envelope_that_does_not_open_is_one_refusal_for_every_cause(door: Door) -> None:
    good = b64decode((await door.done("data-keys"))["envelope"])
    theirs = await door.post("data-keys", await door.token(caller="desk", service="other"))
    bad = [good[:-1], good + b"\0", b"", bytes(128), b64decode(theirs.json()["envelope"])]
    bad += [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in (0, 5, 7, 9, 30, 100, 127)]
    for path in ("data-keys/open", "rewrap"):
        answers = [await door.post(path, envelope=b64(each)) for each in bad]
        [(status, text)] = {(answer.status_code, answer.text) for answer in answers}
        assert (status, msgspec.json.decode(text)["code"]) == (400, "ciphertext-invalid")


async def test_rewrap_moves_an_envelope_to_the_key_that_encrypts_now(door: Door) -> None:
    message = b64decode(await door.message())
    same = await door.done("rewrap", envelope=b64(message[:128]))
    assert b64decode(same["envelope"]) == message[:128]
    new = await door.rotate()
    moved = await door.done("rewrap", envelope=b64(message[:128]))
    assert moved["key_id"] == new.hex()
    envelope = b64decode(moved["envelope"])
    assert parse_envelope(envelope).l3_key_id == new
    found = await door.done("decrypt", message=b64(envelope + message[128:]))
    assert b64decode(found["plaintext"]) == b"secret"
    assert b64decode((await door.done("decrypt", message=b64(message)))["plaintext"]) == b"secret"


@pytest.mark.parametrize(
    ("verbs", "may"),
    [
        (("encrypt",), {"encrypt", "data-keys", "leases-encrypt"}),
        (("decrypt",), {"decrypt", "data-keys/open", "leases-decrypt"}),
        (("rewrap",), {"rewrap"}),
        (
            ("encrypt", "decrypt"),
            {
                "encrypt",
                "decrypt",
                "rewrap",
                "data-keys",
                "data-keys/open",
                "leases-encrypt",
                "leases-decrypt",
            },
        ),
    ],
)
async def test_a_token_is_for_its_verbs_and_so_is_the_callers_row(
    door: Door, verbs: tuple[Verb, ...], may: set[str]
) -> None:
    message = await door.message()
    envelope = b64(b64decode(message)[:128])
    key_id = parse_envelope(b64decode(envelope)).l3_key_id.hex()
    asked: dict[str, tuple[str, dict[str, object]]] = {
        "encrypt": ("encrypt", {"plaintext": ""}),
        "decrypt": ("decrypt", {"message": message}),
        "rewrap": ("rewrap", {"envelope": envelope}),
        "data-keys": ("data-keys", {}),
        "data-keys/open": ("data-keys/open", {"envelope": envelope}),
        "leases-encrypt": ("leases", {"key_id": key_id, "use": "encrypt"}),
        "leases-decrypt": ("leases", {"key_id": key_id, "use": "decrypt"}),
    }
    narrow = await door.token(*verbs)
    for name, (path, fields) in asked.items():
        answer = await door.post(path, narrow, **fields)
        assert (answer.status_code == 200) == (name in may), (name, answer.text)
        if name not in may:
            is_refused(answer, "not-permitted", 403)
    await door.apply(callers=[DesiredCaller(name="shop", service="default", verbs=verbs)])
    for name, (path, fields) in asked.items():
        answer = await door.post(path, await door.token(), **fields)
        assert (answer.status_code == 200) == (name in may), (name, answer.text)
        if name not in may:
            is_refused(answer, "caller-unknown", 403)


async def test_a_lease_ends_with_the_right_to_use_the_key(door: Door) -> None:
    key_id = door.plane.local.here.state.view("acme").active["default"].hex()

    async def leases() -> tuple[str, str]:
        said = []
        for use in ("encrypt", "decrypt"):
            answer = await door.post("leases", key_id=key_id, use=use)
            said.append(str(answer.json().get("lease_s") or answer.json()["code"]))
        return said[0], said[1]

    assert await leases() == ("30.0", "300.0")
    await door.apply(access="read-only")
    assert await leases() == ("key-read-only", "300.0")
    is_refused(await door.post("data-keys"), "key-read-only", 409)
    is_refused(await door.post("rewrap", envelope=""), "key-read-only", 409)
    await door.apply(access="revoked")
    assert await leases() == ("key-revoked", "key-revoked")
    await door.apply()
    await door.rotate()
    assert await leases() == ("key-not-active", "300.0")
    for unknown in ("0" * 32, door.plane.local.here.state.view("acme").active["other"].hex()):
        is_refused(await door.post("leases", key_id=unknown, use="decrypt"), "key-unknown", 404)
    for bad in ({"key_id": "x", "use": "decrypt"}, {"key_id": key_id, "use": "sign"}, {"key_id": key_id}):
        is_refused(await door.post("leases", **bad), "bad-request", 400)


async def test_a_lease_is_no_longer_than_the_tenant_chose_nor_than_the_last_agreement_lasts(
    door: Door,
) -> None:
    policy = door.plane.local.here.state.view("acme").desired.policy
    chosen = msgspec.structs.replace(policy, encrypting_s=60.0, decrypting_s=600.0, governance_s=300.0)
    await door.apply(policy=chosen)
    made = await door.done("data-keys")
    assert made["lease_s"] == 60.0
    assert (await door.done("data-keys/open", envelope=made["envelope"]))["lease_s"] == 300.0
    door.plane.clock.advance(280)
    await door.plane.local.refresh()
    again = await door.done("data-keys/open", envelope=made["envelope"])
    assert 0 < again["lease_s"] <= 20.0
    assert (await door.done("data-keys"))["lease_s"] <= 20.0


async def test_opening_or_leasing_a_key_that_is_to_be_destroyed_is_a_use_of_it(door: Door) -> None:
    made = await door.done("data-keys")
    old = door.plane.local.here.state.view("acme").active["default"]
    await door.rotate()
    pending = [
        msgspec.structs.replace(key, destroy=KeyDestroy(wait_s=604800, since=(1, 1)))
        if key.key_id == old.hex()
        else key
        for key in door.minted
    ]
    for path, fields in (
        ("data-keys/open", {"envelope": made["envelope"]}),
        ("rewrap", {"envelope": made["envelope"]}),
        ("leases", {"key_id": old.hex(), "use": "decrypt"}),
    ):
        door.plane.local.here.used.clear()
        await door.apply(pending)
        assert old in door.plane.local.here.state.view("acme").pending
        await door.done(path, **fields)
        assert {key_id for key_id, _ in door.plane.local.here.used} == {old}
        await door.apply()


async def test_every_item_of_a_batch_has_its_own_result_in_its_place(door: Door) -> None:
    good = await door.message(b"one")
    answer = await door.done(
        "decrypt/batch",
        items=[{"message": good}, {"message": ""}, {"message": good, "aad": b64(b"x")}, {"message": good}],
    )
    results = answer["items"]
    assert [b64decode(r["done"]["plaintext"]) if "done" in r else r["refusal"]["code"] for r in results] == [
        b"one",
        "ciphertext-invalid",
        "ciphertext-invalid",
        b"one",
    ]
    single = await door.post("decrypt", message="")
    assert results[1]["refusal"] == single.json()
    over = b64(bytes(2**16 + 1))
    mixed = await door.done("encrypt/batch", items=[{"plaintext": "", "aad": over}, {"plaintext": ""}])
    assert [r["refusal"]["code"] if "refusal" in r else "done" for r in mixed["items"]] == [
        "too-large",
        "done",
    ]
    key_id = parse_envelope(b64decode(good)[:128]).l3_key_id.hex()
    only = await door.token("encrypt")
    leases = (
        await door.post(
            "leases/batch", only, items=[{"key_id": key_id, "use": use} for use in ("encrypt", "decrypt")]
        )
    ).json()["items"]
    assert [r["refusal"]["code"] if "refusal" in r else "done" for r in leases] == ["done", "not-permitted"]


async def test_a_batch_has_1_to_1000_items_and_is_refused_whole_for_what_concerns_all(door: Door) -> None:
    assert len((await door.done("data-keys/batch", items=[{}] * 1000))["items"]) == 1000
    bad: list[dict[str, Any]] = [{"items": []}, {"items": [{}] * 1001}, {}, {"items": [{}], "tenant": "acme"}]
    for wrong in bad:
        is_refused(await door.post("data-keys/batch", **wrong), "bad-request", 400)
    is_refused(await door.post("data-keys/batch", "junk", items=[{}]), "token-invalid", 401)
    is_refused(
        await door.post("data-keys/batch", await door.token("decrypt"), items=[{}]), "not-permitted", 403
    )
    is_refused(await door.raw("encrypt/batch", b" " * (4 * 2**20 + 1)), "too-large", 413)


async def test_a_batch_over_keys_that_are_not_in_memory_waits_for_them_together(door: Door) -> None:
    old = await door.message(b"old")
    await door.rotate()
    new = await door.message(b"new")
    door.plane.local.here.keys.forget({"acme"})
    answer = await door.done("decrypt/batch", items=[{"message": old}, {"message": new}, {"message": old}])
    assert [b64decode(r["done"]["plaintext"]) for r in answer["items"]] == [b"old", b"new", b"old"]


async def test_every_item_of_an_authenticated_caller_is_noted_exactly_once(door: Door) -> None:
    good = await door.message()
    key_id = parse_envelope(b64decode(good)[:128]).l3_key_id
    door.uses()

    def use(verb: str, outcome: str, key: bytes = key_id) -> Use:
        return Use("acme", "shop", "default", key, verb, outcome)

    await door.done("decrypt", message=good)
    await door.post("decrypt", message=good, aad=b64(b"x"))
    await door.post("decrypt", message="")
    await door.raw("decrypt", b"{}")
    await door.raw("decrypt", b"x", media="text/plain")
    await door.post("decrypt", await door.token("encrypt"), message=good)
    assert door.uses() == {
        use("decrypt", "done"): 1,
        use("decrypt", "ciphertext-invalid"): 1,
        use("decrypt", "ciphertext-invalid", b""): 1,
        use("decrypt", "bad-request", b""): 2,
        use("decrypt", "not-permitted", b""): 1,
    }
    await door.done("decrypt/batch", items=[{"message": good}] * 3 + [{"message": ""}] * 2)
    await door.done("data-keys/batch", items=[{}] * 5)
    door.plane.local.here.keys.forget({"acme"})
    await door.done("data-keys")
    door.plane.local.here.keys.forget({"acme"})
    await door.done("encrypt/batch", items=[{"plaintext": ""}] * 7)
    await door.post("encrypt", "junk", plaintext="")
    assert door.uses() == {
        use("decrypt", "done"): 3,
        use("decrypt", "ciphertext-invalid", b""): 2,
        use("data-keys", "done"): 6,
        use("encrypt", "done"): 7,
    }
    assert door.answers._operations.outcomes["encrypt", "token-invalid"] == 1


async def test_a_token_that_is_bound_to_a_certificate_is_no_good_without_it(door: Door) -> None:
    is_refused(
        await door.post("encrypt", await door.token(leaf="ab" * 32), plaintext=""), "token-invalid", 401
    )


async def test_a_tenant_over_its_limit_is_told_when_to_come_again(door: Door) -> None:
    door.answers._limits.__init__(items_per_s=100, bytes_per_s=0)  # type: ignore[misc] # as if set so
    await door.done("data-keys/batch", items=[{}] * 300)
    asked: list[tuple[str, dict[str, Any]]] = [("data-keys", {}), ("data-keys/batch", {"items": [{}]})]
    for path, fields in asked:
        answer = await door.post(path, **fields)
        is_refused(answer, "too-many", 429)
        assert answer.headers["retry-after"] == "2"
    door.uses()
    await door.post("encrypt/batch", items=[{"plaintext": ""}] * 4)
    assert list(door.uses().values()) == [4]
    door.plane.clock.advance(2.1)
    await door.done("data-keys")


async def test_bytes_are_limited_too_and_a_large_body_is_refused_before_it_is_read(door: Door) -> None:
    door.answers._limits.__init__(items_per_s=0, bytes_per_s=100_000)  # type: ignore[misc] # as if set so
    body = b'{"plaintext":"' + b"A" * 400_000 + b'"}'
    assert (await door.raw("encrypt", body)).status_code == 200
    is_refused(await door.raw("encrypt", body), "too-many", 429)
    is_refused(await door.raw("encrypt", b'{"plaintext":""}'), "too-many", 429)


async def test_the_hot_door_answers_by_itself_and_leaves_the_rest(plane: Plane) -> None:
    await plane.protect("acme")
    answers = answers_of(plane.local.here)
    item = TokenItem(tenant="acme", caller="shop", service="default", verbs=("encrypt", "decrypt"))
    token = (await plane.local.token(item)).token
    async with (
        opened(answers, "hot", app=left_alone) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        good = {"Authorization": f"Bearer {token}"}
        assert (await http.post("/v1/encrypt", json={"plaintext": ""}, headers=good)).status_code == 200
        plane.local.here.keys.forget({"acme"})  # something has to be waited for
        assert (await http.post("/v1/encrypt", json={"plaintext": ""}, headers=good)).status_code == 200
        junk = {"Authorization": "Bearer x"}
        assert (await http.post("/v1/encrypt", json={"plaintext": ""}, headers=junk)).status_code == 401
        for path in (
            "/v1/encrypt?",
            "/v1/encrypt?x=1",
            "/v1/encrypt/",
            "/V1/encrypt",
            "/v1//encrypt",
            "/v1/token",
        ):
            assert (await http.post(path, json={"plaintext": ""}, headers=good)).status_code == 418, path
        assert (await http.put("/v1/encrypt", json={"plaintext": ""}, headers=good)).status_code == 418
        for more in ({"Expect": "100-continue"}, {"Transfer-Encoding": "chunked"}):
            answer = await http.post("/v1/encrypt", content=b'{"plaintext":""}', headers=good | more)
            assert answer.status_code == 418


async def test_junk_tokens_at_full_rate_are_counted_and_no_more(
    door: Door, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    until = time.perf_counter() + 1
    sent = 0

    async def junk() -> None:
        nonlocal sent
        while time.perf_counter() < until:
            sent += 1
            assert (await door.post("encrypt", f"okcm1.{sent}.x", plaintext="")).status_code == 401

    flood = [asyncio.create_task(junk()) for _ in range(4)]
    served = 0
    while time.perf_counter() < until:
        await door.message()
        served += 1
    await asyncio.gather(*flood)
    assert served > 5
    assert door.answers._operations.outcomes["encrypt", "token-invalid"] == sent
    assert set(door.uses().values()) == {served}
    assert "token" not in caplog.text + capsys.readouterr().out


async def test_a_tenant_over_its_limit_slows_no_other(door: Door) -> None:
    world, local = door.plane.world, door.plane.local
    await local.apply(world.decide("blue", callers=CALLERS))
    blue = keys_of(
        one(await local.run(mint, MintItem(tenant="blue", generation=1, services=("default",), token="b")))
    )
    await local.apply(world.decide("blue", keys=blue, callers=CALLERS))
    token = door.answers._tokens.make(
        tenant="blue",
        caller="shop",
        service="default",
        verbs=ALL,
        expires_at_s=int(door.plane.clock.time_s()) + 800,
    )
    door.answers._limits.__init__(items_per_s=1000, bytes_per_s=0)  # type: ignore[misc] # as if set so
    for _ in range(3):
        await door.post("data-keys/batch", items=[{}] * 1000)
    is_refused(await door.post("encrypt", plaintext=""), "too-many", 429)
    for _ in range(20):
        assert (await door.post("encrypt", token, plaintext="")).status_code == 200
        assert (await door.post("encrypt", plaintext="")).status_code == 429
