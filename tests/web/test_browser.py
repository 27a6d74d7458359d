"""Every page in every state in a real browser: axe finds nothing, nothing overflows, the policy stops nothing."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.parts import require
from tests.web.scenes import SCENES
from tests.web.stage import staged

pytestmark = pytest.mark.browser

CHROMIUM = Path(os.environ.get("OPENKCM_TEST_CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
RUN_AXE = """async () => {
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const found = await axe.run(document, {runOnly: tags});
    return found.violations.map(v => v.id + ": " + v.nodes.map(n => n.target + " " + n.failureSummary).join(" | "));
}"""
OVERFLOW = """() => [...document.querySelectorAll("main *, header *, footer *")]
    .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1
        && !e.closest(".scroll, .nav, .vh, svg"))
    .map(e => e.tagName + "." + e.className)
    .concat(document.documentElement.scrollWidth > document.documentElement.clientWidth ? ["the page"] : [])"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    require("chromium", CHROMIUM.exists(), f"looked for {CHROMIUM}; OPENKCM_TEST_CHROMIUM names another")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(staged(), log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)


@pytest.fixture(scope="module")
def browser(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    with sync_playwright() as driver:
        opened = driver.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("browser"),
            executable_path=CHROMIUM,
            args=ARGUMENTS,
            base_url=address,
            reduced_motion="reduce",
        )
        yield opened
        opened.close()


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    browser.clear_cookies()
    opened = browser.new_page()
    opened.on("console", note)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    opened.close()
    assert complaints == []


def themed(page: Page, address: str, theme: str) -> None:
    page.context.add_cookies([{"name": "openkcm-theme", "value": theme, "url": address}])


@pytest.mark.timeout(400)  # some hundred pages, each looked at by axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_every_page_is_accessible_and_fits(page: Page, address: str, theme: str, width: int) -> None:
    themed(page, address, theme)
    page.set_viewport_size({"width": width, "height": 900})
    found: dict[str, list[str]] = {}
    for name in SCENES:
        page.goto(f"/scene/{name}")
        page.add_script_tag(url="/axe.js")
        complaints = [*page.evaluate(RUN_AXE), *page.evaluate(OVERFLOW)]
        if complaints:
            found[name] = complaints
    assert found == {}


def test_the_checker_finds_what_is_wrong(page: Page) -> None:
    page.goto("/scene/home")
    page.add_script_tag(url="/axe.js")
    icon = page.locator("link[rel=icon]").get_attribute("href")
    page.evaluate("icon => { document.querySelector('h1').innerHTML = `<img src=${icon}>`; }", icon)
    page.evaluate("() => { document.querySelector('footer p').append('x'.repeat(1000)); }")
    assert [found for found in page.evaluate(RUN_AXE) if found.startswith("image-alt")]
    assert "the page" in page.evaluate(OVERFLOW)


def test_a_set_up_is_followed_step_by_step_and_ends_on_the_overview(page: Page) -> None:
    page.goto("/t/moving/setup", wait_until="commit")
    page.get_by_text("From here on your keys can be used").wait_for()
    page.wait_for_url("**/t/moving")
    assert page.get_by_role("heading", level=1).inner_text() == "Platform-managed key"


def test_a_cancelled_set_up_is_followed_back_and_forth_with_its_title_heading_lead_and_aside(
    page: Page,
) -> None:
    page.goto("/t/cancelled/setup", wait_until="commit")
    heading = page.get_by_role("heading", level=1)
    for title, first, next_, remedy in (
        ("Taking back", "Taking back the set-up of Payments", "Every step is taken back", 0),
        ("Not set up", "Payments was not set up", "", 1),
        ("Setting up keys for", "Setting up keys for Payments", "The overview opens", 0),
    ):
        page.request.get("/onward")
        heading.get_by_text(first).wait_for()
        page.wait_for_function("title => document.title.startsWith(title)", arg=title)
        assert page.title().endswith(" · OpenKCM")
        assert page.get_by_role("heading", name="What ends this").count() == remedy
        assert page.get_by_role("heading", level=1).count() == 1
        if next_:
            page.get_by_role("complementary").get_by_text(next_).wait_for()


def test_a_token_comes_into_the_page_and_the_focus_with_it(page: Page) -> None:
    page.goto("/t/2k7f9q1xw4m8zt3c")
    page.get_by_role("button", name="Encrypt your first record").press("Enter")
    heading = page.get_by_role("heading", name="Encrypt your first record")
    heading.wait_for()
    assert heading.evaluate("e => e === document.activeElement")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("status").get_by_text("Copied.").wait_for()
    assert "v1/encrypt" in page.evaluate("() => navigator.clipboard.readText()")


def test_the_theme_changes_by_its_button_and_stays(page: Page) -> None:
    page.goto("/t/2k7f9q1xw4m8zt3c")
    page.get_by_role("button", name="Switch to dark").click()
    page.get_by_role("button", name="Switch to light").wait_for()
    assert page.url.endswith("/t/2k7f9q1xw4m8zt3c")
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(15, 17, 19)"


def test_the_way_past_the_header_is_the_first_stop_of_the_keyboard(page: Page) -> None:
    page.goto("/t/2k7f9q1xw4m8zt3c")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"


def test_without_a_script_the_token_is_a_page_of_its_own(browser: BrowserContext, address: str) -> None:
    opened = browser.new_page()
    session = browser.new_cdp_session(opened)
    session.send("Emulation.setScriptExecutionDisabled", {"value": True})
    opened.goto(f"{address}/t/2k7f9q1xw4m8zt3c")
    opened.get_by_role("button", name="Encrypt your first record").click()
    opened.get_by_role("heading", name="Encrypt your first record").wait_for()
    assert opened.locator("pre").inner_text().startswith("OPENKCM=")
    assert opened.get_by_role("button", name="Copy").count() == 0
    opened.close()
