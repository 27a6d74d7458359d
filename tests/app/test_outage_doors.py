"""The doors of the choice for an outage: what it comes to is shown before it is saved, and it is saved once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from litestar import Litestar

from openkcm.kernel.clock import SetClock
from tests.app.browser import Browser
from tests.app.conftest import OWNER, TENANT
from tests.app.keyed import Person, seen
from tests.app.rooted import LEASE, MEMORY, Holder, give_own_root

pytestmark = pytest.mark.integration
CHANGED = "select verb, connection, asked_by, changed from key_requests"


@pytest.fixture
async def links(links: dict[str, str], clock: SetClock) -> dict[str, str]:
    """A root key of the tenant's own is in force."""
    await give_own_root(clock)
    return links


@pytest.fixture
async def ada(app: Litestar, links: dict[str, str]) -> AsyncIterator[Holder]:
    """The owner, signed in."""
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        yield Holder(browser)


async def test_a_choice_for_an_outage_is_shown_before_it_is_saved_and_saved_once(ada: Holder) -> None:
    question = await ada.look("/outage")
    assert "3\u00a0min 6\u00a0s" in question.text
    assert "24\u00a0h 6\u00a0min" in question.text
    assert "<strong>Lease</strong>, the default for your root key" in question.text
    request = Person.request_in(question)
    looked = await ada.send("/outage", request, look="1", **MEMORY)
    assert await seen(CHANGED) == []
    for part in (
        "Memory only, not saved yet",
        "15\u00a0min",
        "20\u00a0min 30\u00a0s",
        "1\u00a0h 6\u00a0min",
        "Stops",
    ):
        assert part in looked.text
    answer = await ada.send("/outage", request, **MEMORY)
    assert answer.status_code == 303
    again = await ada.send("/outage", request, **MEMORY)
    assert again.headers["location"] == answer.headers["location"]
    report = (await ada.browser.get(answer.headers["location"])).text
    assert "Choosing what happens in an outage" in report
    assert "0 of 2 regions" in report
    (chosen,) = await seen(
        "select choice, outage_s, doubtful_s, governance_s, encrypting_s, set_by from outage_choices"
    )
    assert chosen == {
        "choice": "memory-only",
        "outage_s": 900.0,
        "doubtful_s": 300.0,
        "governance_s": 3600.0,
        "encrypting_s": 30.0,
        "set_by": f"person:#{OWNER}",
    }
    assert len(await seen(CHANGED)) == 1
    page = (await ada.look("/outage")).text
    assert f"<strong>Memory only</strong>, chosen by {OWNER}" in page
    assert "Memory only, as it is now" in page.replace("\n", "")
    assert f"Memory only, by {OWNER}" in (await ada.look()).text


async def test_what_htmx_asks_for_is_the_part_alone_and_carries_no_form(ada: Holder) -> None:
    request = Person.request_in(await ada.look("/outage"))
    form = {"csrf": ada.browser.csrf, "request": request, "look": "1", **LEASE}
    part = await ada.browser.client.post(
        f"/t/{TENANT}/root-key/outage", data=form, headers={"hx-request": "true"}
    )
    assert part.status_code == 200
    assert 'id="worst"' in part.text
    assert 'id="worst-said"' in part.text
    assert "<html" not in part.text
    assert "<form" not in part.text


@pytest.mark.parametrize(
    "changes",
    [
        {"choice": "sometimes"},
        {"choice": ""},
        {"outage": "86401"},
        {"outage": "-1"},
        {"doubtful": "an hour"},
        {"doubtful": ""},
        {"governance": "600"},
        {"governance": "1e3"},
        {"outage": "\u0663"},
    ],
)
async def test_a_window_that_there_is_not_is_refused_and_nothing_is_changed(
    ada: Holder, changes: dict[str, str]
) -> None:
    refused = await ada.ask("/outage", **(MEMORY | changes))
    assert refused.status_code == 422
    assert "Nothing was changed." in refused.text
    looked = await ada.ask("/outage", look="1", **(MEMORY | changes))
    assert "Nothing was changed." in looked.text
    assert await seen(CHANGED) == []


async def test_who_stops_at_once_has_no_window_whatever_the_list_says(ada: Holder) -> None:
    assert (await ada.ask("/outage", **(MEMORY | {"choice": "fail-closed"}))).status_code == 303
    assert await seen("select choice, outage_s from outage_choices") == [
        {"choice": "fail-closed", "outage_s": None}
    ]
    assert "nothing: everything stops" in (await ada.look()).text


async def test_the_same_choice_again_is_no_change(ada: Holder) -> None:
    await ada.ask("/outage", **MEMORY)
    again = await ada.ask("/outage", **MEMORY)
    assert "It was so already" in (await ada.browser.get(again.headers["location"])).text
