"""REQ-011, REQ-022: the newest decision reaches every region of its set; who has not confirmed is named."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from openkcm.audit.store import entries_of
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.parties.identity import Identity
from openkcm.propagation import deliver as room
from openkcm.propagation.deliver import deliver, last_decided, push
from openkcm.propagation.model import Observed
from openkcm.propagation.store import observed_of
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Temporary
from tests.control import NOON, appear
from tests.propagation.parts import UNAVAILABLE, MemoryRegions, settled
from tests.propagation.test_decide import decided

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("control")]


@pytest.fixture
def regions() -> MemoryRegions:
    return MemoryRegions("local", "eu-1", "us-1")


async def seen(tenant: str = "acme") -> dict[str, Observed]:
    async with transaction(Role.APP, tenant) as tx:
        return {each.region: each for each in await observed_of(tx, tenant)}


async def test_every_region_of_the_set_gets_the_same_bytes_and_no_other_region_does(
    regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    signed = await decided(control_identity, clock)
    assert await deliver(regions, "acme", clock=clock) == 1
    assert regions["local"].received == regions["eu-1"].received == [signed]
    assert regions["us-1"].received == []
    assert {(each.region, each.generation, each.acknowledged_at) for each in (await seen()).values()} == {
        ("local", 1, NOON),
        ("eu-1", 1, NOON),
    }


async def test_a_region_that_is_down_is_named_the_other_has_it_and_it_goes_on_by_itself(
    regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    await decided(control_identity, clock)
    regions["eu-1"].failure = UNAVAILABLE
    with pytest.raises(Temporary) as refused:
        await deliver(regions, "acme", clock=clock)
    assert refused.value.refusal is Refusal.REGION_UNAVAILABLE
    assert "Region eu-1 has not confirmed" in refused.value.message
    assert "10.0.0.7" not in refused.value.message
    found = await seen()
    assert found["local"].acknowledged_at == NOON
    assert (found["eu-1"].acknowledged_at, found["eu-1"].refusal) == (None, "region-unavailable")
    regions["eu-1"].failure = None
    assert await deliver(regions, "acme", clock=clock) == 1
    assert (await seen())["eu-1"].refusal is None


async def test_what_a_region_confirmed_stays_known_while_it_is_down(
    regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    await decided(control_identity, clock)
    await deliver(regions, "acme", clock=clock)
    clock.advance(60)
    await decided(control_identity, clock)
    for name in ("local", "eu-1"):
        regions[name].failure = UNAVAILABLE
    with pytest.raises(Temporary) as refused:
        await deliver(regions, "acme", clock=clock)
    assert "Regions local and eu-1 have not confirmed" in refused.value.message
    found = (await seen())["local"]
    assert (found.generation, found.acknowledged_at, found.refusal) == (1, NOON, "region-unavailable")


async def test_a_region_that_never_answers_is_waited_for_so_long_and_no_longer(
    regions: MemoryRegions, clock: SetClock, control_identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    await settled(clock)
    await decided(control_identity, clock)
    monkeypatch.setattr(room, "ANSWER_WITHIN_S", 0.05)
    regions["local"].gate = asyncio.Event()
    with pytest.raises(Temporary):
        await deliver(regions, "acme", clock=clock)
    assert (await seen())["eu-1"].acknowledged_at == NOON


async def test_while_regions_are_asked_no_transaction_is_open(
    regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    await decided(control_identity, clock)
    gate = regions["local"].gate = asyncio.Event()
    delivering = asyncio.create_task(deliver(regions, "acme", clock=clock))
    while not regions["local"].received:
        await asyncio.sleep(0.01)
    newer = await asyncio.wait_for(decided(control_identity, clock), 5)
    gate.set()
    assert await delivering == 2
    assert regions["eu-1"].received[-1] == regions["local"].received[-1] == newer


async def test_an_older_decision_that_comes_late_is_no_alarm(
    regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    await decided(control_identity, clock)
    gate = regions["local"].gate = asyncio.Event()
    late = asyncio.create_task(deliver(regions, "acme", clock=clock))
    while not regions["local"].received:
        await asyncio.sleep(0.01)
    await decided(control_identity, clock)
    regions["local"].gate = None
    assert await deliver(regions, "acme", clock=clock) == 2
    gate.set()
    assert await late == 2
    async with transaction(Role.APP, "acme") as tx:
        assert "propagation:desired:refuse" not in [entry.verb for entry in await entries_of(tx, "acme")]


@pytest.mark.parametrize("ahead", [(1, 9, "0" * 64), (2, 1, "0" * 64), (1, 1, "0" * 64)])
async def test_a_region_that_holds_something_control_does_not_know_is_an_alarm_and_refused(
    regions: MemoryRegions,
    clock: SetClock,
    control_identity: Identity,
    ahead: tuple[int, int, str],
) -> None:
    await settled(clock)
    await decided(control_identity, clock)
    regions["eu-1"].applied["acme"] = ahead
    with pytest.raises(Permanent) as refused, capture_logs() as logged:
        await deliver(regions, "acme", clock=clock)
    assert refused.value.refusal in (Refusal.GENERATION_OLD, Refusal.GENERATION_CONFLICT)
    assert "eu-1" in refused.value.message
    assert refused.value.remedy is not None
    assert regions["eu-1"].applied["acme"] == ahead
    assert [(line["event"], line["log_level"], line["region"]) for line in logged] == [
        ("propagation.region_ahead", "critical", "eu-1")
    ]
    async with transaction(Role.APP, "acme") as tx:
        (entry,) = [
            each for each in await entries_of(tx, "acme") if each.verb == "propagation:desired:refuse"
        ]
    assert (entry.object, entry.outcome) == ("region:eu-1", refused.value.refusal)
    del regions["eu-1"].applied["acme"]
    assert await deliver(regions, "acme", clock=clock) == 1


async def test_what_a_region_refuses_for_good_names_it_and_is_not_tried_again(
    regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    await decided(control_identity, clock)
    regions["local"].failure = Permanent(Refusal.KEY_UNKNOWN, "This region does not hold key acme-3.")
    regions["eu-1"].failure = UNAVAILABLE
    with pytest.raises(Permanent) as refused:
        await deliver(regions, "acme", clock=clock)
    assert refused.value.refusal is Refusal.KEY_UNKNOWN
    assert refused.value.message.startswith("Region local: ")


@pytest.mark.parametrize("kind", [Temporary, Permanent])
async def test_words_of_a_region_that_no_database_takes_stop_nothing(
    regions: MemoryRegions, clock: SetClock, control_identity: Identity, kind: type[Refused]
) -> None:
    await settled(clock)
    await decided(control_identity, clock)
    regions["eu-1"].failure = kind(Refusal.UNAVAILABLE, "a\x00b" + "c" * 2**20)
    with pytest.raises(kind):
        await deliver(regions, "acme", clock=clock)
    assert (await seen())["eu-1"].message == "a b" + "c" * 1021
    regions["eu-1"].failure = None
    assert await deliver(regions, "acme", clock=clock) == 1


async def test_a_region_that_no_pin_names_is_refused(clock: SetClock, control_identity: Identity) -> None:
    await settled(clock)
    await decided(control_identity, clock)
    with pytest.raises(Permanent) as refused:
        await deliver(MemoryRegions("local"), "acme", clock=clock)
    assert refused.value.refusal is Refusal.REGION_UNKNOWN


async def test_before_anything_is_decided_there_is_nothing_to_deliver(
    regions: MemoryRegions, clock: SetClock
) -> None:
    await appear("acme", clock=clock)
    with pytest.raises(Permanent) as refused:
        await deliver(regions, "acme", clock=clock)
    assert refused.value.refusal is Refusal.TENANT_STATE


async def test_pushing_a_decision_that_another_followed_is_no_alarm_but_tried_again(
    regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    await decided(control_identity, clock)
    sent = await last_decided("acme")
    assert [answer.generation for answer in await push(regions, sent, clock=clock)] == [1, 1]
    await decided(control_identity, clock)
    await deliver(regions, "acme", clock=clock)
    with pytest.raises(Temporary) as refused:
        await push(regions, sent, clock=clock)
    assert refused.value.refusal is Refusal.TENANT_NOT_READY
    async with transaction(Role.APP, "acme") as tx:
        assert "propagation:desired:refuse" not in [entry.verb for entry in await entries_of(tx, "acme")]


async def test_a_region_that_confirms_another_document_than_was_sent_has_confirmed_nothing(
    regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    await decided(control_identity, clock)
    regions["eu-1"].confirms_hash = "0" * 64
    with pytest.raises(Permanent) as refused:
        await deliver(regions, "acme", clock=clock)
    assert refused.value.refusal is Refusal.GENERATION_CONFLICT
    assert (await seen())["eu-1"].acknowledged_at is None
    regions["eu-1"].confirms_hash = None
    assert await deliver(regions, "acme", clock=clock) == 1
