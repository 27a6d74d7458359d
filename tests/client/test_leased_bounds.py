"""How much a leased key encrypts, how many opened ones are kept, and what is asked for together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from openkcm_client import AsyncClient, BadCiphertext, Bounds, Error, MessageTooLong
from openkcm_client.leases import NO_WRITER
from tests.client.conftest import Make, settle
from tests.client.strict_region import StrictRegion


async def test_no_key_encrypts_more_messages_than_it_may(make: Make, region: StrictRegion) -> None:
    kcm = make(bounds=Bounds(max_messages=16))
    heads = [(await kcm.encrypt(b"x"))[:128] for _ in range(160)]
    assert max(heads.count(head) for head in set(heads)) <= 16
    assert 10 <= region.asked.count("/v1/data-keys") <= 13


async def test_the_next_key_is_fetched_while_the_last_share_of_this_one_is_used(
    make: Make, region: StrictRegion
) -> None:
    kcm = make(bounds=Bounds(max_messages=16))
    for _ in range(14):
        await kcm.encrypt(b"x")
    assert len(region.asked) == 1
    await kcm.encrypt(b"x")  # the first of the last share
    assert len(region.asked) == 1, "it came back before the next key was asked for"
    await settle(kcm)
    assert len(region.asked) == 2
    for _ in range(14):
        await kcm.encrypt(b"x")
    assert len(region.asked) == 2


@pytest.mark.parametrize("size", [1, 4096, 4097, 20_000, 70_000])
async def test_no_key_encrypts_more_bytes_than_it_may(make: Make, size: int) -> None:
    kcm = make(bounds=Bounds(max_messages=256, max_bytes=2**20))
    sums: dict[bytes, int] = {}
    for _ in range(400):
        head = (await kcm.encrypt(bytes(size)))[:128]
        sums[head] = sums.get(head, 0) + size
        await settle(kcm)
    assert max(sums.values()) <= 2**20
    assert len(sums) > 1


async def test_what_no_key_may_encrypt_is_refused_and_not_asked_for_for_ever(
    make: Make, region: StrictRegion
) -> None:
    kcm = make(bounds=Bounds(max_messages=16, max_bytes=1024))
    with pytest.raises(MessageTooLong, match="max_bytes"):
        await kcm.encrypt(bytes(2048))
    assert len(region.asked) == 1
    with pytest.raises(MessageTooLong):
        await kcm.encrypt(b"x", bytes(2**20 + 1))


async def test_opened_keys_are_kept_up_to_their_bound_and_those_in_use_longest(
    make: Make, region: StrictRegion
) -> None:
    messages = [await make().encrypt(b"x") for _ in range(12)]
    kcm = make(bounds=Bounds(max_opened=4))
    region.asked.clear()
    for message in messages:
        await kcm.decrypt(messages[0])
        await kcm.decrypt(message)
    assert len(kcm._keys.opened) == 4
    assert len(region.asked) == 12, "the first one, always in use, was opened once"


async def test_who_decrypts_the_same_envelope_at_once_asks_once(
    kcm: AsyncClient, make: Make, region: StrictRegion
) -> None:
    message = await make().encrypt(b"x")
    region.asked.clear()
    assert await asyncio.gather(*(kcm.decrypt(message) for _ in range(50))) == [b"x"] * 50
    assert region.asked == ["/v1/data-keys/open"]


async def test_many_misses_go_in_one_batch(kcm: AsyncClient, make: Make, region: StrictRegion) -> None:
    messages = [await make().encrypt(bytes([n]), b"row") for n in range(30)]
    region.asked.clear()
    plaintexts = await kcm.decrypt_many(messages * 2, [b"row"] * 60)
    assert plaintexts == [bytes([n]) for n in range(30)] * 2
    assert region.asked == ["/v1/data-keys/open/batch"]
    assert await asyncio.gather(*(kcm.decrypt(message, b"row") for message in messages)) == plaintexts[:30]
    assert region.asked == ["/v1/data-keys/open/batch"]


async def test_more_than_a_thousand_misses_go_in_several_batches(
    kcm: AsyncClient, make: Make, region: StrictRegion
) -> None:
    writer = make(bounds=Bounds(max_messages=8))
    messages = [await writer.encrypt(b"x") for _ in range(8 * 1100)]
    await settle(writer)
    region.asked.clear()
    assert await kcm.decrypt_many(messages) == [b"x"] * len(messages)
    assert region.asked == ["/v1/data-keys/open/batch"] * 2


async def test_of_many_each_has_its_own_result(kcm: AsyncClient, make: Make) -> None:
    good = await make().encrypt(b"x")
    foreign = bytes([*good[:20], good[20] ^ 1, *good[21:]])
    stream = b"".join([piece async for piece in kcm.encrypt_stream(several(b"y"))])
    bad = [good[:-1], foreign, b"", stream + bytes(100)]
    results = await kcm.decrypt_many([good, *bad, good], errors="return")
    assert (results[0], results[-1]) == (b"x", b"x")
    assert all(isinstance(result, BadCiphertext) for result in results[1:-1])
    with pytest.raises(BadCiphertext):
        await kcm.decrypt_many([good, *bad])


async def test_associated_data_are_as_many_as_items(kcm: AsyncClient) -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        await kcm.encrypt_many([b"a", b"b"], [b"row"])
    messages = await kcm.encrypt_many([b"a", b"b"], [b"1", b"2"])
    assert await kcm.decrypt_many(messages, [b"1", b"2"]) == [b"a", b"b"]
    with pytest.raises(Error):
        await kcm.decrypt_many(messages, [b"2", b"1"])


async def test_re_wrapping_puts_data_under_the_new_key_and_leaves_it_where_it_is(
    kcm: AsyncClient, region: StrictRegion
) -> None:
    message = await kcm.encrypt(b"x", b"row")
    region.rotate()
    new = await kcm.rewrap(message)
    assert (new[8:24].hex(), new[96:]) == (region.active, message[96:])
    assert await kcm.decrypt(new, b"row") == b"x"
    assert await kcm.rewrap(message[:128]) != message[:128]
    assert [one[96:] for one in await kcm.rewrap_many([message, new])] == [message[96:]] * 2


async def test_without_keys_here_the_region_encrypts(
    make: Make, kcm: AsyncClient, region: StrictRegion
) -> None:
    remote = make(local=False)
    message = await remote.encrypt(b"x", b"row")
    assert await remote.decrypt(message, b"row") == b"x"
    many = await remote.encrypt_many([b"a", b"b", bytes(700_000)])
    assert await remote.decrypt_many(many) == [b"a", b"b", bytes(700_000)]
    assert region.asked == [
        "/v1/encrypt",
        "/v1/decrypt",
        "/v1/encrypt/batch",
        "/v1/encrypt",
        "/v1/decrypt/batch",
        "/v1/decrypt",
    ]
    assert (remote._keys.writer, remote._keys.opened) == (NO_WRITER, {})
    assert await kcm.decrypt(message, b"row") == b"x"
    with pytest.raises(BadCiphertext):
        await remote.decrypt(message, b"another row")


async def several(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
