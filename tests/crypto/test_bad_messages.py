"""Every bad message, at every door of the Crypto Service that opens messages: one status, one code, the same bytes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx2
import msgspec
import pytest

from openkcm.crypto import labels
from openkcm.crypto.contract import DesiredCaller, MintItem, TokenItem
from openkcm.crypto.data.door import data_door
from openkcm.crypto.data.encrypt import encrypt
from openkcm.crypto.mint import mint
from openkcm.crypto.use import bad_ciphertext
from openkcm.kernel.db import DB
from openkcm.sdk.refusals import Refusal, Refused
from openkcm_client.envelope import ENVELOPE_BYTES, Envelope, parse
from openkcm_client.message import generate_data_key
from openkcm_client.rewrap import rewrap
from openkcm_client.stream import generate_stream_key
from openkcm_client.xaes import XAES256GCM
from tests.crypto.answering import answers_of
from tests.crypto.plane import Plane, one
from tests.crypto.world import keys_of

pytestmark = pytest.mark.integration

AAD = b"row 7"
CALLERS = [
    DesiredCaller(name=name, service=service, verbs=("encrypt", "decrypt"))
    for name, service in (("shop", "default"), ("desk", "other"))
]


@dataclass
class Door:
    """The data door of ``local`` for two tenants with two services each, and a token for each."""

    plane: Plane
    http: httpx2.AsyncClient
    tokens: dict[tuple[str, str], str]

    async def encrypt(self, tenant: str = "acme", service: str = "default", aad: bytes = AAD) -> bytes:
        here = self.plane.local.here
        return await encrypt(here, here.state.view(tenant), service, b"secret", aad)

    async def decrypt(
        self,
        message: bytes,
        aad: bytes = AAD,
        *,
        tenant: str = "acme",
        service: str = "default",
        token: str = "",
    ) -> tuple[int, bytes, bytes]:
        """Status, headers and body, as they stand on the wire."""
        body = {"tenant": tenant, "service": service, "message": b64(message), "aad": b64(aad)}
        headers = {"Authorization": f"Bearer {token or self.tokens[tenant, service]}"}
        answer = await self.http.post("/v1/decrypt", json=body, headers=headers)
        return answer.status_code, repr(answer.headers.raw).encode(), answer.content

    async def service_key(self, service: str = "default") -> tuple[bytes, XAES256GCM]:
        """An L3 out of the region's memory: what somebody would have who got it all."""
        here = self.plane.local.here
        view = here.state.view("acme")
        key = await here.keys.get(view, view.active[service])
        return key.key_id, key.aead


@pytest.fixture
async def door(plane: Plane) -> AsyncIterator[Door]:
    tokens = {}
    local = plane.local
    for tenant in ("acme", "blue"):
        await plane.begin(tenant, callers=CALLERS)
        item = MintItem(tenant=tenant, generation=1, services=("default", "other"), token=tenant)
        minted = one(await local.run(mint, item))
        await local.apply(plane.world.decide(tenant, keys=keys_of(minted), callers=CALLERS))
        for caller in CALLERS:
            asked = TokenItem(
                tenant=tenant, caller=caller.name, service=caller.service, verbs=("encrypt", "decrypt")
            )
            tokens[tenant, caller.service] = (await local.token(asked)).token
    DB.pool = local.pool
    application = data_door(answers_of(local.here))
    transport = httpx2.ASGITransport(application, raise_app_exceptions=False)  # type: ignore[arg-type] # looser dicts
    async with httpx2.AsyncClient(transport=transport, base_url="http://region") as http:
        yield Door(plane, http, tokens)


def b64(raw: bytes) -> str:
    return b64encode(raw).decode()


def changed(good: bytes) -> Iterator[bytes]:
    """Every bit flipped, every length cut, every byte taken out, and more at the end."""
    for at in range(len(good)):
        for bit in range(8):
            yield good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :]
        yield good[:at]
        if at % 7 == 0:
            yield good[:at] + good[at + 1 :]
    yield from (good + b"\0", good + bytes(16), good * 2, bytes(len(good)), b"a row that was never encrypted")


