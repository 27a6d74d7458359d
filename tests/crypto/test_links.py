"""The ways to the root keys as a process knows them, across its restarts and with a disk that says no."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from openkcm.crypto.bounds import Choice, Policy
from openkcm.crypto.leases import LeaseStore
from openkcm.crypto.links import Change, Links, Watched
from openkcm.crypto.logbook import Logbook
from openkcm.crypto.moments import Clocks
from openkcm.crypto.place import Place, open_place
from openkcm.crypto.rootfile import Root
from openkcm.crypto.rounds import Worth
from openkcm.crypto.windows import Heard, Verdict
from openkcm.kernel.clock import SetClock
from openkcm.sdk.key_store import Outage
from openkcm.sdk.refusals import Refusal
from tests.crypto.refusing import refused

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY, OTHER = bytes(16), bytes([1]) * 16
L2 = bytes(range(32))
ROOT = Root({1: b"r" * 32}, region="local")
STAMP = (1, 1, 1)
HOUR, DAY = 3600.0, 86_400.0


class Process:
    """A crypto process's links; its clocks are right, and its database answers."""

    def __init__(self, folder: Path, policy: Policy) -> None:
        self.folder, self.policy = folder, policy
        self.clock = SetClock(START)
        self.changes: list[Change] = []
        self.place: Place | None = None
        self.restart()
        self.links.agreed()

    def restart(self, database: datetime | None = None) -> None:
        self.close()
        self.place = open_place(self.folder, host=b"host")
        self.clocks = Clocks(self.clock)
        self.clocks.heard_database(database or self.clock.now())
        self.leases = LeaseStore(self.place, ROOT)
        self.links = Links(
            self.clocks, Logbook(self.place, ROOT), self.leases, lambda _, change: self.changes.append(change)
        )
        self.links.load({})
        for key, tenant in ((KEY, "acme"), (OTHER, "blue")):
            self.links.watch(Watched(tenant=tenant, key_id=key, policy=self.policy))

    def close(self) -> None:
        if self.place is not None:
            self.place.close()
            self.place = None

    def answers(self, key: bytes = KEY) -> None:
        self.links.answered(key, self.clocks.now(), l2=L2, stamp=STAMP)
        self.links.tick()

    def fails(self, outage: Outage, *, key: bytes = KEY, proven: bool = False) -> None:
        tenant = "acme" if key == KEY else "blue"
        heard = Heard(
            key_id=key.hex(), tenant=tenant, identity="role", outage=outage, code="denied", proven=proven
        )
        self.links.failed(heard, self.clocks.now())

    def verdict(self) -> Verdict:
        return self.links.decision(KEY).verdict


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    found = Process(tmp_path / "leases", Policy())
    yield found
    found.close()


def test_a_day_of_outage_less_a_probe_with_restarts_fails_no_decrypt_and_a_revoke_in_it_bites(
    process: Process,
) -> None:
    failed, restarts = 0, 0
    process.answers()
    probes = int(DAY / 20) - 1
    for number in range(probes):
        process.clock.advance(20)
        process.clocks.heard_database(process.clock.now())
        process.links.agreed()
        if number % 720 == 500:  # every four hours
            process.restart()
            restarts += 1
        process.fails(Outage.NO_ANSWER)
        failed += process.links.decision(KEY).verdict is not Verdict.SERVE
        if number % 100 == 0:
            process.links.tick()
            failed += process.links.recover(KEY) != L2
    assert (failed, restarts) == (0, 6)
    assert process.links.recover(KEY) == L2
    process.links.revoke(["acme"], (1, 1, 2))
    assert process.links.recover(KEY) is None
    process.clock.advance(21)
    assert process.verdict() is Verdict.WINDOW_OVER


def test_a_revoke_in_the_middle_of_an_outage_bites_at_once_and_ends_with_a_restore_and_an_answer(
    process: Process,
) -> None:
    process.answers()
    process.clock.advance(DAY / 2)
    process.fails(Outage.NO_ANSWER)
    process.restart()
    assert process.links.recover(KEY) == L2
    process.links.revoke(["acme"], (1, 1, 2))
    assert (process.links.recover(KEY), list(process.folder.glob("*-*"))) == (None, [])
    process.restart()
    assert process.links.recover(KEY) is None
    process.links.answered(KEY, process.clocks.now(), l2=L2, stamp=(1, 1, 3))
    assert process.links.recover(KEY) == L2


def test_what_was_seen_outlasts_a_restart(process: Process) -> None:
    process.answers()
    process.clock.advance(20)
    process.fails(Outage.DOUBTFUL)
    process.restart()
    process.clock.advance(HOUR - 21)
    assert process.links.recover(KEY) == L2
    process.clock.advance(1)
    assert (process.verdict(), process.links.recover(KEY)) == (Verdict.WINDOW_OVER, None)
    process.answers()
    assert process.verdict() is Verdict.SERVE


def test_a_proven_refusal_outlasts_a_restart_and_leaves_no_lease(process: Process) -> None:
    process.answers()
    process.fails(Outage.REFUSED)
    assert process.verdict() is Verdict.SERVE
    process.fails(Outage.REFUSED, proven=True)
    assert process.verdict() is Verdict.SUSPENDED
    process.restart()
    assert (process.verdict(), process.links.recover(KEY)) == (Verdict.SUSPENDED, None)
    assert list(process.folder.glob("*.secret")) == []
    process.answers()
    assert (process.verdict(), process.links.recover(KEY)) == (Verdict.SERVE, L2)
    assert process.changes == [Change.DOUBTFUL, Change.SUSPENDED, Change.HEALED]


