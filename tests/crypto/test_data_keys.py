"""Leased data keys, leases and envelopes, at both doors."""

from __future__ import annotations

from base64 import b64decode

import msgspec
import pytest

from openkcm.crypto.contract import DesiredCaller, KeyDestroy, Verb
from openkcm_client.envelope import parse_envelope
from openkcm_client.message import DataKey
from openkcm_client.stream import StreamKey
from openkcm_client.wrapping import derive
from tests.crypto.data_place import Door, b64, door, is_refused

pytestmark = pytest.mark.integration

__all__ = ["door"]


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


async def test_a_key_to_encrypt_with_is_leased_for_no_longer_than_one_to_decrypt_with(door: Door) -> None:
    policy = door.plane.local.here.state.view("acme").desired.policy
    await door.apply(policy=msgspec.structs.replace(policy, encrypting_s=900.0, decrypting_s=60.0))
    made = await door.done("data-keys")
    assert made["lease_s"] == 60.0
    assert (await door.done("leases", key_id=made["key_id"], use="encrypt"))["lease_s"] == 60.0


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
