"""Killed at every step boundary of a tenant's end and inside each step, at all at once: every tenant ends once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from openkcm.audit.verbs import AuditVerb
from tests.databases import REGIONS
from tests.kills.after import wait_quiet
from tests.kills.ended import STEPS, assert_all_ended
from tests.kills.holding import CONTROL, Holds, Row, at_commit, audited
from tests.kills.points import wait_journal
from tests.kills.post import HeldMail
from tests.kills.victims import VICTIMS, WORKERS, Killing, pause, resume
from tests.provisioning.accounts import Account
from tests.provisioning.processes import until
from tests.provisioning.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

MAILED = "taken by the mail server, which has not said so"
SETTLING = "told, settling"
_PENDING = "select from deliveries where tenant = $1 and state = 'pending'"
_BEGUN = "select from sagas where tenant = $1 and plan = 'end-tenant'"
#: Where somebody stands inside a step, by the row that is about to be written.
INSIDE: dict[str, Callable[[str], Row]] = {
    "look-again, recording": lambda t: audited(t, AuditVerb.END_LOOKED),
    "destroy, recording": lambda t: audited(t, AuditVerb.END_DESTROYED),
    "certify": lambda t: Row(CONTROL, f"certificates:{t}"),
    "bury, deciding": lambda t: Row(CONTROL, f"keys:{t}:destroyed"),
    "bury, recording": lambda t: audited(t, AuditVerb.TENANT_BURIED),
    "tell": lambda t: Row(CONTROL, f"messages:{t}:destroyed"),
    SETTLING: lambda t: Row(CONTROL, f"deliveries:{t}:accepted"),
}
#: In both regions at once; what else they are to apply or to end waits behind it.
DESTROYING = "destroy, in the regions"
#: What waits behind that, by the last step that is done before.
WAITING = {"a region asked by look-again": "", "a region applying the tombstone": "certify"}
POINTS = [*(f"the commit of {step}" for step in STEPS), *INSIDE, DESTROYING, *WAITING, MAILED]
KILLED = tuple(victim for victim in VICTIMS if victim != "web")  # which has no part in it
BEGINNERS = ("worker-2", "postgresql")
ROUNDS = (*KILLED, "nobody")


@pytest.fixture(scope="module")
def accounts(killing: Killing) -> dict[str, dict[str, Account]]:
    """For each round an account for each point, all of them set up."""
    site = killing.site
    made = {victim: {point: site.account() for point in POINTS} for victim in ROUNDS}
    made |= {f"{victim}, beginning": {"destroy, beginning": site.account()} for victim in BEGINNERS}
    number = sum(len(mine) for mine in made.values())
    until(
        lambda: len(site.rows("select from sagas where state = 'done'")) == number,
        what=f"{number} accounts are set up",
        within_s=90,
    )
    return made


def stand_everywhere(site: Site, holds: Holds, mail: HeldMail, accounts: dict[str, Account]) -> None:
    """A tenant stands at each point; they were all set up."""
    tenants = {point: account.id for point, account in accounts.items()}
    rows = {f"the commit of {step}": at_commit(tenants[f"the commit of {step}"], step) for step in STEPS}
    rows |= {point: row(tenants[point]) for point, row in INSIDE.items()}
    destroying = [
        audited(tenants[DESTROYING], AuditVerb.KEYS_DESTROYED, database=region) for region in REGIONS
    ]
    before = {DESTROYING: at_commit(tenants[DESTROYING], "look-again")}
    before |= {point: at_commit(tenants[point], step) for point, step in WAITING.items() if step}
    before[SETTLING] = INSIDE["tell"](tenants[SETTLING])
    mail.begin(accounts[MAILED].creator, about="destroyed")
    holds.hold(*(row for point, row in rows.items() if point != SETTLING), *before.values(), *destroying)
    for point in POINTS:
        if WAITING.get(point) != "":
            accounts[point].delete()
    holds.wait_standing(*(row for point, row in rows.items() if point != SETTLING), *before.values())
    mail.wait_standing()
    until(lambda: not site.rows(_PENDING, tenants[SETTLING]), what="the mail about the deletion is accepted")
    holds.hold(rows[SETTLING])
    holds.let_go(before[SETTLING])
    holds.wait_standing(rows[SETTLING])
    holds.let_go(before[DESTROYING])
    holds.wait_standing(*destroying)
    for point, step in WAITING.items():
        if step:
            holds.let_go(before[point])
            wait_journal(site, tenants[point], step)
        else:
            accounts[point].delete()
            until(lambda: site.one(_BEGUN, tenants[point]), what="its end has begun")  # noqa: B023 - asked at once
    for region in REGIONS:
        holds.wait_applying(region)
    assert [row for row in (*rows.values(), *destroying) if not holds.waits(row)] == []


@pytest.mark.parametrize("victim", KILLED)
def test_whoever_is_killed_every_tenant_is_ended_once(
    killing: Killing, holds: Holds, mail: HeldMail, accounts: dict[str, dict[str, Account]], victim: str
) -> None:
    killing.whole(victim)
    stand_everywhere(killing.site, holds, mail, accounts[victim])
    killing.kill(victim, holds)
    mail.let_go()
    _wait_ended(killing.site, accounts[victim])


def test_a_worker_that_was_taken_for_dead_records_nothing_more(
    killing: Killing, holds: Holds, mail: HeldMail, accounts: dict[str, dict[str, Account]]
) -> None:
    """It stands still while another one takes over, and goes on when that one has done what it could."""
    killing.whole(WORKERS[0])
    mine = accounts["nobody"]
    stand_everywhere(killing.site, holds, mail, mine)
    pause(killing.site, WORKERS[0])
    holds.let_all_go()
    mail.let_go()
    killing.site.start(WORKERS[1])
    for point in (DESTROYING, "a region applying the tombstone"):
        wait_journal(killing.site, mine[point].id, "tell")
    resume(killing.site, WORKERS[0])
    _wait_ended(killing.site, mine)


@pytest.mark.parametrize("victim", BEGINNERS)
def test_killed_as_it_begins_to_destroy_it_ends_all_the_same(
    killing: Killing, holds: Holds, accounts: dict[str, dict[str, Account]], victim: str
) -> None:
    """A point of its own: whoever stands there lets no other tenant be observed or begun with."""
    killing.whole(victim)
    mine = accounts[f"{victim}, beginning"]
    (account,) = mine.values()
    row = audited(account.id, AuditVerb.END_BEGUN)
    holds.hold(row)
    account.delete()
    holds.wait_standing(row)
    assert killing.site.one("select presence from tenants where id = $1", account.id) == {
        "presence": "deleting"
    }
    killing.kill(victim, holds)
    _wait_ended(killing.site, mine)


def _wait_ended(site: Site, accounts: dict[str, Account]) -> None:
    tenants = [account.id for account in accounts.values()]
    found = "select from sagas where tenant = any($1) and plan = 'end-tenant'"
    until(lambda: len(site.rows(found, tenants)) == len(tenants), what="every end has begun", within_s=60)
    wait_quiet(site)
    assert_all_ended(site, tenants)
