"""The page of a tenant's root key in every state that regions tell of, and what the other pages say of it."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import pytest

from openkcm.app import create_app
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import close_database, open_database
from openkcm.kernel.notify import Listener
from openkcm.saga.journal import CHANNEL
from tests.app.browser import Browser
from tests.app.conftest import TENANT, MemoryRegions, parts_of
from tests.app.keyed import give_keys
from tests.app.rooted import OTHER_STORE, OURS, SEALED, Holder, connect, found, give_own_root
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration
TAGS = re.compile("<[^>]+>")
HOME = f"/t/{TENANT}"
Enter: TypeAlias = Callable[[], AbstractAsyncContextManager[Holder]]


def words(text: str) -> str:
    """A page's text without its markup, on one line."""
    return " ".join(TAGS.sub(" ", text).replace("\u00a0", " ").split()).replace(" .", ".").replace(" ,", ",")


@pytest.fixture
def enter(tenants: ModuleDatabases, links: dict[str, str], regions: MemoryRegions, clock: SetClock) -> Enter:
    """The owner comes in, once everything is told: from then on the process has the web's rights alone."""

    @asynccontextmanager
    async def entered() -> AsyncIterator[Holder]:
        await close_database()
        await open_database(tenants.web, application="test-web", max_size=4)
        async with Browser(
            create_app(parts_of(Listener(tenants.web, CHANNEL), regions, clock), tls=False)
        ) as at:
            await at.sign_in(links[TENANT])
            yield Holder(at)

    return entered


async def test_under_the_platforms_root_key_the_page_says_so_and_how_to_bring_ones_own(
    enter: Enter,
) -> None:
    await give_keys()
    async with enter() as owner:
        page = await owner.look()
    told = words(page.text)
    assert "Platform-managed key" in told
    assert 'data-own="platform"' in page.text
    assert f"openkcm keystores connect {TENANT} --plugin NAME" in told
    assert re.search("name this subject in the condition.* openkcm-[0-9a-f]{32}", told)
    assert 'aria-current="page">Root key</a>' in page.text
    assert "Nothing for you to do." in told
    assert "Check" not in told


@pytest.mark.parametrize(
    ("condition", "said", "overview"),
    [
        (
            "fine",
            ("north: answers", "Our &lt;KMS&gt; answers: everything works.", "In every region"),
            "Your key in Our",
        ),
        (
            "no-answer",
            (
                "north: no answer",
                "1 h left of your 24 h outage window",
                "This is not a refusal",
                "The store did not answer in time.",
                "What works, and until when",
                "Serving from lease",
                "could read your data without asking your key store",
            ),
            "does not answer. Everything works until",
        ),
        (
            "doubtful",
            (
                "north: doubtful",
                "1 h left of your 1 h doubtful window",
                "Enter the new password.",
                "a mistake of ours would look the same",
            ),
            "gives a doubtful answer. Everything works until",
        ),
        (
            "suspended",
            (
                "Suspended by the key store",
                "north: refused",
                "Nothing works here. It heals by itself when the key answers.",
                "The key is disabled. key-disabled",
                "Enable the key. Who can do it: the key",
            ),
            "refuses your key. Nothing works.",
        ),
        (
            "over",
            ("Stopped", "north: stopped", "No answer for longer than you chose. Nothing works here."),
            "has been silent for longer than you chose. Nothing works.",
        ),
    ],
)
async def test_every_condition_is_said_with_what_works_and_what_to_do(
    enter: Enter, clock: SetClock, condition: str, said: tuple[str, ...], overview: str
) -> None:
    await give_own_root(clock, north=condition, south=condition)
    async with enter() as owner:
        page = words((await owner.look()).text)
        for part in said:
            assert part in page
        home = (await owner.browser.get(HOME)).text
        keys = words((await owner.browser.get(f"{HOME}/keys")).text)
        key = words((await owner.browser.get(f"{HOME}/keys/default")).text)
    assert overview in words(home)
    assert ('role="alert" data-tone' in home) is (condition != "fine")
    assert ("See what to do" in words(home)) is (condition != "fine")
    halted = condition in ("suspended", "over")
    assert ("Nothing works" in keys) is halted
    assert ("Its root key does not let it be used" in key) is halted
    assert ("Encrypt your first record" in home) is not halted


async def test_regions_that_fare_differently_are_told_apart(enter: Enter, clock: SetClock) -> None:
    await give_own_root(clock, north="no-answer", south="suspended")
    async with enter() as owner:
        page = words((await owner.look()).text)
        home = (await owner.browser.get(HOME)).text
    assert "refuses your key. Nothing works in south." in page
    assert "north goes on until" in page
    assert "Encrypt your first record" in home


async def test_a_region_that_has_not_told_is_not_said_to_be_well(enter: Enter, clock: SetClock) -> None:
    await give_own_root(clock, north="fine")
    async with enter() as owner:
        page = words((await owner.look()).text)
    assert "south: not heard yet" in page
    assert "In every region" not in page


async def test_a_connection_shows_names_of_its_secrets_and_never_what_is_sealed(
    enter: Enter, clock: SetClock
) -> None:
    await give_own_root(clock)
    await connect(OURS, clock, version=2)
    await connect(OTHER_STORE, clock, title="Another", kind="hyok")
    await found(OTHER_STORE, clock, bad="south")
    async with enter() as owner:
        page = await owner.look()
    told = words(page.text)
    for sealed in (SEALED.decode(), b64encode(SEALED).decode().rstrip("=")):
        assert sealed not in page.text
    for part in (
        "password names only: nobody here can read them",
        "2 Waits for a good check",
        "1 Counts",
        "key payments",
        "New secrets of Our &lt;KMS&gt; wait",
        "tenant key version 1",
        "Key store in memory",
        "south: not usable",
        "The key may not be used. not-permitted",
        "Permission: memory:Unwrap",
        "Cannot be used now: Found faulty by south",
    ):
        assert part in told
    assert f"/root-key/disconnect/{OTHER_STORE}" in page.text
    assert f"/root-key/disconnect/{OURS}" not in page.text


async def test_the_overviews_alarm_is_told_anew_only_when_it_changed(enter: Enter, clock: SetClock) -> None:
    await give_own_root(clock, north="no-answer", south="fine")
    async with enter() as owner:
        home = (await owner.browser.get(HOME)).text
        again = re.search(r'hx-get="([^"]+block=alarm[^"]+)"', home)
        assert again
        path = again[1].replace("&amp;", "&")
        same = await owner.browser.client.get(path, headers={"hx-request": "true"})
        other = await owner.browser.client.get(
            path.replace("no-answer", "none"), headers={"hx-request": "true"}
        )
    assert (same.status_code, same.text) == (204, "")
    assert "Everything works until" in other.text
    assert "<html" not in other.text
