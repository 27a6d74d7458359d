"""Batches, limits and what is noted of each item, at both doors."""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode
from typing import Any

import pytest

from openkcm.crypto.contract import MintItem
from openkcm.crypto.mint import mint
from openkcm.crypto.uses import Use
from openkcm_client.envelope import parse_envelope
from tests.crypto.data_place import ALL, CALLERS, Door, b64, door, is_refused
from tests.crypto.plane import one
from tests.crypto.world import keys_of

pytestmark = pytest.mark.integration

__all__ = ["door"]


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
    assert {
        (sample.labels["verb"], sample.labels["outcome"]): sample.value
        for metric in door.answers._operations.collect()
        for sample in metric.samples
        if sample.name == "openkcm_data_operations_total"
    } == {
        ("encrypt", "done"): 8,
        ("encrypt", "token-invalid"): 1,
        ("decrypt", "done"): 4,
        ("decrypt", "ciphertext-invalid"): 4,
        ("decrypt", "bad-request"): 2,
        ("decrypt", "not-permitted"): 1,
        ("data-keys", "done"): 6,
    }


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
