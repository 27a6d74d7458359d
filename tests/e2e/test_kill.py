"""Processes killed with SIGKILL while accounts are set up: everything ends as if nobody had been killed.

A process is held at a boundary by a row that a test has inserted or locked and not committed (``moments``): it waits
for the lock, is killed there, and the row is rolled back. The random rounds take ``OPENKCM_TEST_ROUNDS`` (default 10);
``OPENKCM_TEST_ROUNDS=200`` is the long run.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.databases import ModuleDatabases
from tests.provisioning.accounts import Account
from tests.provisioning.consistent import applied, assert_set_up, stored
from tests.provisioning.moments import age, held, region_held, saga_of, stopped_before, wait_blocked
from tests.provisioning.processes import until
from tests.provisioning.site import Site, WatchedPost, letters, running_site, wait_done, wait_stage

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

ALL = ("local", "eu-1", "web", "worker")
ROUNDS = int(os.environ.get("OPENKCM_TEST_ROUNDS", "10"))
A_ROUND = 10


@pytest.fixture(scope="module")
def installed(databases: ModuleDatabases, queue_url: str) -> Iterator[Site]:
    with running_site(databases, queue_url, *ALL) as made:
        yield made


@pytest.fixture
def site(installed: Site) -> Site:
    installed.whole(*ALL)
    return installed


@pytest.fixture
def watched(site: Site) -> Iterator[WatchedPost]:
    assert isinstance(site.mail.post, WatchedPost)
    yield site.mail.post
    site.mail.post.taking = None


@pytest.mark.parametrize("step", ["mint", "activate", "publish"])
def test_a_worker_killed_at_the_commit_of_a_step_leaves_one_effect_of_it(site: Site, step: str) -> None:
    with stopped_before(site, step) as tenant:
        keys = stored(site, "local", tenant)
        assert len(keys) == 2
        site.kill("worker")
    site.start("worker")
    wait_done(site, tenant)
    assert_set_up(site, tenant)
    assert stored(site, "local", tenant) == stored(site, "eu-1", tenant) == keys, "no key was made twice"
    assert len(letters(site, f"{tenant}@meridian.example")) == 1


def test_a_region_killed_inside_mint_makes_the_keys_once(site: Site) -> None:
    with ExitStack() as locks:
        with region_held(site, "local"):
            account = site.account()
            token = f"saga-{saga_of(site, account.id)}"
            locks.enter_context(
                held(
                    site,
                    "insert into mint_tokens (token, tenant, services, key_ids) values ($1, $2, 'default', '')",
                    token,
                    account.id,
                    database="local",
                )
            )
        wait_blocked(site, "local", "openkcm-crypto-local", "into mint_tokens")
        site.kill("local")
    assert stored(site, "local", account.id) == set()
    site.start("local")
    age(site, account.id)
    wait_done(site, account.id)
    assert_set_up(site, account.id)
    assert len(stored(site, "local", account.id)) == 2


@pytest.mark.parametrize("region", ["local", "eu-1"])
def test_a_region_killed_as_it_applies_the_pivot_has_applied_it_in_the_end(site: Site, region: str) -> None:
    with ExitStack() as locks:
        with stopped_before(site, "mint") as tenant:
            locks.enter_context(region_held(site, region))
        wait_blocked(site, region, f"openkcm-crypto-{region}", "from region")
        site.kill(region)
    assert not applied(site, region, tenant).keys
    site.start(region)
    age(site, tenant)
    wait_done(site, tenant)
    assert_set_up(site, tenant)


def test_a_worker_killed_between_acceptance_and_commit_repeats_the_mail_once_at_most_with_its_id(
    site: Site, watched: WatchedPost
) -> None:
    account = Account(folder=site.folder, creator="kofi@meridian.example")
    with ExitStack() as locks:
        taken = threading.Event()

        async def lock_the_delivery() -> None:
            if not taken.is_set():
                connection = await site.connect()
                await connection.execute("begin")
                await connection.execute(
                    "select from deliveries where recipient = 'kofi@meridian.example' for update"
                )
                locks.callback(lambda: site.loop.run(connection.close()))
                taken.set()

        watched.taking = lock_the_delivery
        account.drop()
        assert taken.wait(30)
        wait_blocked(site, "cmk", "openkcm-worker", "update deliveries")
        site.kill("worker")
    assert len(letters(site, account.creator)) == 1
    assert site.rows("select state from deliveries where recipient = $1", account.creator) == [
        {"state": "pending"}
    ]
    wait_stage(site, account.id, "ready")
    site.start("worker")
    # Instead of waiting until whoever may still be sending it is certainly gone.
    site.rows("update deliveries set lease_until = now() where tenant = $1", account.id)
    age(site, account.id, leased=True)
    wait_done(site, account.id)
    mails = letters(site, account.creator)
    assert len(mails) == 2, "not known to be accepted, so sent again"
    assert len({mail.message_id for mail in mails}) == 1


def test_two_workers_killed_at_random_set_up_every_tenant_once(site: Site) -> None:
    """``OPENKCM_TEST_ROUNDS`` rounds of ten new accounts, in each of which one of two workers is killed."""
    site.whole("worker-2")
    tenants: list[str] = []
    chance = random.Random(20261124)
    for _ in range(ROUNDS):
        tenants += [site.account().id for _ in range(A_ROUND)]
        time.sleep(chance.uniform(0.0, 0.8))
        dead = site.children[chance.choice(["worker", "worker-2"])]
        if dead.runs:
            dead.kill()
            dead.launch()
    until(lambda: _ready(site, tenants) == len(tenants) or None, what="all are ready", within_s=60 + ROUNDS)
    # What yields and was in the memory of a killed worker would be found after 30 s; here the time is moved instead.
    site.rows("update deliveries set lease_until = now() where state = 'pending'")
    for row in site.rows("select tenant from sagas where state = 'running'"):
        age(site, row["tenant"], leased=True)
    until(lambda: _open(site) == 0 or None, what="all mails are accepted", within_s=60 + ROUNDS)
    assert_set_up(site, *tenants)
    sent: dict[str, Counter[str]] = defaultdict(Counter)
    for mail in site.mail.received():
        sent[mail.recipient][mail.message_id] += 1
    for tenant in tenants:
        assert len(sent[f"{tenant}@meridian.example"]) == 1, "one message, whatever repeats it had"


def _ready(site: Site, tenants: list[str]) -> int:
    row = site.one("select count(*) from tenants where id = any($1) and stage = 'ready'", tenants)
    return int(row["count"]) if row else 0


def _open(site: Site) -> int:
    row = site.one("select count(*) from sagas where state <> 'done'")
    return int(row["count"]) if row else 0
