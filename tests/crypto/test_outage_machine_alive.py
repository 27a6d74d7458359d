"""The outage machine is alive: each of these mistakes, planted in the product's rules, is found by it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import datetime

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from openkcm.crypto import exchange
from openkcm.crypto.exchange import Document, Held, Next, Report, Step
from openkcm.crypto.lease_files import Stamp
from openkcm.crypto.leases import LeaseStore
from openkcm.crypto.logbook import Logbook
from openkcm.crypto.moments import Moment
from openkcm.crypto.tightenings import Tight
from openkcm.crypto.windows import Decision, Heard, Link, Verdict
from tests.crypto import outage_control, outage_region
from tests.crypto.outage_machine import OutageMachine

Plant = Callable[[pytest.MonkeyPatch], None]
FIND = settings(
    max_examples=400,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def a_change_of_class_starts_the_window_anew(patch: pytest.MonkeyPatch) -> None:
    right = Link.failed

    def failed(self: Link, heard: Heard, sent: Moment, *, shared: bool = False) -> Link:
        after = right(self, heard, sent, shared=shared)
        return after if after.seen == self.seen else msgspec.structs.replace(after, proved=sent)

    patch.setattr(Link, "failed", failed)


def the_last_class_alone_counts(patch: pytest.MonkeyPatch) -> None:
    right = Link.failed

    def failed(self: Link, heard: Heard, sent: Moment, *, shared: bool = False) -> Link:
        after = right(self, heard, sent, shared=shared)
        return msgspec.structs.replace(after, seen=right(Link(proved=self.proved), heard, sent).seen)

    patch.setattr(Link, "failed", failed)


def a_lease_survives_a_revoke(patch: pytest.MonkeyPatch) -> None:
    def revoke(self: LeaseStore, tenants: Collection[str], stamp: Stamp) -> None:
        return

    patch.setattr(LeaseStore, "revoke", revoke)


def a_clock_set_back_lengthens(patch: pytest.MonkeyPatch) -> None:
    def passed_s(since: Moment, now: Moment, mark: datetime | None) -> float:
        return (now.wall - since.wall).total_seconds()

    patch.setattr("openkcm.crypto.windows.passed_s", passed_s)


def a_restart_forgets_what_was_seen(patch: pytest.MonkeyPatch) -> None:
    right = Logbook.load

    def load(self: Logbook) -> None:
        right(self)
        self.links = {key: Link(proved=link.proved) for key, link in self.links.items()}

    patch.setattr(Logbook, "load", load)


def a_restart_forgets_when_the_key_answered(patch: pytest.MonkeyPatch) -> None:
    right = Logbook.load

    def load(self: Logbook) -> None:
        right(self)
        self.links = {}

    patch.setattr(Logbook, "load", load)


def control_is_believed_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("openkcm.crypto.links.control_decision", lambda *_: Decision(Verdict.SERVE, float("inf")))


def an_old_epoch_is_accepted(patch: pytest.MonkeyPatch) -> None:
    def receive(held: Held, document: Document, *, epoch: int) -> Step:
        same = held.known is not None and held.known[1] == document.hash and not held.set_back
        return Step.SAME if same else Step.APPLY

    patch.setattr(outage_region, "receive", receive)


def a_higher_number_is_taken_for_knowledge(patch: pytest.MonkeyPatch) -> None:
    right = exchange.receive

    def receive(held: Held, document: Document, *, epoch: int) -> Step:
        known = held.known
        knowing = replace(document, replaces=document.replaces | ({known[1]} if known else set()))
        return right(held, knowing, epoch=epoch)

    patch.setattr(outage_region, "receive", receive)


def the_newest_wins_instead_of_the_strictest(patch: pytest.MonkeyPatch) -> None:
    right = exchange.union

    def union(own: Document, reports: Iterable[Report], *given: object, **named: object) -> Document:
        return replace(right(own, reports, *given, **named), access=own.access)  # type: ignore[arg-type]  # as it came

    patch.setattr(outage_control, "union", union)


def a_restored_control_forgets_keys(patch: pytest.MonkeyPatch) -> None:
    right = exchange.union

    def union(own: Document, reports: Iterable[Report], *given: object, **named: object) -> Document:
        return replace(right(own, reports, *given, **named), keys=own.keys)  # type: ignore[arg-type]  # as it came

    patch.setattr(outage_control, "union", union)


def a_database_that_was_set_back_is_served(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Held, "set_back", property(lambda self: False))


def a_word_does_not_count_beside_a_document_that_knows_of_it(patch: pytest.MonkeyPatch) -> None:
    right = outage_region.ModelRegion._follow

    def follow(self: outage_region.ModelRegion, rows: Iterable[Tight]) -> None:
        held = self.database.document
        known = frozenset() if held is None else held.replaces | {held.hash}
        right(self, [row for row in rows if row.lifted or row.hash not in known])

    patch.setattr(outage_region.ModelRegion, "_follow", follow)


def the_same_document_once_more_lifts_a_word(patch: pytest.MonkeyPatch) -> None:
    right = exchange.lifts
    patch.setattr(
        "openkcm.crypto.tightenings.lifts",
        lambda step, *of: right(Step.APPLY if step is Step.SAME else step, *of),
    )


def any_newer_document_lifts_a_word(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("openkcm.crypto.tightenings.lifts", lambda step, *_: step is Step.APPLY)


def the_decision_alone_lifts_its_word(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("openkcm.crypto.tightenings.lifts", lambda _, document, word: word.hash == document.hash)


def a_word_is_stored_and_does_not_restrict(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(outage_region, "restricted", lambda access, services, _: (access, services))


def a_word_beside_the_newest_is_left_there(patch: pytest.MonkeyPatch) -> None:
    right = exchange.after

    def after(report: Report, newest: Document, history: Collection[str]) -> Next:
        return Next.DONE if report.known[1] == newest.hash else right(report, newest, history)

    patch.setattr(outage_control, "after", after)


class Time(OutageMachine):
    only = "time"


class Decisions(OutageMachine):
    only = "decisions"


PLANTED: list[tuple[Plant, type[OutageMachine], str]] = [
    (a_change_of_class_starts_the_window_anew, Time, "beyond the window of an outage"),
    (the_last_class_alone_counts, Time, "beyond the window of an outage"),
    (a_clock_set_back_lengthens, Time, "beyond the window of an outage|beyond the governance window"),
    (a_restart_forgets_what_was_seen, Time, "beyond the window of an outage"),
    (a_restart_forgets_when_the_key_answered, Time, "not served within every bound"),
    (control_is_believed_for_ever, Time, "beyond the governance window"),
    (a_lease_survives_a_revoke, Decisions, "a lease outlived a revoke"),
    (an_old_epoch_is_accepted, Decisions, "key is lost|against a revoke"),
    (a_higher_number_is_taken_for_knowledge, Decisions, "key is lost|against a revoke"),
    (the_newest_wins_instead_of_the_strictest, Decisions, "against a revoke"),
    (a_restored_control_forgets_keys, Decisions, "key is lost"),
    (the_same_document_once_more_lifts_a_word, Decisions, "against a word"),
    (any_newer_document_lifts_a_word, Decisions, "against a word|against a revoke"),
    (the_decision_alone_lifts_its_word, Decisions, "find no end|word does not count"),
    (a_word_is_stored_and_does_not_restrict, Decisions, "was refused|against a word"),
    (a_word_beside_the_newest_is_left_there, Decisions, "word does not count"),
    (a_word_does_not_count_beside_a_document_that_knows_of_it, Decisions, "was refused|against a word"),
    (a_database_that_was_set_back_is_served, Decisions, "word does not count|no agreement|against a revoke"),
]


@pytest.mark.parametrize(
    ("plant", "machine", "found"), PLANTED, ids=[plant.__name__ for plant, *_ in PLANTED]
)
def test_the_machine_finds_that(
    plant: Plant, machine: type[OutageMachine], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=found):
        run_state_machine_as_test(machine, settings=FIND)
