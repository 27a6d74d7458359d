"""An owner's walk to a root key of their own and back: real browser, regions, hosts and outage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from openkcm.sdk.testing.memory_kms import ADDRESS, MemoryKms
from tests.activation.walk import Walk, walking, without_step_up
from tests.databases import REGIONS, ModuleDatabases
from tests.keystores.parts import RIGHTS
from tests.parts import require
from tests.provisioning.consistent import encrypted
from tests.provisioning.site import Site, running_site
from tests.web.test_browser import CHROMIUM

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.browser]
SOON_MS = 60_000


@pytest.fixture(scope="module")
def kms_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kms")


@pytest.fixture(scope="module")
def site(databases: ModuleDatabases, queue_url: str, kms_folder: Path) -> Iterator[Site]:
    require("chromium", CHROMIUM.exists(), f"looked for {CHROMIUM}; OPENKCM_TEST_CHROMIUM names another")
    with running_site(databases, queue_url) as made:
        without_step_up(made)
        made.announce(kms_folder)
        made.start(*REGIONS, "web", "worker")
        yield made


@pytest.fixture
def walk(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    with walking(site, tmp_path_factory.mktemp("walk")) as made:
        yield made


def test_an_owner_takes_a_root_key_of_their_own_into_use_sees_its_outage_and_goes_back(
    walk: Walk, kms_folder: Path, tmp_path: Path
) -> None:
    page, site, account = walk.page, walk.site, walk.account
    name = page.locator(".acct").inner_text().rpartition("/")[2].strip()
    message = encrypted(site, "local", account.id)
    assert message is not None
    walk.open("/root-key")
    subject = page.locator("#connect code").last.inner_text()
    kms = MemoryKms(kms_folder)
    password = tmp_path / "password"
    password.write_text(kms.create("payments", identity="openkcm", rights=list(RIGHTS), names=subject))
    answers = (f"address={ADDRESS}", "key=payments", "identity=openkcm")
    given = [part for each in answers for part in ("--answer", each)]
    site.openkcm(
        "keystores", "connect", account.id, "--plugin", "memory", *given, "--secret", f"password={password}"
    )

    page.get_by_role("button", name="Check Key store in memory").click(timeout=SOON_MS)  # came by itself
    page.get_by_text("Found good").wait_for(timeout=SOON_MS)
    walk.do("Use this root key…", "Use this root key", typed=name)
    page.get_by_role("link", name="See the root key").click()
    page.get_by_role("heading", name="Your key in Key store in memory", level=1).wait_for()
    page.get_by_text("In every region").wait_for(timeout=SOON_MS)
    assert walk.works(message) == (True, True)

    kms.fail("away", key="payments")
    page.get_by_role("alert").get_by_text("does not answer. Everything works until").wait_for(timeout=SOON_MS)
    page.get_by_text("Serving from memory").wait_for()
    assert walk.works(message) == (True, True)
    walk.open("")
    page.get_by_role("alert").get_by_text("does not answer. Everything works until").wait_for()
    page.get_by_role("link", name="See what to do").click()
    page.get_by_text("What works, and until when").wait_for()
    kms.heal("payments")
    page.get_by_text("In every region").wait_for(timeout=SOON_MS)
    assert page.get_by_role("alert").filter(has_text="does not answer").count() == 0

    walk.do("Go back to the platform’s…", "Go back to the platform’s", typed=name)
    assert walk.works(message) == (True, True)
    page.get_by_role("link", name="See the root key").click()
    page.get_by_role("heading", name="Platform-managed key", level=1).wait_for()
    page.get_by_text("Its root key is needed for tenant key version 2.").wait_for()
