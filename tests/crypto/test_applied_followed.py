"""What another process of the region stores is never passed by, whenever it comes and whatever fails meanwhile."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from openkcm.crypto.applied import AppliedState
from openkcm.crypto.contract import FORMAT, DesiredService, TightenItem
from openkcm.crypto.rootfile import Root
from openkcm.crypto.tightenings import Tight, tight_of
from openkcm.kernel.clock import SetClock
from openkcm.parties.labels import Record
from openkcm.parties.signed import sign
from openkcm.sdk.refusals import Permanent, Refusal
from tests.crypto.cache_store import MemoryMarks, Stored
from tests.crypto.world import AT, World


@pytest.fixture
def stored() -> Stored:
    return Stored(Root({1: os.urandom(32)}, region="local"))


@pytest.fixture
def state(world: World, stored: Stored) -> AppliedState:
    marks = MemoryMarks(Path("unused"), {}, -1)
    return AppliedState(root=stored.root, pins=world.pins, marks=marks, clock=SetClock(AT), confirm_s=30.0)


def revoked(world: World, stored: Stored) -> Tight:
    """The tenant 'acme' is revoked by a word over a nonce, which another process stores."""
    signature = sign(world.control, Record.TIGHTENING, FORMAT, b"")
    item = TightenItem(
        tenant="acme",
        service="",
        kind="revoked",
        epoch=1,
        generation=1,
        hash="d" * 64,
        nonce=b"",
        signature=signature,
    )
    return stored.add(lambda change: tight_of(item, stored.root, change=change))


async def test_a_tightening_between_two_statements_is_seen_the_next_time(
    world: World, stored: Stored, state: AppliedState
) -> None:
    stored.write(world.decide("acme"))
    await stored.refresh(state)

    def meanwhile() -> None:
        revoked(world, stored)
        stored.write(world.decide("blue"))

    stored.write(world.decide("green"))
    stored.between = meanwhile
    await stored.refresh(state)
    assert "blue" in state.views
    await stored.refresh(state)
    assert state.view("acme").access == "revoked"


async def test_what_a_full_disk_kept_out_is_read_again(
    world: World, stored: Stored, state: AppliedState
) -> None:
    stored.write(world.decide("acme"))
    await stored.refresh(state)
    stored.write(world.decide("acme", access="blocked"))
    assert isinstance(state.marks, MemoryMarks)
    state.marks.full = Permanent(Refusal.DISK_FULL, "full")
    confirmed_at = state.confirmed_at
    for _ in range(2):
        with pytest.raises(Permanent):
            await stored.refresh(state)
    assert state.confirmed_at == confirmed_at, "what was not taken is not confirmed"
    state.marks.full = None
    await stored.refresh(state)
    assert state.view("acme").access == "blocked"


async def test_a_full_disk_holds_up_no_document_that_only_stops_something(
    world: World, stored: Stored, state: AppliedState
) -> None:
    for tenant in ("acme", "blue", "green"):
        stored.write(world.decide(tenant))
    stored.write(world.decide("red", access="revoked"))
    await stored.refresh(state)
    followed: list[str] = []
    state.followed = lambda views: followed.extend(view.tenant for view in views)
    stored.write(world.decide("acme", access="revoked"))
    stored.write(world.decide("blue", services=(DesiredService(name="default", access="revoked"),)))
    stored.write(world.decide("green", access="read-only"))
    stored.write(world.decide("red"))
    assert isinstance(state.marks, MemoryMarks)
    state.marks.full = Permanent(Refusal.DISK_FULL, "full")
    for _ in range(2):
        with pytest.raises(Permanent):
            await stored.refresh(state)
    assert [state.view(tenant).access for tenant in ("acme", "green")] == ["revoked", "read-only"]
    assert state.view("blue").services == {"default": "revoked"}
    assert state.view("red").access == "revoked", "nothing is let be used again before that is on the disk"
    assert followed[:3] == ["acme", "blue", "green"]
    state.marks.full = None
    await stored.refresh(state)
    assert state.view("red").access == "active"


async def test_a_row_with_a_number_far_ahead_hides_nothing_that_comes_after_it(
    world: World, stored: Stored, state: AppliedState
) -> None:
    row = stored.write(world.decide("acme"))
    stored.rows["acme"] = replace(row, change=10**9)  # by somebody who can write to the database
    await stored.refresh(state)
    stored.write(world.decide("acme", access="revoked"))
    await stored.refresh(state)
    assert state.view("acme").access == "revoked"
