"""Control and its regions agree regularly; who is cut off from it stops by itself, for every tenant, and heals."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from openkcm.crypto.agree import take_agreement
from openkcm.crypto.contract import Agreed, AgreeItem
from openkcm.crypto.here import Here
from openkcm.crypto.mark import open_high_water
from openkcm.crypto.place import open_place
from openkcm.crypto.region import open_region
from openkcm.kernel.db import DB, Role, transaction
from openkcm.keychain.states import KeyVerb
from openkcm.propagation.acknowledged import acknowledged
from openkcm.propagation.agree import Agreements
from openkcm.propagation.tighten import _tighten, _words
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Temporary
from tests.activation.near import Near
from tests.activation.parts import TENANT, Keys

pytestmark = pytest.mark.integration

DAY_S = 86_400.0
AWAY = Temporary(Refusal.REGION_UNAVAILABLE, "away")


@pytest.fixture
def agreements(keys: Keys) -> Agreements:
    return Agreements(keys.means.exchange)


async def passes(keys: Keys, seconds: float) -> None:
    """Time passes, and only the regions' databases confirm their state."""
    keys.clock.advance(seconds)
    async with keys.local.turn:
        before = DB.pool
        for near in (keys.local, keys.eu):
            await near.inside.refresh()
        DB.pool = before


async def cut_off(keys: Keys, message: bytes, region: str = "local") -> bool:
    try:
        assert await keys.decrypt(message, region=region) == b"kept"
    except Temporary as refused:
        if refused.refusal is not Refusal.CUT_OFF:
            raise
        return True
    return False


async def test_a_region_that_control_does_not_reach_stops_when_its_window_is_over_and_serves_again_after_it(
    keys: Keys, agreements: Agreements
) -> None:
    message = await keys.encrypt(b"kept")
    await agreements.once()
    keys.eu.failure = AWAY
    await passes(keys, DAY_S - 60)
    assert not await cut_off(keys, message, "eu-1")
    await agreements.once()
    await passes(keys, 120)
    assert await cut_off(keys, message, "eu-1")
    assert not await cut_off(keys, message, "local"), "the other one agreed meanwhile"
    keys.eu.failure = None
    await agreements.once()
    assert not await cut_off(keys, message, "eu-1")


async def test_whoever_restarts_keeps_to_the_window_and_without_an_agreement_nothing_is_served(
    keys: Keys, agreements: Agreements
) -> None:
    message = await keys.encrypt(b"kept")
    await agreements.once()
    keys.local.inside.here.roots.links.tick()  # what a process writes every other second
    await passes(keys, DAY_S - 60)
    async with AsyncExitStack() as stack:
        again = await _started(keys, keys.local, stack, place=None)
        view = again.state.view(TENANT)
        again.roots.allowed.check(view)
        keys.clock.advance(120)
        with pytest.raises(Temporary) as refused:
            again.roots.allowed.check(view)
        assert refused.value.refusal is Refusal.CUT_OFF
        new = await _started(keys, keys.eu, stack, place="never agreed")
        with pytest.raises(Temporary) as refused:
            new.roots.allowed.check(new.state.view(TENANT))
        assert refused.value.refusal is Refusal.CUT_OFF
    assert message


async def test_the_other_processes_of_a_region_hear_of_it_and_no_row_that_is_put_back_prolongs_it(
    keys: Keys, agreements: Agreements
) -> None:
    await agreements.once()
    old = await keys.local.inside.edit("select record, mac from agreement")
    async with AsyncExitStack() as stack:
        sibling = await _started(keys, keys.local, stack, place="sibling")
        view = sibling.state.view(TENANT)
        keys.clock.advance(DAY_S - 60)
        await _hears(keys, sibling)
        sibling.roots.allowed.check(view)
        await agreements.once()
        await _hears(keys, sibling)
        keys.clock.advance(DAY_S - 60)
        sibling.roots.allowed.check(view)
        keys.clock.advance(120)
        await keys.local.inside.edit("update agreement set record = $1, mac = $2", *old[0].values())
        await _hears(keys, sibling)
        with pytest.raises(Temporary):
            sibling.roots.allowed.check(view)
        late = await _started(keys, keys.local, stack, place="started late")
        await _hears(keys, late)
        with pytest.raises(Temporary):  # the row is whole, and as old as it is
            late.roots.allowed.check(late.state.view(TENANT))
        await agreements.once()
        forged = await keys.local.inside.edit("select record from agreement")
        await keys.local.inside.edit("update agreement set mac = $1", b"m" * 32)
        assert forged
        await _hears(keys, late)
        with pytest.raises(Temporary):
            late.roots.allowed.check(late.state.view(TENANT))


