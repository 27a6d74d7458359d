"""What a data route takes and answers, at both doors: the same status, the same body."""

from __future__ import annotations

from base64 import b64decode

import httpx2
import pytest

from openkcm.crypto.contract import TokenItem
from openkcm.crypto.data.answer import Call
from openkcm.crypto.data.routes import ROUTES, read_head
from tests.crypto.answering import answers_of
from tests.crypto.data_place import Door, b64, door, is_refused
from tests.crypto.doors import left_alone, opened
from tests.crypto.plane import Plane

pytestmark = pytest.mark.integration

__all__ = ["door"]


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


async def test_a_token_that_is_bound_to_a_certificate_is_good_over_its_connections_alone(door: Door) -> None:
    leaf = "ab" * 32
    token = await door.token(leaf=leaf)
    is_refused(await door.post("encrypt", token, plaintext=""), "token-invalid", 401)
    head = read_head([(b"authorization", f"Bearer {token}".encode()), (b"content-length", b"16")])
    for over, good in ((leaf, True), ("cd" * 32, False), ("", False)):
        assert isinstance(door.answers.admit(ROUTES[b"/v1/encrypt"], head, over), Call) == good


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
