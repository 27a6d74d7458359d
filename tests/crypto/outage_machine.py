"""The outage machine: what happens to a tenant whose root key is a customer's, in two regions, in any order.

The product decides; control and databases are models simple enough to be right at a look (``outage_control``,
``outage_region``), and the oracle counts in true time. See ``test_outage_machine`` and ``test_outage_machine_alive``.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from openkcm.crypto.bounds import Policy
from openkcm.crypto.exchange import Next, Report, Step
from openkcm.sdk.key_store import Outage
from tests.crypto.outage_control import TENANT, ModelControl, fresh
from tests.crypto.outage_draws import NAMES, PASSES, POLICIES, STORE
from tests.crypto.outage_oracle import check_may, must
from tests.crypto.outage_region import Database, ModelRegion, World

MEMORY = Path("/dev/shm")
# An example looks at one side or at all of it: what needs five steps of one side is not found among eighteen rules.
time = precondition(lambda self: self.focus != "decisions")
decisions = precondition(lambda self: self.focus != "time")


class OutageMachine(RuleBasedStateMachine):
    only = ""
    """What every example looks at; empty: one of the sides, or all."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.world = World()
        self.world.now = 0.0
        self.control = ModelControl()
        self.kept_control = self.control.snapshot()
        self.focus = ""
        self.store: Outage | None = None
        self.minted = {"k0"}

    @initialize(policy=st.sampled_from(POLICIES), focus=st.sampled_from(["time", "decisions", "all"]))
    def begin(self, policy: Policy, focus: str) -> None:
        self.policy, self.focus = policy, self.only or focus
        self.regions = {
            name: ModelRegion(self.world, self.folder / name, policy, self.control) for name in "ab"
        }
        for region in self.regions.values():
            region.start()
        self.settle()

    # What happens by itself, all the time

    def settle(self) -> None:
        """Everything that is within reach has happened: push, poll, probe. No window is waited for."""
        self.exchange()
        for region in self.regions.values():
            if region.up:
                region.confirm()
                region.probe(self.store)

    def exchange(self) -> None:
        for _ in range(12):
            reached = [region for region in self.regions.values() if self.reached(region)]
            decided = [self.exchange_with(region) for region in reached]
            if True not in decided:
                return
        raise AssertionError("control and the regions find no end")

    def exchange_with(self, region: ModelRegion) -> bool:
        """One call; whether control decided something new by it."""
        step = region.receive(self.control.newest)
        report = region.report(step)
        if report is None:  # it holds nothing, and an older epoch than its own would be given to it
            return False
        decided = self.control.next(report)
        if decided is Next.DONE:
            region.agree()
            self.control.confirmed[region.state.name] = self.control.newest.hash
        elif decided is Next.REISSUE:
            behind = [one for one in self.reports() if self.control.next(one) is Next.REISSUE]
            words = {word.hash for one in behind for word in one.tightened}
            self.control.decide(also=frozenset({one.known[1] for one in behind} | words))
        elif decided is Next.COLLECT:
            self.control.collect(self.reports())
        return decided in {Next.REISSUE, Next.COLLECT}

    def reports(self) -> list[Report]:
        """What all regions within reach show."""
        shown = (region.report(Step.AHEAD) for region in self.regions.values() if self.reached(region))
        return [report for report in shown if report is not None]

    def reached(self, region: ModelRegion) -> bool:
        return region.up and region.linked

    # What happens to it

    @rule(seconds=st.sampled_from(PASSES))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds
        self.settle()

    @time
    @rule(store=st.sampled_from(STORE), seconds=st.sampled_from(PASSES))
    def the_key_store_changes(self, store: Outage | None, seconds: float) -> None:
        self.store = store
        self.settle()
        self.check()
        self.time_passes(seconds)

    @decisions
    @precondition(lambda self: self.control.newest.access == "active")
    @rule()
    def a_person_revokes(self) -> None:
        self.revoke()
        self.settle()

    def revoke(self) -> None:
        document = self.control.decide(access="revoked")
        for region in self.regions.values():
            if self.reached(region):
                region.tighten(document, region.nonces.give(TENANT, now=region.clock.monotonic()))
                assert not region.serves(), "a tightening was refused"

    @decisions
    @precondition(lambda self: self.control.revokes())
    @rule(name=NAMES, which=st.integers(0, 99), cut=st.booleans())
    def a_word_comes_late(self, name: str, which: int, cut: bool) -> None:
        """A worker says what control decided once, and does not know what was since."""
        region = self.regions[name]
        if region.up and not region.held.set_back:
            late = self.control.revokes()[which % len(self.control.revokes())]
            region.tighten(late, region.nonces.give(TENANT, now=region.clock.monotonic()))
            assert not region.serves(), "a word was refused"
            region.linked &= not cut
            self.settle()

    @decisions
    @rule()
    def something_else_is_decided(self) -> None:
        self.control.decide()
        self.settle()

    @precondition(lambda self: self.control.newest.access == "revoked")
    @rule()
    def a_person_restores(self) -> None:
        self.control.decide(access="active")
        self.settle()

    @decisions
    @rule()
    def a_key_is_minted(self) -> None:
        if all(self.reached(region) and not region.held.set_back for region in self.regions.values()):
            key = fresh("k")
            self.control.decide(key=key)
            self.settle()
            self.minted.add(key)

    @rule(name=NAMES)
    def a_process_is_killed_and_started(self, name: str) -> None:
        region = self.regions[name]
        if region.up:
            region.kill()
        region.start()
        self.check()  # before anything else has answered
        self.settle()

    @time
    @rule(name=NAMES, seconds=st.sampled_from([-86_400.0, -3600.0, -30.0, 30.0, 7200.0, 90_000.0]))
    def a_wall_clock_is_set(self, name: str, seconds: float) -> None:
        self.regions[name].step_clock(seconds)
        self.check()
        self.settle()

    @time
    @rule(name=NAMES)
    def a_wall_clock_is_right_again(self, name: str) -> None:
        self.regions[name].step_clock(-self.regions[name].clock.off)
        self.settle()

    @rule(linked=st.sampled_from(["", "", "a", "b", "ab"]))
    def the_ways_to_control_change(self, linked: str) -> None:
        for name, region in self.regions.items():
            region.linked = name in linked
        self.settle()

    @decisions
    @rule(name=NAMES)
    def a_days_backup_is_made(self, name: str) -> None:
        self.regions[name].yesterday = self.regions[name].database

    @decisions
    @rule(name=NAMES)
    def a_database_is_restored_to_yesterday(self, name: str) -> None:
        self._database(self.regions[name], self.regions[name].yesterday)

    @decisions
    @rule(name=NAMES)
    def a_database_fails_over_and_loses_its_last_second(self, name: str) -> None:
        self._database(self.regions[name], self.regions[name].before)

    def _database(self, region: ModelRegion, database: Database) -> None:
        if region.up:
            region.kill()
        region.database = database
        self.set_back()
        region.start()
        self.check()
        self.settle()

    @rule(name=NAMES)
    def a_snapshot_of_a_region_is_made(self, name: str) -> None:
        self.regions[name].snapshot()

    @rule(name=NAMES)
    def a_snapshot_of_a_region_is_put_back(self, name: str) -> None:
        region = self.regions[name]
        if region.kept is not None:
            if region.up:
                region.kill()
            region.put_back()
            self.set_back()
            region.truth.clean_proof = region.truth.clean_agreement = False
            region.start()
            self.check()
            self.settle()

    @decisions
    @rule()
    def a_snapshot_of_control_is_made(self) -> None:
        self.kept_control = self.control.snapshot()

    @decisions
    @rule(noticed=st.booleans(), decided=st.integers(0, 3), revoked=st.booleans())
    def a_snapshot_of_control_is_put_back(self, noticed: bool, decided: int, revoked: bool) -> None:
        """Noticed, as a restore or a timeline change is: it collects from the regions in reach before it decides."""
        self.control.put_back(self.kept_control)
        self.set_back()
        for _ in range(decided):
            self.control.decide()
        if revoked:
            self.revoke()
        if noticed:
            self.control.collect(self.reports())
        self.settle()

    def set_back(self) -> None:
        """What nobody holds any more, control and every database having been set back, is not expected of anybody."""
        documents = [region.database.document for region in self.regions.values()]
        self.minted &= self.control.newest.keys.union(*(one.keys for one in documents if one is not None))

    # What is true at any time

    @invariant()
    def check(self) -> None:
        for region in getattr(self, "regions", {}).values():
            if region.up:
                serves = region.serves()
                if serves:
                    check_may(region, self.control)
                elif must(region):
                    raise AssertionError(f"not served within every bound: {region.truth}")

    def teardown(self) -> None:
        try:
            if hasattr(self, "regions"):
                self.heal()
        finally:
            for region in getattr(self, "regions", {}).values():
                if region.up:
                    region.kill()
            shutil.rmtree(self.folder)

    def heal(self) -> None:
        """Everything is within reach again: all agree, no key is lost, and what a person last said counts."""
        self.store = None
        for region in self.regions.values():
            region.linked = True
            region.step_clock(-region.clock.off)
        self.settle()
        self.give_up_what_is_lost()
        self.settle()
        for region in self.regions.values():
            assert region.held.known == (self.control.newest.order, self.control.newest.hash), "no agreement"
            assert region.serves() is (self.control.newest.access == "active"), (
                "a person's word does not count"
            )
        assert self.control.newest.keys >= self.minted, "a minted key is lost"

    def give_up_what_is_lost(self) -> None:
        """A person says of what no region can show any more that it is lost, and takes the strictest instead."""
        for region in self.regions.values():
            report = region.report(Step.AHEAD)
            if report is not None and self.control.next(report) is Next.ASK:
                self.control.collect(self.reports(), given_up=(report.known[1],))
                self.control.decide(access="revoked")
                self.exchange()