async def test_a_difference_is_found_and_brought_again_and_the_others_windows_run_anew(
    keys: Keys, agreements: Agreements
) -> None:
    """The region's database and disk were put back, and nobody decides anything."""
    state = keys.eu.inside.here.state
    view, mark = state.views[TENANT], state.marks.marks[TENANT]
    await keys.do(KeyVerb.READ_ONLY, "default")
    state.digest ^= view.digest ^ state.views[TENANT].digest
    state.views[TENANT], state.marks.marks[TENANT] = view, mark
    assert list(await agreements.agree("eu-1")) == [TENANT]
    assert list(await agreements.agree("local")) == []
    await agreements.once()
    assert state.views[TENANT].mark.hash == (await keys.decided()).hash
    assert list(await agreements.agree("eu-1")) == []


async def test_a_word_that_came_late_counts_and_is_settled_in_the_next_round(
    keys: Keys, agreements: Agreements
) -> None:
    """A worker says of an older decision what a person has taken back meanwhile, and dies."""
    message = await keys.encrypt(b"kept")
    await keys.do(KeyVerb.REVOKE, "default")
    revoke = await keys.decided()
    await keys.do(KeyVerb.RESTORE, "default")
    exchange = keys.means.exchange
    assert await _tighten(exchange.regions, exchange.identity, revoke, "eu-1", list(_words(revoke)))
    with pytest.raises(Permanent) as refused:
        await keys.decrypt(message, region="eu-1")
    assert refused.value.refusal is Refusal.KEY_REVOKED
    assert list(await agreements.agree("eu-1")) == [TENANT]
    await agreements.once()
    assert await keys.decrypt(message, region="eu-1") == b"kept"
    assert list(await agreements.agree("eu-1")) == []


async def test_who_is_behind_is_left_out_and_its_own_window_goes_on(
    keys: Keys, agreements: Agreements
) -> None:
    message = await keys.encrypt(b"kept")
    await agreements.once()
    await passes(keys, DAY_S / 2)
    await keys.ask(KeyVerb.READ_ONLY, "default")  # decided, and brought to nobody
    await agreements.once()
    await passes(keys, DAY_S / 2 + 60)
    assert await cut_off(keys, message)
    await keys.work()
    assert not await cut_off(keys, message), "what was applied is agreed on"


async def test_the_report_says_when_a_region_that_does_not_answer_stops_by_itself(
    keys: Keys, agreements: Agreements
) -> None:
    await agreements.once()
    agreed_at = keys.clock.now()
    keys.eu.failure = AWAY
    await keys.ask(KeyVerb.REVOKE)
    with pytest.raises(Temporary):
        await keys.work()
    keys.clock.advance(3600)
    await agreements.once()
    now = await keys.decided()
    async with transaction(Role.APP, TENANT) as tx:
        said = await acknowledged(tx, TENANT, epoch=now.epoch, generation=now.generation)
    stops = {one.region: one.stops_at for one in said.regions}
    assert stops == {"local": None, "eu-1": agreed_at + timedelta(seconds=DAY_S + 30)}


async def test_only_control_agrees_and_only_with_the_region_that_it_means(
    keys: Keys, agreements: Agreements
) -> None:
    await passes(keys, DAY_S + 60)
    said: list[AgreeItem] = []

    class Listening(Near):
        async def agree(self, item: AgreeItem) -> Agreed:
            said.append(item)
            return await super().agree(item)

    keys.regions.each["local"] = Listening(keys.local.inside, keys.local.turn)
    await agreements.agree("local")
    for wrong, refusal in (
        (replace(said[0], at=said[0].at + timedelta(days=1)), Refusal.SIGNATURE_INVALID),
        (replace(said[0], but=(TENANT,)), Refusal.SIGNATURE_INVALID),
        (replace(said[0], region="eu-1"), Refusal.SIGNATURE_INVALID),
    ):
        with pytest.raises(Refused) as refused:
            await keys.eu.agree(wrong)
        assert refused.value.refusal is refusal
    with pytest.raises(Refused) as refused:
        await keys.eu.agree(said[0])
    assert refused.value.refusal is Refusal.BAD_REQUEST


async def _started(keys: Keys, near: Near, stack: AsyncExitStack, *, place: str | None) -> Here:
    """A process of that region is started: on its own disk (None: instead of the one that runs)."""
    inside = near.inside
    state = Path(inside.settings.state_directory)
    if place is None:
        inside.close()
    else:
        state = state.with_name(f"{inside.name} {place}")
    marks = open_high_water(state)
    stack.callback(marks.close)
    opened = open_place(state / "leases")
    stack.callback(opened.close)
    before = DB.pool
    DB.pool = inside.pool
    try:
        return await open_region(
            inside.settings,
            inside.identity,
            inside.world.pins,
            clock=inside.clock,
            marks=marks,
            place=opened,
            stores=inside.stores,
        )
    finally:
        DB.pool = before


async def _hears(keys: Keys, here: Here) -> None:
    """What a process does each second."""
    async with keys.local.turn:
        before = DB.pool
        DB.pool = keys.local.inside.pool
        try:
            async with transaction(Role.OWN) as tx:
                await here.state.refresh(tx)
                await take_agreement(here, tx)
        finally:
            DB.pool = before
