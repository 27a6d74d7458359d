"""The doors of a tenant's applications: a form says what is wrong beside its field, counts once, and is told of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from litestar import Litestar

from openkcm.crypto.contract import LastUse
from openkcm.kernel.clock import SetClock
from tests.app.browser import Browser
from tests.app.conftest import OWNER, TENANT, MemoryRegions
from tests.app.keyed import Person, give_keys, seen
from tests.crypto.callers.pki import SPIFFE, Authority

pytestmark = pytest.mark.integration
CA = Authority()
CHANGED = "select verb, service, caller, asked_by, changed from key_requests"
GOOD = {"caller": "shop", "service": "default", "encrypt": "1"}
ISSUER = GOOD | {"issuer": "https://issuer.example", "subject": "backend", "authority": ""}


class Owner:
    """The owner at the pages of the account's applications."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser

    async def look(self, path: str = "") -> str:
        answer = await self.browser.get(f"/t/{TENANT}/callers{path}")
        assert answer.status_code == 200, answer.text
        return answer.text

    async def form(self, path: str) -> str:
        return Person.request_in(await self.browser.get(f"/t/{TENANT}/callers{path}"))

    async def send(self, path: str, request: str, **fields: str) -> tuple[int, str, str]:
        answer = await self.browser.send(f"/t/{TENANT}/callers{path}", {"request": request, **fields})
        return answer.status_code, answer.headers.get("location", ""), answer.text


@pytest.fixture
async def links(links: dict[str, str]) -> dict[str, str]:
    """The tenant has keys before the process gives up the worker's rights."""
    await give_keys()
    return links


@pytest.fixture
async def ada(app: Litestar, links: dict[str, str]) -> AsyncIterator[Owner]:
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        yield Owner(browser)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("issuer", ISSUER),
        ("certificate", GOOD | {"authority": CA.pem, "name": SPIFFE}),
        ("pinned", GOOD | {"certificate": CA.issue("a").pem, "rewrap": "1"}),
    ],
)
async def test_an_application_is_added_once_and_its_report_and_the_list_tell_of_it(
    ada: Owner, kind: str, fields: dict[str, str]
) -> None:
    assert "No application yet" in await ada.look()
    request = await ada.form(f"/add/{kind}")
    status, report, _ = await ada.send(f"/add/{kind}", request, **fields)
    assert status == 303
    assert (await ada.send(f"/add/{kind}", request, **fields))[1] == report
    assert await seen(CHANGED) == [
        {
            "verb": "add-caller",
            "service": "default",
            "caller": "shop",
            "asked_by": f"person:#{OWNER}",
            "changed": True,
        }
    ]
    page = (await ada.browser.get(report)).text
    assert "Adding the application shop" in page
    assert "0 of 2 regions" in page
    page = await ada.look()
    assert "1\u00a0application" in page
    assert "Not everywhere yet" in page
    (row,) = await seen("select trust ->> 'kind' as kind, verbs from callers where trust is not null")
    assert row["kind"] == kind


async def test_an_application_is_removed_after_its_consequences_were_shown(ada: Owner) -> None:
    await ada.send("/add/issuer", await ada.form("/add/issuer"), **ISSUER)
    question = await ada.look("/remove/shop")
    for part in ("shop is refused", "caller-unknown", "encrypting for 30\u00a0s", "5\u00a0min"):
        assert part in question
    status, report, _ = await ada.send("/remove/shop", await ada.form("/remove/shop"))
    assert status == 303
    assert "They stop decrypting within 5\u00a0min" in (await ada.browser.get(report)).text
    assert "No application yet" in await ada.look()
    assert (await ada.browser.get(f"/t/{TENANT}/callers/remove/shop")).status_code == 404


