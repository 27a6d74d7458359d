"""What a region may answer instead of the truth, and that nothing of it is used."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from openkcm_client import AsyncClient, BadAnswer, Refused, Unavailable
from openkcm_client.leases import NO_WRITER
from tests.client.conftest import Make
from tests.client.strict_region import StrictRegion, changed, problem, says

Change = Callable[[dict[str, Any]], object]


def flipped(field: str, at: int) -> Change:
    def change(body: dict[str, Any]) -> None:
        raw = bytearray(b64decode(body[field]))
        raw[at] ^= 1
        body[field] = b64encode(raw).decode()

    return change


def put(field: str, value: object) -> Change:
    def change(body: dict[str, Any]) -> None:
        body[field] = value

    return change


def without(field: str) -> Change:
    def change(body: dict[str, Any]) -> None:
        del body[field]

    return change


WRONG_KEYS = {
    "a short key": put("key", b64encode(bytes(31)).decode()),
    "a long key": put("key", b64encode(bytes(33)).decode()),
    "another key": flipped("key", 0),
    "no key": without("key"),
    "another commitment": flipped("envelope", 127),
    "another service key than it says": flipped("envelope", 8),
    "another suite": put("envelope", ""),
    "a stream's envelope": flipped("envelope", 7),
    "no magic": flipped("envelope", 0),
    "an endless lease": put("lease_s", 1e9),
    "a lease of nothing": put("lease_s", 0),
    "a lease before now": put("lease_s", -1),
    "a lease that is no number": put("lease_s", "30"),
    "another id": put("key_id", "00" * 16),
}
NO_ANSWERS = {
    "nothing": httpx2.Response(200),
    "a page": httpx2.Response(200, content=b"<html>It works!</html>"),
    "deep JSON": httpx2.Response(200, content=b"[" * 100_000),
    "not UTF-8": httpx2.Response(200, content=b'{"key":"\xff"}'),
    "another place": httpx2.Response(307, headers={"location": "https://elsewhere.example/v1/data-keys"}),
    "a secret in a page": httpx2.Response(404, content=b"the secret is hunter2"),
    "an odd status": httpx2.Response(299, content=b"{}"),
}


@pytest.mark.parametrize("how", WRONG_KEYS)
async def test_a_new_key_that_is_not_right_is_not_used(
    kcm: AsyncClient, region: StrictRegion, how: str
) -> None:
    region.faults.append(changed(WRONG_KEYS[how]))
    with pytest.raises(BadAnswer) as refused:
        await kcm.encrypt(b"x")
    assert refused.value.remedy
    assert kcm._keys.writer is NO_WRITER
    assert await kcm.decrypt(await kcm.encrypt(b"x")) == b"x"


@pytest.mark.parametrize("how", WRONG_KEYS)
async def test_an_opened_key_that_is_not_right_is_not_used(
    kcm: AsyncClient, make: Make, region: StrictRegion, how: str
) -> None:
    message = await make().encrypt(b"x")
    region.faults.append(changed(WRONG_KEYS[how]))
    with pytest.raises(BadAnswer):
        await kcm.decrypt(message)
    assert kcm._keys.opened == {}
    assert await kcm.decrypt(message) == b"x"


async def test_the_key_of_another_envelope_is_not_used(
    kcm: AsyncClient, make: Make, region: StrictRegion
) -> None:
    messages = [await make().encrypt(b"x") for _ in range(2)]

    def swap(body: dict[str, Any]) -> None:
        body["items"].reverse()

    region.faults.append(changed(swap))
    results = await kcm.decrypt_many(messages, errors="return")
    assert [type(result) for result in results] == [BadAnswer] * 2


@pytest.mark.parametrize("change", [lambda body: body["items"].pop(), lambda body: body["items"].append({})])
async def test_a_batch_of_another_length_is_not_used(
    kcm: AsyncClient, make: Make, region: StrictRegion, change: Change
) -> None:
    messages = [await make().encrypt(b"x") for _ in range(2)]
    region.faults.append(changed(change))
    with pytest.raises(BadAnswer):
        await kcm.decrypt_many(messages)


@pytest.mark.parametrize("how", NO_ANSWERS)
async def test_what_is_no_answer_is_none_and_is_never_shown(
    kcm: AsyncClient, region: StrictRegion, how: str
) -> None:
    region.faults.append(says(NO_ANSWERS[how]))
    with pytest.raises(Refused) as refused:
        await kcm.encrypt(b"x")
    assert "hunter2" not in repr(refused.value) + str(refused.value)
    assert region.asked == ["/v1/data-keys"]


async def test_an_answer_without_end_is_given_up(
    kcm: AsyncClient, region: StrictRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openkcm_client.http.MAX_ANSWER_BYTES", 1000)
    region.faults.append(says(httpx2.Response(200, content=bytes(1001))))
    with pytest.raises(BadAnswer, match="no end"):
        await kcm.encrypt(b"x")


@pytest.mark.parametrize("lease_s", [0, -5, 1e9, "30"])
async def test_a_renewal_that_is_not_right_renews_nothing(
    kcm: AsyncClient, region: StrictRegion, lease_s: object
) -> None:
    await kcm.encrypt(b"x")
    writer = kcm._keys.writer
    assert writer is not NO_WRITER
    deadline = writer.deadline
    region.faults.append(changed(put("lease_s", lease_s)))
    with pytest.raises(Unavailable):
        await kcm._engine.renew(writer)
    assert (writer.deadline, writer.ended_by) == (deadline, None)


@pytest.mark.parametrize(
    "change", [flipped("envelope", 127), flipped("envelope", 7), put("key_id", "0" * 32)]
)
async def test_an_envelope_for_another_data_key_replaces_none(
    kcm: AsyncClient, region: StrictRegion, change: Change
) -> None:
    message = await kcm.encrypt(b"x")
    region.faults.append(changed(change))
    with pytest.raises(BadAnswer):
        await kcm.rewrap(message)


@pytest.mark.parametrize("change", [put("message", ""), put("message", b64encode(bytes(200)).decode())])
async def test_a_message_that_is_none_is_not_given_out(
    make: Make, region: StrictRegion, change: Change
) -> None:
    region.faults.append(changed(change))
    with pytest.raises(BadAnswer):
        await make(local=False).encrypt(b"x")


async def test_a_plaintext_of_another_length_is_not_given_out(make: Make, region: StrictRegion) -> None:
    remote = make(local=False)
    message = await remote.encrypt(b"x")
    region.faults.append(changed(put("plaintext", "")))
    with pytest.raises(BadAnswer):
        await remote.decrypt(message)


async def test_words_of_a_refusal_stay_on_one_line_and_are_not_endless(
    kcm: AsyncClient, region: StrictRegion
) -> None:
    answer = httpx2.Response(
        403,
        json={
            "code": "not-permitted",
            "detail": "no\n\x1b[31m" + "x" * 10_000,
            "action": "a\r\nb",
            "who": "w",
        },
    )
    region.faults.append(says(answer))
    with pytest.raises(Refused) as refused:
        await kcm.encrypt(b"x")
    assert len(str(refused.value)) < 1000
    assert str(refused.value).isprintable()


async def test_no_token_stands_in_an_error(make: Make, region: StrictRegion) -> None:
    kcm = make(credentials="s3cret-token")
    with pytest.raises(Refused) as refused:
        await kcm.encrypt(b"x")
    region.faults.append(says(problem("unavailable")))
    said = repr(refused.value) + str(refused.value) + repr(kcm) + repr(vars(refused.value))
    assert "s3cret" not in said
    assert refused.value.__cause__ is None
