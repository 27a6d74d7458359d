"""The journal of a set-up, as its page tells it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from openkcm.provisioning import plan, progress
from openkcm.provisioning.progress import STEPS, Entry, Journal, page_of
from openkcm.provisioning.view import PIVOT, Outcome, ProvisioningPage, SetupState
from openkcm.saga.journal import Trouble
from openkcm.saga.states import SagaState
from tests.control import NOON

ROW: dict[str, object] = {
    "display_name": "Payments",
    "name": "payments",
    "path": "root:orgs:fjordline:payments",
    "source": "directory",
    "stage": "provisioning",
    "observed_at": NOON,
    "protected_at": None,
    "ready_at": None,
    "creator_username": "mara@example.org",
    "now": NOON + timedelta(seconds=10),
    "regions": ["north", "south"],
    "mail": None,
}
BEGUN = Journal(began=NOON)


def done(*names: str) -> dict[str, Entry]:
    return {
        name: Entry(attempts=1, took_ms=500, at=NOON + timedelta(seconds=at), made={"accepted": 1})
        for at, name in enumerate(names, 1)
    }


def trouble(*, temporary: bool) -> Trouble:
    return Trouble(
        refusal="region-unavailable",
        message="Region south does not answer.",
        temporary=temporary,
        attempts=2,
        since=NOON,
        next_at=NOON + timedelta(seconds=18),
        action="" if temporary else "Start it.",
        who="" if temporary else "operator",
    )


def outcomes(page: ProvisioningPage) -> list[str]:
    return [step.outcome.value for step in page.steps]


def test_the_names_and_the_pivot_are_the_plans() -> None:
    made = plan.new_tenant(None)  # type: ignore[arg-type]  # its steps are not run
    assert tuple(step.name for step in made.steps) == STEPS
    assert (progress.PLAN, PIVOT) == (plan.NEW_TENANT, plan.PIVOT)
    assert set(progress.BACKGROUND) == made.background


def test_before_a_worker_has_it_the_first_step_is_under_way() -> None:
    page = page_of("t", ROW, BEGUN)
    assert outcomes(page) == ["running"] + ["waiting"] * 7
    assert (page.state, page.elapsed_s, page.found_in) == (SetupState.RUNNING, 10, "the watched folder")
    assert page.account.organisation == "fjordline"


def test_a_step_under_way_is_timed_from_the_end_of_the_one_before() -> None:
    page = page_of("t", ROW, replace(BEGUN, done=done("admit", "assign")))
    assert outcomes(page)[:4] == ["done", "done", "running", "waiting"]
    assert page.steps[2].took_s == 8
    assert "north, south" in page.steps[1].detail


def test_before_the_pivot_everything_waits_for_a_step_that_is_tried_again() -> None:
    journal = replace(BEGUN, done=done("admit", "assign"), trouble={"mint": trouble(temporary=True)})
    page = page_of("t", ROW, journal)
    assert outcomes(page) == ["done", "done", "retrying", *["waiting"] * 5]
    step = page.steps[2]
    assert (step.attempt, step.next_in_s, step.detail) == (3, 8, "Region south does not answer.")
    assert page.state is SetupState.RUNNING


def test_after_the_pivot_a_step_in_trouble_holds_up_no_other() -> None:
    journal = replace(BEGUN, done=done(*STEPS[:4]), trouble={"grant": trouble(temporary=True)})
    page = page_of("t", ROW | {"stage": "protected", "protected_at": NOON}, journal)
    assert outcomes(page)[4:6] == ["retrying", "running"]


def test_what_somebody_must_end_stops_the_set_up_and_says_how() -> None:
    journal = replace(BEGUN, done=done(*STEPS[:5]), trouble={"publish": trouble(temporary=False)})
    page = page_of("t", ROW | {"stage": "protected", "protected_at": NOON}, journal)
    assert (page.state, page.why) == (SetupState.FAILED, "Region south does not answer.")
    assert page.steps[5].outcome is Outcome.FAILED
    assert page.steps[5].remedy is not None


@pytest.mark.parametrize("temporary", [True, False])
def test_mail_and_mesh_never_hold_ready_back(temporary: bool) -> None:  # a parameter of the table
    ready = {"stage": "ready", "protected_at": NOON, "ready_at": NOON + timedelta(seconds=2)}
    journal = replace(BEGUN, done=done(*STEPS[:6]), trouble={"announce": trouble(temporary=temporary)})
    page = page_of("t", ROW | ready, journal)
    assert (page.state, page.elapsed_s, page.live) == (SetupState.READY, 2, False)


def test_an_undone_set_up_shows_why_and_what_starts_it_again() -> None:
    journal = replace(
        BEGUN,
        state=SagaState.UNDONE,
        done=done("admit", "assign"),
        undone=frozenset({"admit", "assign"}),
        outcome=replace_action(trouble(temporary=False)),
        finished=NOON + timedelta(seconds=4),
    )
    page = page_of("t", ROW | {"stage": "undone"}, journal)
    assert outcomes(page) == ["undone", "undone", *["waiting"] * 6]
    assert (page.state, page.elapsed_s) == (SetupState.UNDONE, 4)
    assert page.why == "Region south does not answer."
    assert page.remedy is not None
    assert "openkcm tenants retry t" in page.remedy.action


def replace_action(of: Trouble) -> Trouble:
    return Trouble(
        refusal=of.refusal,
        message=of.message,
        temporary=of.temporary,
        attempts=of.attempts,
        since=of.since,
        next_at=of.next_at,
    )


@pytest.mark.parametrize(
    ("mail", "said"), [(None, "no address"), ("pending", "No mail server"), ("rejected", "refused")]
)
def test_a_mail_that_nobody_took_is_told_of(mail: str | None, said: str) -> None:
    journal = replace(
        BEGUN,
        state=SagaState.DONE,
        done=done(*STEPS[:-1]) | {"notify": replace(done("x")["x"], made={"accepted": 0})},
    )
    page = page_of("t", ROW | {"stage": "ready", "ready_at": NOON, "mail": mail}, journal)
    assert said in page.steps[-1].detail
