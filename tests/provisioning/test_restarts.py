"""PostgreSQL and Valkey restarting, and clocks that jump, while accounts are set up: nothing lost, nothing twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import ModuleDatabases
from tests.parts import require
from tests.provisioning.accounts import Account
from tests.provisioning.conftest import ALL
from tests.provisioning.consistent import assert_set_up, encrypted
from tests.provisioning.moments import stopped_before
from tests.provisioning.own_valkey import OwnValkey
from tests.provisioning.processes import until
from tests.provisioning.site import Site, letters, running_site, wait_done

pytestmark = pytest.mark.integration

SEVERAL = 8
#: Less than the governance window: a region whose clock goes on for longer serves nobody until it agrees with control
#: again, seconds later, and whoever is being set up is tried again then.
JUMP_S = 43_200
LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


@pytest.fixture(scope="module")
def own_valkey(databases: ModuleDatabases) -> Iterator[OwnValkey]:
    made = OwnValkey()
    yield made
    made.close()


@pytest.fixture(scope="module")
def installed(databases: ModuleDatabases, own_valkey: OwnValkey) -> Iterator[Site]:
    with running_site(databases, own_valkey.url, *ALL) as made:
        yield made


def test_postgresql_restarting_midway_loses_no_tenant_and_makes_none_twice(site: Site) -> None:
    """A backend that dies by SIGKILL: the server cuts everybody off, recovers from its log and goes on."""
    with stopped_before(site, "activate") as half_way:
        accounts = [site.account() for _ in range(SEVERAL)]
        row = site.one("select pid from pg_stat_activity where application_name = 'openkcm-worker' limit 1")
        assert row is not None
        os.kill(row["pid"], signal.SIGKILL)
        site.loop.run(site.forget())
    accounts += [site.account() for _ in range(SEVERAL)]
    _all_set_up(site, half_way, *(account.id for account in accounts))


def test_valkey_restarting_empty_midway_loses_no_tenant_and_makes_none_twice(
    site: Site, own_valkey: OwnValkey
) -> None:
    with stopped_before(site, "activate") as half_way:
        accounts = [site.account() for _ in range(SEVERAL)]
        own_valkey.restart()
    accounts += [site.account() for _ in range(SEVERAL)]
    _all_set_up(site, half_way, *(account.id for account in accounts))


@pytest.mark.parametrize("jump_s", [JUMP_S, -JUMP_S], ids=["half-a-day-on", "half-a-day-back"])
def test_a_clock_that_jumps_keeps_no_tenant_from_ready_and_lets_no_two_workers_work_at_one(
    site: Site, jump_s: int
) -> None:
    """The clocks of both regions and both workers jump while a set-up is under way; PostgreSQL's does not move."""
    require("libfaketime", LIBRARY, "Debian's libfaketime is looked for below /usr/lib")
    clock = site.home / f"clock{jump_s}"
    clock.write_text("+0")
    jumping = ("local", "eu-1", "worker", "worker-2")
    for name in jumping:
        if site.children[name].runs:
            site.stop(name)
        site.children[name].extra = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
    workers = [site.children[name].log for name in ("worker", "worker-2")]
    before = {log: log.stat().st_size if log.exists() else 0 for log in workers}

    def said(log: Path) -> list[bytes]:
        return log.read_bytes()[before[log] :].splitlines()

    site.start(*jumping)
    try:
        with stopped_before(site, "mint") as half_way:
            clock.write_text(f"{jump_s:+d}")
            accounts = [site.account() for _ in range(SEVERAL)]
            until(lambda: _hand_overs(site, accounts) or None, what="others pass meanwhile")
        _all_set_up(site, half_way, *(account.id for account in accounts))
        assert all(said(worker) for worker in workers)
        # Who has jumped and who has not refuse each other for a second, and try again: nothing was taken by that.
        ids = [account.id.encode() for account in accounts]
        taken = [
            line
            for worker in workers
            for line in said(worker)
            if b"saga.taken_over" in line and any(id_ in line for id_ in ids)
        ]
        assert taken == [], "no lease ran out and none was taken from whoever held it"
        late = site.account()
        wait_done(site, late.id)
        assert [mail.subject for mail in letters(site, f"{late.id}@meridian.example")] == [
            f"Account {late.id}: encryption is on, the dashboard is open"
        ], "nobody is told that it takes long because a clock was set"
        assert encrypted(site, "eu-1", late.id) is not None
    finally:
        for name in jumping:
            site.stop(name)
            site.children[name].extra = {}


def _hand_overs(site: Site, accounts: list[Account]) -> bool:
    return all(
        site.one("select from saga_steps where tenant = $1 and step = 'mint'", account.id) is not None
        for account in accounts
    )


def _all_set_up(site: Site, *tenants: str) -> None:
    until(
        lambda: site.one(
            "select from sagas where tenant = any($1) having count(*) = $2", tenants, len(tenants)
        ),
        what="all have begun",
    )
    for tenant in tenants:
        wait_done(site, tenant, within_s=60)
    assert_set_up(site, *tenants)
    for tenant in tenants:
        mails = letters(site, f"{tenant}@meridian.example")
        assert len({mail.message_id for mail in mails}) == 1
