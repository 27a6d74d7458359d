"""What may be done while a root key does not answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from openkcm.crypto.bounds import Choice, Policy, worst_case
from openkcm.crypto.moments import UNKNOWN_S, Clocks, Moment, confirmed, passed_s
from openkcm.crypto.windows import (
    Decision,
    Heard,
    Link,
    Verdict,
    both,
    control_decision,
    is_shared,
    store_decision,
)
from openkcm.kernel.clock import SetClock
from openkcm.sdk.key_store import Outage
from openkcm.sdk.refusals import Refusal
from tests.crypto.refusing import refused

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = 3600.0, 86_400.0


def at(seconds: float, *, off: float = 0.0, run: str = "one", database: float | None = 0.0) -> Moment:
    """A moment ``seconds`` after the start, with a wall clock that is ``off``."""
    true = START + timedelta(seconds=seconds)
    return Moment(
        wall=true + timedelta(seconds=off),
        database=None if database is None else true + timedelta(seconds=database),
        control=None,
        monotonic=seconds if run == "one" else seconds - 1000.0,
        run=run,
    )


def heard(
    outage: Outage, *, proven: bool = False, tenant: str = "acme", identity: str = "role", code: str = "c"
) -> Heard:
    return Heard(key_id="00", tenant=tenant, identity=identity, outage=outage, code=code, proven=proven)


def after(link: Link, outage: Outage, seconds: float, *, proven: bool = False) -> Link:
    return link.failed(heard(outage, proven=proven), at(seconds))


def decided(link: Link, seconds: float, policy: Policy | None = None) -> Decision:
    return store_decision(link, policy or Policy(), at(seconds), None)


ANSWERED = Link(proved=at(0))


def test_no_answer_is_survived_for_the_outage_window_from_the_last_proof() -> None:
    link = after(ANSWERED, Outage.NO_ANSWER, HOUR)
    assert decided(link, DAY - 1) == Decision(Verdict.SERVE, 1.0)
    assert decided(link, DAY).verdict is Verdict.WINDOW_OVER
    assert decided(link.answered(at(DAY)), DAY + 1).verdict is Verdict.SERVE


def test_a_doubtful_answer_is_survived_for_a_window_of_its_own() -> None:
    link = after(ANSWERED, Outage.DOUBTFUL, 20)
    assert decided(link, HOUR - 1).verdict is Verdict.SERVE
    assert decided(link, HOUR).verdict is Verdict.WINDOW_OVER


@pytest.mark.parametrize("order", [(Outage.NO_ANSWER, Outage.DOUBTFUL), (Outage.DOUBTFUL, Outage.NO_ANSWER)])
def test_the_shortest_window_of_the_classes_seen_applies_and_a_change_starts_nothing_anew(
    order: tuple[Outage, Outage],
) -> None:
    link = after(after(ANSWERED, order[0], 20), order[1], HOUR - 20)
    assert decided(link, HOUR - 1).verdict is Verdict.SERVE
    assert decided(link, HOUR).verdict is Verdict.WINDOW_OVER


def test_a_proven_refusal_suspends_at_once_until_the_key_answers() -> None:
    link = after(ANSWERED, Outage.REFUSED, 20, proven=True)
    with refused(Refusal.KEY_SUSPENDED):
        decided(link, 20).check()
    still = after(link, Outage.NO_ANSWER, 40)
    assert decided(still, 40).verdict is Verdict.SUSPENDED
    decided(still.answered(at(60)), 60).check()


def test_a_refusal_that_is_not_proven_yet_is_doubtful() -> None:
    link = after(ANSWERED, Outage.REFUSED, 20)
    assert decided(link, 20).verdict is Verdict.SERVE
    assert decided(link, HOUR).verdict is Verdict.WINDOW_OVER
    assert decided(link, 20, Policy(doubtful_s=0.0)).verdict is Verdict.WINDOW_OVER


def test_the_same_refusal_of_several_tenants_keys_through_one_identity_is_doubtful() -> None:
    mine = heard(Outage.REFUSED, proven=True)
    assert is_shared(mine, [heard(Outage.REFUSED, tenant="blue")])
    assert not is_shared(mine, [mine])
    assert not is_shared(mine, [heard(Outage.REFUSED, tenant="blue", identity="other")])
    assert not is_shared(mine, [heard(Outage.REFUSED, tenant="blue", code="other")])
    assert not is_shared(mine, [heard(Outage.DOUBTFUL, tenant="blue")])
    link = ANSWERED.failed(mine, at(20), shared=True)
    assert decided(link, HOUR - 1).verdict is Verdict.SERVE
    assert decided(link, HOUR).verdict is Verdict.WINDOW_OVER


def test_a_failure_from_before_the_last_proof_says_nothing() -> None:
    assert ANSWERED.answered(at(30)).failed(heard(Outage.DOUBTFUL), at(20)).seen == frozenset()


def test_fail_closed_stops_at_the_first_probe_that_is_not_answered_or_late() -> None:
    policy = Policy(choice=Choice.FAIL_CLOSED)
    assert decided(ANSWERED, 25, policy).verdict is Verdict.SERVE
    assert decided(ANSWERED, 30, policy).verdict is Verdict.WINDOW_OVER
    with refused(Refusal.KEY_STORE_SILENT):
        decided(after(ANSWERED, Outage.NO_ANSWER, 20), 20, policy).check()


def test_the_choices_have_their_own_windows() -> None:
    assert [Policy(choice=choice).window_s for choice in Choice] == [DAY, HOUR, 0.0]
    assert Policy(choice=Choice.MEMORY_ONLY, doubtful_s=DAY).doubt_s == HOUR


@pytest.mark.parametrize(
    "wrong",
    [
        {"outage_s": DAY + 1},
        {"outage_s": -1.0},
        {"choice": Choice.FAIL_CLOSED, "outage_s": 1.0},
        {"doubtful_s": -1.0},
        {"governance_s": 600.0},
        {"decrypting_s": 30.0},
        {"encrypting_s": 0.0},
    ],
)
def test_a_window_out_of_its_range_is_refused(wrong: dict[str, float]) -> None:
    with refused(Refusal.BAD_REQUEST):
        Policy(**wrong)  # type: ignore[arg-type]  # one of several fields


def test_cut_off_from_control_everything_stops_when_the_governance_window_is_over() -> None:
    policy = Policy(governance_s=300.0)
    assert control_decision(at(0), policy, at(299), None).verdict is Verdict.SERVE
    with refused(Refusal.CUT_OFF):
        control_decision(at(0), policy, at(300), None).check()
    assert control_decision(None, policy, at(0), None).verdict is Verdict.CUT_OFF


def test_of_two_decisions_the_one_that_stops_or_ends_first_counts() -> None:
    long, short, over = Decision(Verdict.SERVE, 9.0), Decision(Verdict.SERVE, 1.0), Decision(Verdict.CUT_OFF)
    assert both(long, short) == both(short, long) == short
    assert both(long, over) == both(over, long) == over


@pytest.mark.parametrize("off", [-2 * DAY, -HOUR, 0.0])
@pytest.mark.parametrize("run", ["one", "two"])
def test_a_wall_clock_that_is_set_back_lengthens_nothing(off: float, run: str) -> None:
    assert passed_s(at(0), at(DAY, off=off, run=run), at(HOUR).wall) >= DAY


def test_a_wall_clock_that_is_set_forward_shortens_and_comes_back() -> None:
    assert passed_s(at(0), at(60, off=DAY), None) == DAY + 60
    assert confirmed(at(0).wall, at(60, off=DAY)) == at(60).wall
    assert passed_s(at(0), at(70, run="two"), confirmed(at(0).wall, at(60, off=DAY))) == 70


def test_where_all_clocks_were_set_back_across_a_restart_time_is_unknown_until_one_has_come_to_the_mark() -> (
    None
):
    mark = at(HOUR).wall
    assert passed_s(at(0), at(HOUR + 60, off=-2 * HOUR, run="two", database=-2 * HOUR), mark) == UNKNOWN_S
    assert passed_s(at(0), at(HOUR + 60, off=-2 * HOUR, run="two", database=None), mark) == UNKNOWN_S
    assert passed_s(at(0), at(HOUR + 60, off=-2 * HOUR, run="two"), mark) == HOUR + 60


def test_the_mark_moves_only_as_far_as_another_clock_confirms_and_never_back() -> None:
    assert confirmed(None, at(60, database=None)) is None
    assert confirmed(None, at(60)) == at(60).wall
    assert confirmed(at(60).wall, at(90, off=-HOUR)) == at(60).wall


def test_what_others_said_of_time_is_carried_on_and_an_older_word_is_not_heard() -> None:
    clock = SetClock(START)
    clocks = Clocks(clock)
    assert (clocks.now().database, clocks.now().control) == (None, None)
    clocks.heard_control(START)
    clocks.heard_database(START)
    clock.advance(60)
    clocks.heard_control(START)
    minute = START + timedelta(seconds=60)
    assert (clocks.now().control, clocks.now().database, clocks.now().wall) == (minute, minute, minute)


def test_the_worst_case_has_a_row_for_each_way_with_the_tenants_numbers() -> None:
    found = worst_case(Policy(governance_s=300.0, decrypting_s=60.0))
    rows = {bound.way: (bound.connected_s, bound.cut_off_s) for bound in found.bounds}
    assert rows == {
        "key-store": (35.0, DAY),
        "control": (2.0, 300.0),
        "database": (1.0, 30.0),
        "encrypting": (15.0, 30.0),
        "decrypting": (30.0, 60.0),
    }
    assert (found.store_connected_s, found.store_cut_off_s) == (35 + 1 + 30, DAY + 30 + 60)
    assert (found.revoke_connected_s, found.revoke_cut_off_s) == (2 + 1 + 30, 300 + 30 + 60)
    assert (found.outage_s, found.doubtful_s, found.survives_restart) == (DAY, HOUR, True)
    closed = worst_case(Policy(choice=Choice.FAIL_CLOSED))
    assert (closed.bounds[0].cut_off_s, closed.survives_restart) == (25.0, False)


def test_whoever_encrypts_can_open_as_well_and_the_worst_case_says_so() -> None:
    found = {bound.way: bound for bound in worst_case(Policy(encrypting_s=900.0, decrypting_s=300.0)).bounds}
    assert (found["encrypting"].connected_s, found["encrypting"].cut_off_s) == (150.0, 300.0)
    assert (found["decrypting"].connected_s, found["decrypting"].cut_off_s) == (300.0, 300.0)
    usual = {bound.way: bound for bound in worst_case(Policy()).bounds}
    assert (usual["encrypting"].cut_off_s, usual["decrypting"].connected_s) == (30.0, 150.0)