async def made_on_purpose(door: Door) -> dict[str, bytes]:
    """Messages by somebody who holds the very service key, or pieces of good messages."""
    key_id, l3 = await door.service_key()
    other_id, other_l3 = await door.service_key("other")
    good = await door.encrypt()
    mine, theirs = (generate_data_key(l3, key_id, "acme", "default") for _ in range(2))
    mixed = Envelope(l3_key_id=key_id, wrapped=mine.envelope.wrapped, commitment=theirs.envelope.commitment)
    stream = b"".join(generate_stream_key(l3, key_id, "acme", "default").encrypt([b"secret"], AAD))
    return {
        "wrong commitment": mixed.to_bytes() + mine.encrypt(b"secret", AAD)[ENVELOPE_BYTES:],
        "envelope of another data key": mine.envelope.to_bytes() + good[ENVELOPE_BYTES:],
        "key of another service": generate_data_key(other_l3, other_id, "acme", "default").encrypt(b"x", AAD),
        "made for another tenant": generate_data_key(l3, key_id, "blue", "default").encrypt(b"x", AAD),
        "re-wrapped for a key that is not here": rewrap(l3, b"k" * 32, b"i" * 16, good, "acme", "default"),
        "re-wrapped by another key of the same name": rewrap(l3, b"k" * 32, key_id, good, "acme", "default"),
        "re-wrapped for another service": rewrap(l3, other_l3, other_id, good, "acme", "default"),
        "a whole stream": stream,
        "a stream called a message": stream[:7] + b"\1" + stream[8:],
        "old format": good[:5] + b"\0" + good[6:],
        "format to come": good[:5] + b"\2" + good[6:],
    }


async def test_whatever_is_wrong_with_a_message_the_answer_is_the_same_to_the_last_byte(door: Door) -> None:
    good = await door.encrypt()
    answers = {await door.decrypt(bad) for bad in changed(good)}
    for bad in (await made_on_purpose(door)).values():
        answers.add(await door.decrypt(bad))
    answers.add(await door.decrypt(good, b""))
    answers.add(await door.decrypt(good, AAD + b"\0"))
    [(status, headers, body)] = answers
    assert (status, msgspec.json.decode(body)["code"]) == (400, "ciphertext-invalid")
    assert b"application/problem+json" in headers
    status, _, body = await door.decrypt(good)
    assert (status, msgspec.json.decode(body)) == (200, {"plaintext": b64(b"secret")})


async def test_another_tenants_or_services_message_is_answered_as_noise_is(door: Door) -> None:
    good = await door.encrypt()
    noise = await door.decrypt(bytes(len(good)))
    for tenant, service in (("blue", "default"), ("blue", "other"), ("acme", "other")):
        assert await door.decrypt(good, tenant=tenant, service=service) == noise
        theirs = await door.encrypt(tenant, service)
        assert await door.decrypt(theirs) == noise
        assert (await door.decrypt(theirs, tenant=tenant, service=service))[0] == 200
    assert noise[0] == 400
    assert (await door.decrypt(good))[0] == 200


async def test_who_may_not_ask_learns_nothing_of_the_message(door: Door) -> None:
    """A token for something else, and one of another region, are refused before the message counts."""
    good = await door.encrypt()
    eu = door.plane.eu
    asked = TokenItem(tenant="acme", caller="shop", service="default", verbs=("decrypt",))
    elsewhere = (await eu.token(asked)).token
    DB.pool = door.plane.local.pool
    for token, code in (
        (door.tokens["acme", "other"], "not-permitted"),
        (door.tokens["blue", "default"], "not-permitted"),
        (elsewhere, "token-invalid"),
    ):
        [(_, _, body)] = {await door.decrypt(m, token=token) for m in (good, good[:-1], bytes(200), b"")}
        assert msgspec.json.decode(body)["code"] == code
    assert (await door.decrypt(good))[0] == 200


async def test_controls_door_opens_no_bad_proof_and_says_no_more(door: Door) -> None:
    local = door.plane.local
    good = (await local.prove("acme")).message
    expected = bad_ciphertext()
    said = set()
    for bad in [*changed(good), await door.encrypt(), *(await made_on_purpose(door)).values()]:
        with pytest.raises(Refused) as refused:
            await local.prove("acme", bad)
        said.add((refused.value.refusal, refused.value.message, refused.value.remedy))
    assert said == {(Refusal.CIPHERTEXT_INVALID, expected.message, expected.remedy)}
    assert (await local.prove("acme", good)).message == good
    assert await local.decrypt("acme", good, labels.PROOF_AAD)
    assert parse(good).l3_key_id == local.here.state.view("acme").active["default"]
