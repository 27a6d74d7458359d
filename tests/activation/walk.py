"""An owner of an account in a real browser, on a running installation of two regions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.databases import REGIONS
from tests.provisioning.accounts import Account
from tests.provisioning.consistent import RECORD, decrypted, encrypted
from tests.provisioning.site import Site, wait_done
from tests.web.test_browser import ARGUMENTS, CHROMIUM


@dataclass
class Walk:
    """An owner in a browser, on the pages of one account."""

    site: Site
    account: Account
    page: Page

    def open(self, path: str) -> None:
        self.page.goto(f"{self.site.public_url}/t/{self.account.id}{path}")

    def do(self, link: str, button: str, *, typed: str = "") -> None:
        """The action is chosen on its page, confirmed, and in force everywhere."""
        self.page.get_by_role("link", name=link, exact=True).first.click()
        if typed:
            self.page.get_by_label("to confirm").fill(typed)
        self.page.get_by_role("button", name=button, exact=True).click()
        self.page.get_by_text("In force everywhere").wait_for(timeout=30_000)
        for region in REGIONS:
            assert "after" in self.page.locator(f"[data-region='{region}'] .at").inner_text()

    def works(self, message: bytes) -> tuple[bool, bool]:
        """Whether each region encrypts, and decrypts that message."""
        encrypts = {encrypted(self.site, region, self.account.id) is not None for region in REGIONS}
        decrypts = {decrypted(self.site, region, self.account.id, message) == RECORD for region in REGIONS}
        assert len(encrypts) == len(decrypts) == 1, "the regions differ"
        return encrypts.pop(), decrypts.pop()


def without_step_up(site: Site) -> None:
    """Its control asks for no fresh proof of who asks."""
    for name in ("web", "worker", "worker-2"):
        file = site.home / f"{name}.toml"
        text = file.read_text()
        file.write_text(text.replace("[control]\n", "[control]\nunsafe_without_step_up = true\n"))


@contextmanager
def walking(site: Site, directory: Path) -> Iterator[Walk]:
    """A new account, whose owner has just come in."""
    account = site.account()
    wait_done(site, account.id)
    link = directory / "link"
    site.openkcm("tenants", "sign-in", account.id, "--file", str(link))
    with sync_playwright() as driver:
        opened = driver.chromium.launch_persistent_context(
            directory / "browser", executable_path=CHROMIUM, args=ARGUMENTS, reduced_motion="reduce"
        )
        page = opened.new_page()
        page.goto(link.read_text().strip())
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"**/t/{account.id}")
        yield Walk(site, account, page)
        opened.close()
