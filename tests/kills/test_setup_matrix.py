"""Killed at every step boundary of a set-up and inside each step, at all at once: every tenant is set up once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from openkcm.audit.verbs import AuditVerb
from tests.databases import REGIONS
from tests.kills.after import assert_all_set_up, wait_quiet
from tests.kills.holding import CONTROL, Holds, Row, at_commit, audited
from tests.kills.points import wait_journal
from tests.kills.post import HeldMail
from tests.kills.victims import VICTIMS, WORKERS, Killing, pause, resume
from tests.provisioning.accounts import Account
from tests.provisioning.consistent import STEPS
from tests.provisioning.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

MAILED = "taken by the mail server, which has not said so"
#: Where somebody stands inside a step, by the row that is about to be written.
INSIDE: dict[str, Callable[[str], Row]] = {
    "admit": lambda t: audited(t, AuditVerb.STEP_DONE, "admit"),
    "assign, deciding": lambda t: Row(CONTROL, f"desired:{t}:1"),
    "mint, recording": lambda t: audited(t, AuditVerb.KEY_MADE),
    "activate, deciding": lambda t: Row(CONTROL, f"desired:{t}:2"),
    "grant": lambda t: Row(CONTROL, f"grants:{t}"),
    "publish, writing the message": lambda t: Row(CONTROL, f"messages:{t}:ready"),
    "announce": lambda t: audited(t, AuditVerb.STEP_DONE, "announce"),
    "notify, settling": lambda t: Row(CONTROL, f"deliveries:{t}:accepted"),
}
#: And in a region, which takes one call of a kind at a time: the last one on the way has to stand first.
REGIONAL: dict[str, Callable[[str], Row]] = {
    "mint, the other region accepting": lambda t: Row("eu-1", f"keys:{t}:L2"),
    "mint, the other region offering": lambda t: Row("eu-1", f"offers:{t}"),
    "mint, in the first region": lambda t: Row("local", f"mint_tokens:{t}"),
}
#: What a step waits for where no row can be held, by the last step that is done before.
WAITING = {
    "a region applying in mint": "assign",
    "a region applying in activate": "mint",
    "the web's answer": "grant",
}
#: What yields to every other set-up.
LAST = {"the commit of announce", "the commit of notify", "announce", "notify, settling", MAILED}


def stand_everywhere(site: Site, holds: Holds, mail: HeldMail) -> dict[str, str]:
    """A tenant stands at each point, by the point's name."""
    points = [*(f"the commit of {step}" for step in STEPS), *INSIDE, *REGIONAL, *WAITING, MAILED]
    tenants = {point: Account(folder=site.folder).id for point in points}
    rows = {f"the commit of {step}": at_commit(tenants[f"the commit of {step}"], step) for step in STEPS}
    rows |= {point: row(tenants[point]) for point, row in (INSIDE | REGIONAL).items()}
    before = {
        point: at_commit(tenants[point], WAITING.get(point, "assign")) for point in (*REGIONAL, *WAITING)
    }
    holds.hold(*rows.values(), *before.values())
    mail.begin(f"{tenants[MAILED]}@meridian.example")
    for point in LAST:  # what yields to others comes first: they are none yet
        site.account(id=tenants[point])
    holds.wait_standing(*(rows[point] for point in LAST if point in rows))
    mail.wait_standing()
    for point in set(points) - LAST:
        site.account(id=tenants[point])
    holds.wait_standing(*(row for point, row in rows.items() if point not in REGIONAL), *before.values())
    for point in REGIONAL:
        holds.let_go(before[point])
        holds.wait_standing(rows[point])
    holds.hold_regions()
    pause(site, "web")
    holds.let_go(*(before[point] for point in WAITING))
    for point, step in WAITING.items():
        wait_journal(site, tenants[point], step)
    for region in REGIONS:
        holds.wait_applying(region)
    assert [point for point, row in rows.items() if not holds.waits(row)] == []
    return tenants


@pytest.mark.parametrize("victim", VICTIMS)
def test_whoever_is_killed_every_tenant_is_set_up_once(
    killing: Killing, holds: Holds, mail: HeldMail, victim: str
) -> None:
    killing.whole(victim)
    tenants = stand_everywhere(killing.site, holds, mail)
    killing.kill(victim, holds)
    resume(killing.site, "web")
    mail.let_go()
    wait_quiet(killing.site)
    assert_all_set_up(killing.site, list(tenants.values()))


def test_a_worker_that_was_taken_for_dead_records_nothing_more(
    killing: Killing, holds: Holds, mail: HeldMail
) -> None:
    """It stands still while another one takes over, and goes on when that one has done all."""
    killing.whole(WORKERS[0])
    tenants = stand_everywhere(killing.site, holds, mail)
    pause(killing.site, WORKERS[0])
    resume(killing.site, "web")
    holds.let_all_go()
    mail.let_go()
    killing.site.start(WORKERS[1])
    for point in (*REGIONAL, *WAITING):  # the other ones' commits are open, and theirs alone
        wait_journal(killing.site, tenants[point], "publish")
    resume(killing.site, WORKERS[0])
    wait_quiet(killing.site)
    assert_all_set_up(killing.site, list(tenants.values()))