async def test_the_list_says_where_to_call_and_what_each_did_last_anywhere(
    ada: Owner, regions: MemoryRegions, clock: SetClock
) -> None:
    await ada.send("/add/issuer", await ada.form("/add/issuer"), **ISSUER)
    page = await ada.look()
    for words in (
        "<code>https://north.test:8081</code>",
        f"<code>https://{TENANT}.south.test:8081</code>",
        f"<code>openkcm:south:{TENANT}</code>",
        "None yet",
    ):
        assert words in page
    assert "It has not called yet." in await ada.look("/remove/shop")
    now = clock.now()
    regions.each["north"].last["shop"] = LastUse(
        caller="shop", at=now - timedelta(minutes=5), verb="encrypt", outcome="done"
    )
    regions.each["south"].last["shop"] = LastUse(caller="shop", at=now, verb="decrypt", outcome="key-revoked")
    page = await ada.look()
    assert "Decrypt in south, refused: key-revoked." in page
    assert f'href="/t/{TENANT}/uses?period=30d&amp;caller=shop"' in page
    assert "None yet" not in page
    question = await ada.look("/remove/shop")
    assert "in south, which was refused (key-revoked)." in question


async def test_a_region_that_does_not_answer_leaves_the_list_whole_and_its_part_unknown(
    ada: Owner, regions: MemoryRegions, clock: SetClock
) -> None:
    await ada.send("/add/issuer", await ada.form("/add/issuer"), **ISSUER)
    regions.each["south"].down = True
    page = await ada.look()
    for words in (
        "https://north.test:8081",
        "the region does not answer",
        "Not known",
        "south does not answer",
    ):
        assert words in page
    assert "None yet" not in page
    assert "is not known: south does not answer now" in await ada.look("/remove/shop")
    regions.each["north"].last["shop"] = LastUse(caller="shop", at=clock.now(), verb="token", outcome="done")
    assert "Exchange a token in north." in await ada.look()
    # And it can be removed meanwhile.
    assert (await ada.send("/remove/shop", await ada.form("/remove/shop")))[0] == 303


async def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_changed(ada: Owner) -> None:
    request = await ada.form("/add/issuer")
    wrong = {"caller": "Shop!", "service": "default", "issuer": "http://issuer.example", "subject": "a b"}
    status, _, page = await ada.send("/add/issuer", request, **wrong)
    assert status == 422
    for field in ("caller", "verbs", "issuer", "subject"):
        assert f'id="{field}-e"' in page
    assert 'value="http://issuer.example"' in page
    assert await seen(CHANGED) == []
    # And it goes on from there.
    assert (await ada.send("/add/issuer", request, **ISSUER))[0] == 303


async def test_a_private_key_is_refused_not_sent_back_and_kept_nowhere(ada: Owner) -> None:
    leaf = CA.issue("a")
    secret = leaf.key_pem.splitlines()[1]
    for kind, field in (("pinned", "certificate"), ("certificate", "authority"), ("issuer", "authority")):
        fields = ISSUER | {"name": "a", field: leaf.pem + leaf.key_pem}
        status, _, page = await ada.send(f"/add/{kind}", await ada.form(f"/add/{kind}"), **fields)
        assert status == 422
        assert "private key" in page
        assert secret not in page
    assert await seen("select from callers where trust is not null") == []


async def test_a_name_that_is_taken_and_a_service_that_is_not_there_are_said(ada: Owner) -> None:
    await ada.send("/add/issuer", await ada.form("/add/issuer"), **ISSUER)
    for change, field in (
        (GOOD | {"subject": "other"}, "caller"),
        ({"caller": "b", "service": "none"}, "service"),
    ):
        status, _, page = await ada.send("/add/issuer", await ada.form("/add/issuer"), **(ISSUER | change))
        assert status == 422
        assert f'id="{field}-e"' in page


@pytest.mark.parametrize("path", ["/add/password", "/remove/nobody", "/remove/home-page"])
async def test_there_is_nothing_elsewhere(ada: Owner, path: str) -> None:
    assert (await ada.browser.get(f"/t/{TENANT}/callers{path}")).status_code == 404


async def test_the_overview_and_the_navigation_lead_there(ada: Owner) -> None:
    page = (await ada.browser.get(f"/t/{TENANT}")).text
    assert page.count(f'href="/t/{TENANT}/callers"') == 2
    assert 'aria-current="page">Applications</a>' in await ada.look()
