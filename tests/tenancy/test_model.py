"""The words for a tenant, and what each lets its keys do."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from openkcm.tenancy.model import STAGE_MOVES, STANDING_MOVES, Stage, Standing, State, Tenant, access, state
from tests.control import NOON


def tenant(presence: Standing, stage: Stage = Stage.READY, *, ends_at: datetime | None = None) -> Tenant:
    return Tenant(
        id="acme",
        source="memory",
        kind="Account",
        parent="org",
        name="acme",
        display_name="",
        path="",
        origin="a.yaml",
        reference="a.yaml",
        creator=None,
        presence=presence,
        stage=stage,
        epoch=1,
        generation=2,
        observed_at=NOON,
        protected_at=None,
        ready_at=NOON + timedelta(seconds=2),
        uninstalled_at=None,
        deleting_at=None,
        grace_ends_at=ends_at,
        stopped_at=None,
    )


@pytest.mark.parametrize("stage", Stage)
def test_a_present_tenant_is_called_by_how_far_it_came(stage: Stage) -> None:
    assert state(tenant(Standing.PRESENT, stage)) is State(stage.value)


@pytest.mark.parametrize("presence", [each for each in Standing if each is not Standing.PRESENT])
def test_a_tenant_that_is_not_there_is_called_by_that(presence: Standing) -> None:
    assert state(tenant(presence)) is State(presence.value)


@pytest.mark.parametrize(
    ("presence", "now_s", "allowed"),
    [
        (Standing.PRESENT, 0, "active"),
        (Standing.UNINSTALLED, 59, "read-only"),
        (Standing.UNINSTALLED, 60, "blocked"),
        (Standing.DELETING, 0, "blocked"),
        (Standing.DELETING, 61, "blocked"),
        (Standing.GONE, 0, "blocked"),
    ],
)
def test_keys_may_be_used_as_presence_and_grace_allow(presence: Standing, now_s: int, allowed: str) -> None:
    found = tenant(presence, ends_at=NOON + timedelta(seconds=60))
    assert access(found, now=NOON + timedelta(seconds=now_s)) == allowed


def test_nothing_leads_back_before_the_pivot_and_nothing_out_of_gone() -> None:
    assert {end for start, end in STAGE_MOVES if start in (Stage.PROTECTED, Stage.READY)} == {Stage.READY}
    assert {start for start, _ in STANDING_MOVES} == set(Standing) - {Standing.GONE}
    assert (Standing.DELETING, Standing.UNINSTALLED) not in STANDING_MOVES
    assert (Standing.PRESENT, Standing.GONE) not in STANDING_MOVES


def test_a_tenant_without_a_display_name_is_called_by_its_name_and_knows_how_long_it_took() -> None:
    found = tenant(Standing.PRESENT)
    assert (found.label, found.ready_after_s(), found.past_pivot) == ("acme", 2.0, True)
    assert found.ready_after_s(NOON + timedelta(seconds=1.5)) == 0.5, (
        "a second try is timed from its own start"
    )
