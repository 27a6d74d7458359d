"""How long a key is used: by its lease, and not a moment longer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx2
import pytest

from openkcm_client import (
    AsyncClient,
    Bounds,
    KeyReadOnly,
    KeyRevoked,
    NotPermitted,
    Refused,
    Unavailable,
)
from openkcm_client.envelope import parse
from openkcm_client.leases import NO_WRITER
from tests.client.conftest import Make, goes_on, settle
from tests.client.strict_region import FakeTime, StrictRegion, fails, late


async def test_a_message_opens_again_and_one_key_was_asked_for(
    kcm: AsyncClient, region: StrictRegion
) -> None:
    message = await kcm.encrypt(b"4111", aad=b"row 7")
    assert await kcm.decrypt(message, aad=b"row 7") == b"4111"
    assert [await kcm.decrypt(await kcm.encrypt(b"x")) for _ in range(100)] == [b"x"] * 100
    assert region.asked == ["/v1/data-keys"]


async def test_an_idle_client_asks_for_nothing(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    await kcm.encrypt(b"x")
    time.passes(3600)
    await settle(kcm)
    assert region.asked == ["/v1/data-keys"]


async def test_a_lease_is_renewed_at_half_life_by_its_use_and_nobody_waits(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    await kcm.encrypt(b"x")
    time.passes(14.9)
    await kcm.encrypt(b"x")
    assert region.asked == ["/v1/data-keys"]
    time.passes(0.2)
    await kcm.encrypt(b"x")
    assert region.asked == ["/v1/data-keys"], "the call came back before the renewal was sent"
    await settle(kcm)
    assert region.asked == ["/v1/data-keys", "/v1/leases"]
    time.passes(29)  # from the renewal on; the first lease was over long ago
    await kcm.encrypt(b"x")
    await settle(kcm)
    assert region.asked == ["/v1/data-keys", "/v1/leases", "/v1/leases"]


async def test_a_busy_client_never_waits_for_a_key_again(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    await kcm.encrypt(b"x")
    for _ in range(1000):  # 1000 s: several keys, many leases
        time.passes(1)
        asked = len(region.asked)
        await kcm.encrypt(b"x")
        assert len(region.asked) == asked
        await settle(kcm)
    assert 4 <= region.asked.count("/v1/data-keys") <= 5
    assert 50 <= region.asked.count("/v1/leases") <= 70


async def test_a_key_that_another_one_replaced_opens_its_messages_quickly_up_to_its_end(
    make: Make, time: FakeTime, region: StrictRegion
) -> None:
    kcm = make(bounds=Bounds(max_messages=16))
    old = await kcm.encrypt(b"old")
    while (await kcm.encrypt(b"x"))[:128] == old[:128]:
        await settle(kcm)
    lease = kcm._keys.opened[old[:128]].lease
    time.passes(16)  # of 30
    assert lease.until < kcm._now() < lease.deadline
    asked = len(region.asked)
    assert await kcm.decrypt(old) == b"old"
    await settle(kcm)
    assert lease.until == lease.deadline, "each call would go the long way"
    assert len(region.asked) == asked
    time.passes(15)
    assert await kcm.decrypt(old) == b"old"
    assert len(region.asked) == asked + 1


async def test_read_only_reaches_encrypting_within_30_s_and_decrypting_goes_on(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    message = await kcm.encrypt(b"x")
    region.refusing_to_encrypt = "key-read-only"
    assert await stops_after_s(kcm, time) <= 16  # connected: at the next renewal
    assert await kcm.decrypt(message) == b"x"
    with pytest.raises(KeyReadOnly) as refused:
        await kcm.encrypt(b"x")
    assert (refused.value.code, refused.value.who) == ("key-read-only", "tenant")
    region.refusing_to_encrypt = ""
    assert await kcm.decrypt(await kcm.encrypt(b"y")) == b"y"


async def test_without_any_answer_encrypting_ends_with_the_lease_of_30_s(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    await kcm.encrypt(b"x")
    region.down = True
    worked_s, _, silent = await goes_on(lambda: kcm.encrypt(b"x"), Unavailable, time, half_a_second(time))
    assert 29 <= worked_s < 30
    assert "operator" in str(silent)
    region.down = False
    assert await kcm.encrypt(b"x")


async def test_a_revoke_reaches_decrypting_within_its_lease(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime, make: Make
) -> None:
    message = await make().encrypt(b"x")
    assert await kcm.decrypt(message) == b"x"
    region.refusing = "key-revoked"
    _, refused_s, _ = await goes_on(lambda: kcm.decrypt(message), KeyRevoked, time, a_busy_second(kcm, time))
    assert 149 <= refused_s <= 152  # at half life, connected
    region.refusing = ""
    assert await kcm.decrypt(message) == b"x"
    region.down = True
    worked_s, _, _ = await goes_on(lambda: kcm.decrypt(message), Unavailable, time, half_a_second(time))
    assert 299 <= worked_s < 300  # cut off


async def test_a_revoke_that_encrypting_meets_ends_decrypting_at_once(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime, make: Make
) -> None:
    message = await make().encrypt(b"x")
    assert await kcm.decrypt(message) == b"x"
    await kcm.encrypt(b"x")
    region.refusing = "key-revoked"
    await stops_after_s(kcm, time)
    with pytest.raises(KeyRevoked):
        await kcm.decrypt(message)


async def test_a_lease_counts_from_when_it_was_asked_for(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    region.faults.append(late(time, 4.0))
    began = time.now_s
    await kcm.encrypt(b"x")
    region.down = True
    assert await last_use_s(kcm, time) - began < 30


async def test_an_answer_that_comes_after_its_own_lease_is_not_used(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    region.encrypting_s = 2.0
    region.faults.append(late(time, 3.0))
    with pytest.raises(Unavailable):
        await kcm.encrypt(b"x")


async def test_a_lost_renewal_is_tried_again_before_the_lease_ends(
    make: Make, region: StrictRegion, time: FakeTime
) -> None:
    kcm = make(timeout_s=1)
    await kcm.encrypt(b"x")
    time.passes(16)
    region.faults += [fails(httpx2.ReadTimeout)] * 8  # longer than one question is asked
    await kcm.encrypt(b"x")
    await settle(kcm)
    time.passes(20)
    assert kcm._writing() is not None
    assert region.asked.count("/v1/data-keys") == 1


async def test_after_a_rotation_the_new_key_encrypts_and_the_old_one_decrypts(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    old = await kcm.encrypt(b"old")
    region.rotate()
    time.passes(15)
    await kcm.encrypt(b"x")
    await settle(kcm)
    new = await kcm.encrypt(b"new")
    assert parse(new).l3_key_id.hex() == region.active
    assert parse(old).l3_key_id.hex() != region.active
    assert [await kcm.decrypt(message) for message in (old, new)] == [b"old", b"new"]


async def test_a_removed_caller_loses_the_keys_at_the_next_renewal(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    await kcm.encrypt(b"x")
    region.refusing = "caller-unknown"
    assert await stops_after_s(kcm, time, NotPermitted) <= 16


async def test_a_tenants_longer_lease_is_kept_to(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    region.encrypting_s = 600.0
    await kcm.encrypt(b"x")
    region.down = True
    began = time.now_s
    assert 299 <= await last_use_s(kcm, time) - began < 300  # and by the key's age


async def test_keys_leave_memory_when_their_lease_ends(kcm: AsyncClient, time: FakeTime, make: Make) -> None:
    await kcm.decrypt(await make().encrypt(b"x"))
    await kcm.encrypt(b"x")
    time.passes(300)
    kcm._engine._watch()
    assert (kcm._keys.opened, kcm._keys.writer, kcm._keys.reading) == ({}, NO_WRITER, {})


@pytest.mark.parametrize("lease_s", [30.0, 3600.0])
async def test_a_key_is_no_older_than_its_age(
    make: Make, region: StrictRegion, time: FakeTime, lease_s: float
) -> None:
    region.encrypting_s = lease_s
    kcm = make(bounds=Bounds(max_age_s=40))
    used: dict[bytes, list[float]] = {}
    for _ in range(120):
        used.setdefault((await kcm.encrypt(b"x"))[:128], []).append(time.now_s)
        await settle(kcm)
        time.passes(1)
    assert max(moments[-1] - moments[0] for moments in used.values()) < 40
    assert 3 <= len(used) <= 8


def half_a_second(time: FakeTime) -> Callable[[], Awaitable[None]]:
    """Passes; what was begun in the background has no turn."""

    async def passes() -> None:
        time.passes(0.5)

    return passes


def a_busy_second(kcm: AsyncClient, time: FakeTime) -> Callable[[], Awaitable[None]]:
    """Passes, after what was begun in the background is done."""

    async def passes() -> None:
        await settle(kcm)
        time.passes(1)

    return passes


async def last_use_s(kcm: AsyncClient, time: FakeTime) -> float:
    """When encrypting worked for the last time."""
    began = time.now_s
    worked_s, _, _ = await goes_on(lambda: kcm.encrypt(b"x"), Unavailable, time, half_a_second(time))
    return began + worked_s


async def stops_after_s(kcm: AsyncClient, time: FakeTime, why: type[Refused] = Refused) -> float:
    """How long encrypting goes on, by an application that is busy."""
    _, refused_s, _ = await goes_on(lambda: kcm.encrypt(b"x"), why, time, a_busy_second(kcm, time))
    return refused_s
