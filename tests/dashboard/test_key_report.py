"""What a report says of the rows of a change, and what the pages say of an actor and of the next thing to do."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from openkcm.activation.plan import CHANGE_KEYS, change_keys
from openkcm.crypto.contract import DesiredPolicy
from openkcm.dashboard.change_view import ChangeState, StepState
from openkcm.dashboard.key_asked import Form, Wrong, checked
from openkcm.dashboard.key_change import STEPS, Asked, report
from openkcm.dashboard.key_pages import next_of
from openkcm.keychain.states import KeyVerb
from openkcm.propagation.acknowledged import Acknowledged, RegionAnswer
from openkcm.saga.journal import Trouble
from openkcm.saga.states import SagaState
from openkcm.web.people import asker
from tests.control import NOON
from tests.web.content import ACCOUNT
from tests.web.keys import asking, destroy, found, line, version

TROUBLE = Trouble(
    refusal="region-unavailable",
    message="Dublin is away.",
    temporary=True,
    attempts=2,
    since=NOON,
    next_at=NOON,
)


def asked(**changes: object) -> Asked:
    made = Asked(
        verb="rotate",
        service="default",
        key_id="",
        caller="",
        asked_by="person:#ada",
        asked_at=NOON,
        changed=True,
        epoch=1,
        generation=7,
        saga=1,
        state=SagaState.RUNNING,
        trouble="{}",
        outcome=None,
        version=None,
        now=NOON + timedelta(seconds=1),
        due_at=None,
    )
    return msgspec.structs.replace(made, **changes)


def told(*after_s: float | None, refusal: str = "") -> Acknowledged:
    regions = tuple(
        RegionAnswer(
            region=f"r{number}",
            acknowledged_at=None if after is None else NOON + timedelta(seconds=after),
            tried_at=NOON,
            refusal="" if after is not None else refusal,
        )
        for number, after in enumerate(after_s)
    )
    return Acknowledged(tenant=ACCOUNT.id, epoch=1, generation=7, decided_at=NOON, regions=regions)


def done(*names: str, direction: str = "do") -> list[dict[str, object]]:
    return [{"step": name, "direction": direction, "generation": None, "took_ms": 120} for name in names]


def test_the_steps_are_those_of_the_plan() -> None:
    plan = change_keys(None)  # type: ignore[arg-type]  # nothing is done here
    assert (plan.name, tuple(step.name for step in plan.steps)) == (CHANGE_KEYS, STEPS)


@pytest.mark.parametrize(
    ("regions", "now_s", "state"),
    [
        (told(0.4, 1.2), 2.0, ChangeState.DONE),
        (told(0.4, None), 1.0, ChangeState.REACHING),
        (told(0.4, None), 6.0, ChangeState.PARTLY),
        (told(None, None, refusal="region-unavailable"), 1.0, ChangeState.PARTLY),
    ],
)
def test_a_decision_is_done_when_every_region_has_said_so(
    regions: Acknowledged, now_s: float, state: ChangeState
) -> None:
    row = asked(verb="revoke", saga=None, state=None, trouble=None, now=NOON + timedelta(seconds=now_s))
    page = report(ACCOUNT, "page-1", row, [], regions)
    assert page.state is state
    assert page.watched is (state is not ChangeState.DONE)
    assert [page.after_s(each.acknowledged_at) for each in page.regions if each.acknowledged_at] == list(
        (0.4, 1.2)[: page.confirmed]
    )


def test_what_changed_nothing_is_said_to_and_followed_no_further() -> None:
    page = report(ACCOUNT, "page-1", asked(saga=None, state=None, trouble=None, changed=False), [], told(0.1))
    assert (page.state, page.watched) == (ChangeState.UNCHANGED, False)


@pytest.mark.parametrize(
    ("ended", "by", "said"),
    [
        ("destroyed", "", ""),
        ("stopped", "used in local", "used in local"),
        ("kept", "person:#ada", "ada"),
        (None, None, ""),
    ],
)
def test_the_report_of_a_destruction_says_what_it_came_to(
    ended: str | None, by: str | None, said: str
) -> None:
    row = asked(verb="destroy", saga=None, state=None, trouble=None, ended=ended, ended_at=NOON, ended_by=by)
    page = report(ACCOUNT, "page-1", row, [], told(0.1))
    assert (page.ended, page.ended_at, page.ended_by) == (ended or "", NOON, said)


def test_the_first_step_that_is_not_done_is_under_way_and_one_in_trouble_says_why() -> None:
    states = [step.state for step in report(ACCOUNT, "x", asked(), done("prepare"), None).steps]
    assert states == [StepState.DONE, StepState.RUNNING, StepState.WAITING, StepState.WAITING]
    trouble = msgspec.json.encode({"mint": TROUBLE}).decode()
    steps = report(ACCOUNT, "x", asked(trouble=trouble), done("prepare"), None).steps
    assert [step.state for step in steps][1:3] == [StepState.RETRYING, StepState.WAITING]
    assert steps[1].detail == "Dublin is away."


def test_a_service_that_is_made_has_no_old_version() -> None:
    made, rotated = (report(ACCOUNT, "r", asked(verb=verb), [], None) for verb in ("create", "rotate"))
    assert (made.creates, rotated.creates) == (True, False)
    assert [step.name for step in made.steps] == [step.name for step in rotated.steps]
    assert "version" not in " ".join(step.title for step in made.steps)


def test_what_was_taken_back_says_why_and_nothing_of_it_runs() -> None:
    outcome = msgspec.json.encode(TROUBLE).decode()
    rows = [*done("prepare", "mint"), *done("mint", "prepare", direction="undo")]
    page = report(ACCOUNT, "x", asked(state=SagaState.UNDONE, outcome=outcome), rows, None)
    assert (page.state, page.why) == (ChangeState.UNDONE, "Dublin is away.")
    assert {step.state for step in page.steps} == {StepState.UNDONE, StepState.WAITING}


@pytest.mark.parametrize(
    ("actor", "words"),
    [
        ("person:https://login.example#ada@x", "ada@x"),
        ("person:#ada", "ada"),
        ("operator:kim", "kim, who runs this installation"),
        ("schedule", "its schedule"),
        ("activation", "OpenKCM itself"),
        ("used in eu-1", "used in eu-1"),
    ],
)
def test_an_actor_is_named_as_people_know_them(actor: str, words: str) -> None:
    assert asker(actor) == words


@pytest.mark.parametrize("typed", ["default", " default ", "default\n"])
def test_spaces_around_a_name_do_not_matter(typed: str) -> None:
    checked(asking(KeyVerb.REVOKE), Form(phrase=typed))


@pytest.mark.parametrize("typed", ["", " ", "Default", "defaul", "default x", "d\u0435fault"])
def test_any_other_name_confirms_nothing(typed: str) -> None:
    with pytest.raises(Wrong, match="Nothing was changed"):
        checked(asking(KeyVerb.REVOKE), Form(phrase=typed))


def test_the_next_thing_is_what_is_strictest() -> None:
    lines = (line(""), line("a", "read-only"), line("b", "revoked"))
    assert (next_of(found(*lines)).verb, next_of(found(*lines)).service) == (KeyVerb.RESTORE, "b")
    assert next_of(found(*lines[:2])).verb == KeyVerb.ENABLE
    away = msgspec.structs.replace(found(*lines), presence="uninstalled")
    assert "what stops keys can be asked for" in next_of(away).text
    gone = line("d", "revoked", versions=(version(1, "destroyed", destroy("destroyed")),), rotates_at=NOON)
    assert next_of(found(line("", rotates_at=NOON), gone)).verb == "", "what is destroyed cannot be restored"
    leaving = line("c", "revoked", versions=(version(1, "active", destroy()),))
    refused = msgspec.structs.replace(
        leaving,
        actions=tuple(
            msgspec.structs.replace(each, why_not="Keep it first.") if each.verb == "restore" else each
            for each in leaving.actions
        ),
    )
    kept = next_of(found(line(""), refused))
    assert (kept.verb, kept.service) == (KeyVerb.KEEP, "c")


@pytest.mark.parametrize(
    ("verb", "uses"),
    [
        ("revoke", {"encrypt": 30.0, "decrypt": 600.0}),
        ("remove-caller", {"encrypt": 30.0, "decrypt": 600.0}),
        ("read-only", {"encrypt": 30.0}),
        ("rotate", {}),
        ("add-caller", {}),
    ],
)
def test_a_stop_names_until_when_applications_go_on_with_data_keys_that_they_hold(
    verb: str, uses: dict[str, float]
) -> None:
    lives = DesiredPolicy(decrypting_s=600.0)
    page = report(ACCOUNT, "x", asked(verb=verb, saga=None, state=None), (), told(1.0, 4.0), lives)
    assert {held.use: held.life_s for held in page.held} == uses
    assert page.finished_at is not None
    for held in page.held:
        assert held.ends_at == page.finished_at + timedelta(seconds=held.life_s)
    waits = report(ACCOUNT, "x", asked(verb=verb, saga=None, state=None), (), told(1.0, None), lives)
    assert all(held.ends_at is None for held in waits.held)
    assert not report(
        ACCOUNT, "x", asked(verb=verb, saga=None, state=None, changed=False), (), None, lives
    ).held
