"""The journal of a set-up, as its page tells it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from openkcm.provisioning import lines, plan
from openkcm.provisioning.lines import STEPS, Entry, Journal
from openkcm.provisioning.progress import page_of
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
    "presence": "present",
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
    assert (lines.PLAN, PIVOT) == (plan.NEW_TENANT, plan.PIVOT)
    assert set(lines.BACKGROUND) == made.background


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
    assert outcomes(page) == ["undone", "undone", *["not-begun"] * 6]
    assert page.watched, "somebody may start it again"
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
    assert (page.steps[-1].outcome, page.mail_sent, page.mail_waits) == (Outcome.SKIPPED, False, False)
    assert page.current is None


def test_while_it_is_undone_the_steps_tell_of_the_way_back() -> None:
    journal = replace(BEGUN, state=SagaState.UNDOING, done=done("admit", "assign"))
    page = page_of("t", ROW, journal)
    assert outcomes(page) == ["done", "done", "taking-back", *["not-begun"] * 5]
    assert page.steps[2].title(None) == "Putting the platform-managed key out of use"
    page = page_of("t", ROW, replace(journal, undone=frozenset({"mint"})))
    assert outcomes(page)[:4] == ["done", "taking-back", "undone", "not-begun"]
    waits = replace(journal, trouble={"mint": trouble(temporary=True)})
    step = page_of("t", ROW, waits).steps[2]
    assert (step.outcome, step.back, step.detail) == (
        Outcome.RETRYING,
        True,
        "Region south does not answer.",
    )
    stuck = replace(waits, state=SagaState.UNDO_FAILED, trouble={"mint": trouble(temporary=False)})
    page = page_of("t", ROW | {"stage": "undone"}, stuck)
    assert outcomes(page) == ["done", "done", "failed", *["not-begun"] * 5]


def test_a_try_whose_time_has_come_is_under_way() -> None:
    journal = replace(BEGUN, done=done("admit", "assign"), trouble={"mint": trouble(temporary=True)})
    for now_s, left_s in ((17.4, 1), (18, 0), (25, 0)):
        page = page_of("t", ROW | {"now": NOON + timedelta(seconds=now_s)}, journal)
        assert page.steps[2].next_in_whole_s == left_s


@pytest.mark.parametrize(
    ("told", "owner_told", "operator", "named"),
    [
        (False, False, "desk@example.org", ()),
        (True, True, "", ("you",)),
        (True, False, "desk@example.org", ("the operator",)),
        (True, True, "desk@example.org", ("you", "the operator")),
        (True, False, "", ()),
    ],
)
def test_only_those_who_were_told_are_named(
    told: bool,  # a parameter of the table
    owner_told: bool,  # a parameter of the table
    operator: str,
    named: tuple[str, ...],
) -> None:
    late = ROW | {"now": NOON + timedelta(seconds=90)}
    page = page_of("t", late, replace(BEGUN, told=told, owner_told=owner_told), operator=operator)
    assert (page.late, page.told) == (True, named)


def test_who_will_be_told_has_an_address() -> None:
    assert page_of("t", ROW, BEGUN, operator="desk@example.org").tells == ("you", "the operator")
    assert page_of("t", ROW | {"creator_username": "mara"}, BEGUN).tells == ()


def test_nobody_is_made_owner_of_what_nobody_is_known_to_have_made() -> None:
    nobody = ROW | {"stage": "ready", "ready_at": NOON, "creator_username": None}
    grant = page_of("t", nobody, replace(BEGUN, done=done(*STEPS[:6]))).steps[4]
    assert (grant.outcome, grant.title(None)) == (Outcome.SKIPPED, "Owner not known yet")
    grant = page_of("t", nobody | {"granted": True}, replace(BEGUN, done=done(*STEPS[:6]))).steps[4]
    assert grant.outcome is Outcome.DONE
