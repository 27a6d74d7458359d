"""Killed at every step boundary of a rotation, at all at once: each ends in one new version, with all data readable."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from openkcm.activation.change import change
from openkcm.activation.means import Deciding
from openkcm.audit.verbs import AuditVerb
from openkcm.kernel.clock import SystemClock
from openkcm.keychain.asked import Asked, operator
from openkcm.keychain.rotate import PLAN
from openkcm.keychain.states import KeyVerb
from openkcm.parties.identity import load_identity
from tests.databases import REGIONS
from tests.kills.after import assert_chains_whole, wait_quiet
from tests.kills.holding import Holds, at_commit
from tests.kills.victims import WORKERS, Killing
from tests.provisioning.accounts import Account
from tests.provisioning.consistent import RECORD, applied, decrypted, encrypted
from tests.provisioning.processes import until
from tests.provisioning.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

STEPS = ("prepare", "mint", "switch", "settle")
VICTIMS = (WORKERS[0], "local", "eu-1", "postgresql")
_DUE = """update sagas set next_at = now() - interval '10 s'
where plan = $1 and state = 'running' and lease_until is null"""


@dataclass(frozen=True)
class Rotating:
    """An account whose key is rotated, of a service or the tenant's own, and a message from before."""

    account: Account
    service: str
    message: bytes


@pytest.fixture(scope="module")
def accounts(killing: Killing) -> dict[str, dict[str, Account]]:
    """For each victim an account for each point and kind, all of them set up."""
    points = [f"{kind}, {point}" for kind in ("service", "tenant") for point in STEPS]
    made = {victim: {point: killing.site.account() for point in points} for victim in VICTIMS}
    number = len(points) * len(VICTIMS)
    until(
        lambda: len(killing.site.rows("select from sagas where state = 'done'")) == number,
        what=f"{number} accounts are set up",
        within_s=90,
    )
    return made


@pytest.mark.parametrize("victim", VICTIMS)
def test_whoever_is_killed_every_rotation_ends_in_one_new_version(
    killing: Killing, holds: Holds, accounts: dict[str, dict[str, Account]], victim: str
) -> None:
    killing.whole(victim)
    site = killing.site
    rows, rotating = {}, {}
    for point, account in accounts[victim].items():
        kind, _, step = point.partition(", ")
        message = encrypted(site, "local", account.id)
        assert message is not None
        rotating[point] = Rotating(account, "default" if kind == "service" else "", message)
        rows[point] = at_commit(account.id, step)
    holds.hold(*rows.values())
    for each in rotating.values():
        _ask(site, each)
    holds.wait_standing(*rows.values())
    killing.kill(victim, holds)
    site.rows(_DUE, PLAN)
    wait_quiet(site)
    for each in rotating.values():
        _assert_rotated(site, each)
    assert_chains_whole(site)


def _ask(site: Site, each: Rotating) -> None:
    deciding = Deciding(
        identity=load_identity(site.home / "control" / "identity.json"),
        clock=SystemClock(),
        key_wait_s=7 * 24 * 3600,
    )
    asked = Asked(
        tenant=each.account.id,
        verb=KeyVerb.ROTATE,
        request="once",
        by=operator("operator:ops"),
        service=each.service,
    )
    site.loop.run(change(deciding, asked))
    site.rows(_DUE, PLAN)


def _assert_rotated(site: Site, each: Rotating) -> None:
    tenant, level = each.account.id, "L3" if each.service else "L2"
    (saga,) = site.rows("select id, state from sagas where tenant = $1 and plan = $2", tenant, PLAN)
    assert saga["state"] == "done"
    steps = site.rows("select step, direction from saga_steps where saga = $1", saga["id"])
    assert sorted((row["step"], row["direction"]) for row in steps) == sorted((step, "do") for step in STEPS)
    keys = site.rows("select key_id, level, version, state from keys where tenant = $1", tenant)
    versions = sorted((row["version"], row["state"]) for row in keys if row["level"] == level)
    assert versions == [(1, "decrypt-only"), (2, "active")], tenant
    rotated = site.rows(
        "select from audit_events where chain = $1 and verb = $2", tenant, AuditVerb.KEY_ROTATED.value
    )
    assert len(rotated) == 1
    active = {row["key_id"] for row in keys if row["state"] == "active"}
    for region in REGIONS:
        desired = applied(site, region, tenant)
        assert {key.key_id for key in desired.keys if key.state == "active"} == active, (region, tenant)
        assert decrypted(site, region, tenant, each.message) == RECORD
        fresh = encrypted(site, region, tenant)
        assert fresh is not None
        assert decrypted(site, REGIONS[0], tenant, fresh) == RECORD
    destroys = site.rows("select state from key_destroys where tenant = $1", tenant)
    assert [row["state"] for row in destroys] == ([] if each.service else ["waiting"])