def test_the_same_refusal_of_two_tenants_keys_through_one_identity_suspends_neither_that_comes_later(
    process: Process,
) -> None:
    process.answers()
    process.answers(OTHER)
    process.fails(Outage.REFUSED, key=OTHER)
    process.fails(Outage.REFUSED)
    process.fails(Outage.REFUSED, proven=True)
    process.fails(Outage.REFUSED, key=OTHER, proven=True)
    assert [process.links.decision(key).verdict for key in (KEY, OTHER)] == [Verdict.SERVE] * 2
    process.answers(OTHER)  # then it is not our mistake
    process.fails(Outage.REFUSED, proven=True)
    assert process.verdict() is Verdict.SUSPENDED


def test_alarms_are_raised_once_for_each_change(process: Process) -> None:
    process.answers()
    for outage in (Outage.NO_ANSWER, Outage.NO_ANSWER, Outage.DOUBTFUL, Outage.NO_ANSWER):
        process.fails(outage)
    process.answers()
    process.answers()
    assert process.changes == [Change.NO_ANSWER, Change.DOUBTFUL, Change.HEALED]


@pytest.mark.parametrize("choice", [Choice.MEMORY_ONLY, Choice.FAIL_CLOSED])
def test_without_a_lease_nothing_of_the_key_is_on_the_disk(process: Process, choice: Choice) -> None:
    process.answers()
    process.policy = Policy(choice=choice)
    process.restart()
    process.answers()
    assert list(process.folder.glob("*-*")) == []
    assert (process.verdict(), process.links.recover(KEY)) == (Verdict.SERVE, None)


def test_a_key_of_which_only_a_lease_is_known_may_have_been_doubtful(process: Process) -> None:
    process.answers()
    (process.folder / "logbook").write_bytes(b"damaged")
    process.restart()
    assert process.verdict() is Verdict.CUT_OFF
    process.links.agreed()
    assert process.links.recover(KEY) == L2
    process.clock.advance(HOUR)
    process.links.agreed()
    assert process.verdict() is Verdict.WINDOW_OVER


def test_a_key_that_never_answered_or_is_not_watched_is_not_used(process: Process) -> None:
    process.fails(Outage.NO_ANSWER)
    assert process.verdict() is Verdict.WINDOW_OVER
    assert process.links.decision(b"x" * 16).verdict is Verdict.WINDOW_OVER
    process.answers()
    assert process.verdict() is Verdict.SERVE


def test_a_tenant_that_control_does_not_agree_on_keeps_its_last_agreement_across_a_restart(
    process: Process,
) -> None:
    process.answers()
    process.clock.advance(DAY - 1)
    process.links.agreed(but=frozenset({"acme"}))
    process.answers()
    process.answers(OTHER)
    process.restart()
    process.clock.advance(1)
    assert (process.verdict(), process.links.decision(OTHER).verdict) == (Verdict.CUT_OFF, Verdict.SERVE)
    process.links.agreed()
    assert process.verdict() is Verdict.SERVE


def test_a_logbook_of_another_place_or_open_to_others_is_not_believed(
    process: Process, tmp_path: Path
) -> None:
    process.answers()
    path = process.folder / "logbook"
    path.chmod(0o644)
    process.restart()
    assert process.verdict() is Verdict.CUT_OFF
    process.links.agreed()
    process.answers()
    sibling = Process(tmp_path / "sibling", Policy())
    (tmp_path / "sibling" / "logbook").write_bytes(path.read_bytes())
    (tmp_path / "sibling" / "logbook").chmod(0o600)
    sibling.restart()
    assert sibling.verdict() is Verdict.WINDOW_OVER
    sibling.close()
    process.restart()
    assert process.verdict() is Verdict.SERVE


def test_a_full_disk_takes_nothing_from_memory_and_what_could_not_be_tightened_is_off_the_disk(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.answers()

    def full(*given: object) -> int:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        process.fails(Outage.DOUBTFUL)
        process.clock.advance(HOUR)
        with refused(Refusal.DISK_FULL):
            process.answers()
        assert process.verdict() is Verdict.SERVE
        with refused(Refusal.DISK_FULL):
            process.links.tick()
    process.restart()  # it knows less than it did, and never more
    assert process.links.recover(KEY) is None
    process.answers()
    process.restart()
    assert process.links.recover(KEY) == L2


def test_a_clock_that_is_wrong_at_the_start_destroys_nothing(process: Process) -> None:
    process.answers()
    process.clock.jump(10 * DAY)
    process.restart(database=START + timedelta(seconds=1))
    process.links.tick()
    assert process.verdict() is Verdict.WINDOW_OVER
    process.clock.jump(-10 * DAY)
    assert process.links.recover(KEY) == L2


def test_a_key_is_worth_asking_for_where_it_is_used_or_can_heal(process: Process) -> None:
    assert process.links.worth(b"x" * 16) is Worth.NOBODY
    process.answers()
    assert process.links.worth(KEY) is Worth.SERVED
    process.fails(Outage.REFUSED, proven=True)
    assert process.links.worth(KEY) is Worth.STOPPED
    process.clock.advance(DAY)
    assert process.links.worth(KEY) is Worth.NOBODY
    process.links.agreed()
    assert process.links.worth(KEY) is Worth.STOPPED


def test_of_a_key_that_is_forgotten_nothing_is_known_or_kept(process: Process) -> None:
    process.answers()
    process.fails(Outage.REFUSED)
    process.links.forget([KEY])
    process.fails(Outage.REFUSED)  # a call that was on its way
    process.answers()
    assert (process.verdict(), list(process.folder.glob("*-*"))) == (Verdict.WINDOW_OVER, [])
    process.restart()
    assert process.verdict() is Verdict.WINDOW_OVER
    process.answers()
    assert process.links.recover(KEY) == L2
