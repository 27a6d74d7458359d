"""What is taken back is taken back whole, also where it is asked for at the worst moment."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.provisioning.consistent import (
    assert_accounted_for,
    assert_nothing_works,
    assert_set_up,
    encrypted,
    stored,
)
from tests.provisioning.moments import age, held, region_held, saga_of, stopped_before, wait_blocked
from tests.provisioning.processes import until
from tests.provisioning.site import Site, wait_done, wait_stage

pytestmark = pytest.mark.integration


def test_a_cancel_that_comes_with_the_pivot_is_refused_and_not_promised(site: Site) -> None:
    """The command waits for the set-up's row while the last undoable step commits."""
    with stopped_before(site, "activate") as tenant:
        asked = subprocess.Popen(
            [sys.executable, "-I", "-m", "openkcm", "tenants", "cancel", tenant],
            env=site.operators_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        wait_blocked(site, "cmk", "openkcm-cli", "from sagas where tenant")
    said, why = asked.communicate(timeout=60)
    assert (asked.returncode, said) == (1, "")
    assert "its keys are in use already" in why
    wait_done(site, tenant)
    assert_set_up(site, tenant)
    cancelled = "select from audit_events where chain = $1 and verb = 'provisioning:saga:cancel'"
    assert site.rows(cancelled, tenant) == []


def test_keys_that_were_minted_when_it_was_cancelled_are_on_record_as_abandoned(site: Site) -> None:
    """The first region has minted, the second one's offer hangs: control has stored nothing of it yet."""
    with held(site, "lock table offers in access exclusive mode", database="eu-1"):
        account = site.account()
        saga_of(site, account.id)
        until(lambda: stored(site, "local", account.id) or None, what="the first region has minted")
        site.openkcm("tenants", "cancel", account.id)
        assert site.rows("select from keys where tenant = $1", account.id) == []
    age(site, account.id)
    wait_stage(site, account.id, "undone")
    known = site.rows("select key_id, state from keys where tenant = $1", account.id)
    assert {row["key_id"] for row in known} == stored(site, "local", account.id)
    assert {row["state"] for row in known} == {"abandoned"}
    assert_nothing_works(site, account.id)
    site.openkcm("tenants", "retry", account.id)
    wait_done(site, account.id)
    assert_accounted_for(site, account.id)


def test_what_comes_back_while_it_is_being_undone_is_set_up(site: Site) -> None:
    """Uninstalled before the pivot, and installed again before the regions have answered the undo."""
    with region_held(site, "local"):
        account = site.account()
        saga_of(site, account.id)
        account.remove()
        until(
            lambda: site.one("select from tenants where id = $1 and presence = 'uninstalled'", account.id),
            what="the source has said so",
        )
    with region_held(site, "eu-1"):
        until(
            lambda: site.one("select from sagas where tenant = $1 and state = 'undoing'", account.id),
            what="it is being undone",
            within_s=60,
        )
        account.drop()
        until(
            lambda: site.one("select from tenants where id = $1 and presence = 'present'", account.id),
            what="it is back",
        )
    until(
        lambda: site.one("select from sagas where tenant = $1 and state = 'done'", account.id),
        what="it is set up by itself",
        within_s=90,
    )
    wait_stage(site, account.id, "ready")
    assert encrypted(site, "eu-1", account.id) is not None
    assert_accounted_for(site, account.id)
