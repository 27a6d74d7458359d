"""An owner's walk through the pages of keys, in a real browser, on a running installation of two regions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.activation.walk import Walk, walking, without_step_up
from tests.databases import REGIONS, ModuleDatabases
from tests.parts import require
from tests.provisioning.consistent import encrypted
from tests.provisioning.processes import until
from tests.provisioning.site import Site, running_site
from tests.web.test_browser import CHROMIUM

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.browser]


@pytest.fixture(scope="module")
def site(databases: ModuleDatabases, queue_url: str) -> Iterator[Site]:
    require("chromium", CHROMIUM.exists(), f"looked for {CHROMIUM}; OPENKCM_TEST_CHROMIUM names another")
    with running_site(databases, queue_url) as made:
        without_step_up(made)
        made.start(*REGIONS, "web", "worker")
        yield made


@pytest.fixture
def walk(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    with walking(site, tmp_path_factory.mktemp("walk")) as made:
        yield made


def test_an_owner_rotates_restricts_revokes_restores_and_changes_their_mind(walk: Walk) -> None:
    message = encrypted(walk.site, "local", walk.account.id)
    assert message is not None
    walk.page.get_by_role("link", name="Keys", exact=True).click()
    walk.page.get_by_role("heading", name="Encrypting and decrypting").wait_for()
    walk.open("/keys/default")
    walk.do("Rotate… default", "Rotate")
    walk.page.get_by_role("link", name="See the key").click()
    walk.page.get_by_text("Version 2, since").wait_for()
    assert walk.works(message) == (True, True)

    walk.do("Make read-only… default", "Make read-only")
    assert walk.works(message) == (False, True)
    walk.page.reload()
    walk.page.get_by_text("In force everywhere").wait_for()
    walk.open("/keys/default")
    walk.page.get_by_text("Encrypting is refused with key-read-only").wait_for()
    walk.do("Enable… default", "Enable")
    assert walk.works(message) == (True, True)

    walk.open("/keys/default/revoke")
    walk.page.get_by_label("to confirm").fill("defualt")
    walk.page.keyboard.press("Enter")
    walk.page.get_by_text("That is another name. Nothing was changed.").wait_for()
    assert walk.page.get_by_label("to confirm").input_value() == "defualt"
    assert walk.works(message) == (True, True)
    walk.open("/keys/default")
    walk.do("Revoke… default", "Revoke", typed="default")
    assert walk.works(message) == (False, False)
    walk.open("/keys/default")
    walk.do("Restore… default", "Restore")
    assert walk.works(message) == (True, True)

    walk.open("/keys/default")
    walk.do("Destroy… version 1", "Destroy", typed="default")
    walk.page.get_by_text("Any use stops it.").wait_for()
    walk.open("/keys/default")
    walk.do("Keep… version 1", "Keep")
    walk.open("/keys/default")
    walk.page.get_by_role("link", name="Destroy… version 1", exact=True).wait_for()
    assert walk.works(message) == (True, True)


def _woken(queue_url: str, row: int) -> bool:
    with Redis.from_url(queue_url) as redis:
        return bool(redis.exists(f"arq:job:outbox:{row}:0:0"))


def test_a_decision_on_the_pages_wakes_the_worker_and_is_not_left_to_its_sweep(
    walk: Walk, queue_url: str
) -> None:
    walk.site.kill("worker")
    try:
        walk.open("/keys/default/read-only")
        walk.page.get_by_role("button", name="Make read-only").click()
        walk.page.get_by_role("heading", name="Making read-only").wait_for()
        event = walk.site.one(
            "select id from outbox where topic = 'activation.decided' and tenant = $1", walk.account.id
        )
        assert event is not None
        until(lambda: _woken(queue_url, event["id"]), what="the worker is woken", within_s=10)
    finally:
        walk.site.whole("worker")
    walk.page.get_by_text("In force everywhere").wait_for(timeout=40_000)


def test_an_owner_sees_what_a_choice_for_an_outage_comes_to_and_saves_it(walk: Walk) -> None:
    walk.page.get_by_role("link", name="Root key", exact=True).click()
    walk.page.get_by_role("heading", name="Platform-managed key").wait_for()
    walk.page.get_by_role("link", name="Change… what happens when the key store does not answer").click()
    worst = walk.page.locator("#worst")
    worst.get_by_text("Lease, as it is now").wait_for()
    walk.page.get_by_label("Memory only").check()
    worst.get_by_text("Memory only, not saved yet").wait_for()
    walk.page.get_by_role("status").get_by_text("an outage is survived for 1\u00a0h").wait_for(
        state="attached"
    )
    walk.page.get_by_label("Outage window").focus()
    walk.page.get_by_label("Outage window").select_option("900")
    worst.get_by_text("20\u00a0min 30\u00a0s").wait_for()
    assert walk.page.evaluate("() => document.activeElement.id") == "outage"
    walk.page.get_by_label("Fail closed").check()
    worst.get_by_text("No time").first.wait_for()
    assert not walk.page.get_by_label("Outage window").is_visible()
    walk.page.get_by_label("Memory only").check()
    worst.get_by_text("20\u00a0min 30\u00a0s").wait_for()
    walk.page.get_by_role("button", name="Save this choice").press("Enter")
    walk.page.get_by_text("In force everywhere").wait_for(timeout=30_000)
    for region in REGIONS:
        assert "after" in walk.page.locator(f"[data-region='{region}'] .at").inner_text()
    walk.page.get_by_role("link", name="See the root key").click()
    walk.page.get_by_text("15\u00a0min without an answer").wait_for()
    walk.open("/root-key/outage")
    walk.page.get_by_text("Memory only, as it is now").wait_for()
    assert walk.page.get_by_label("Outage window").input_value() == "900"


def test_a_report_survives_a_silent_region_and_the_death_of_the_worker(walk: Walk) -> None:
    walk.site.kill("eu-1")
    try:
        walk.open("/keys/default/read-only")
        walk.page.get_by_role("button", name="Make read-only").click()
        walk.page.get_by_role("heading", name="1 of 2 regions").wait_for(timeout=20_000)
        walk.page.get_by_text("If it stays silent it stops by itself at").wait_for(timeout=20_000)
        walk.site.kill("worker")
    finally:
        walk.site.whole(*REGIONS, "web", "worker")
    walk.page.get_by_text("In force everywhere").wait_for(timeout=40_000)
    walk.open("/keys/default")
    walk.do("Enable… default", "Enable")
