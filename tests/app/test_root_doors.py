"""The doors of a tenant's root key: looking changes nothing, a form counts once, a refusal stands where it belongs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from litestar import Litestar

from openkcm.app import create_app
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import close_database, open_database
from openkcm.kernel.notify import Listener
from openkcm.saga.journal import CHANNEL
from tests.app.browser import Browser
from tests.app.conftest import OWNER, TENANT, MemoryRegions, parts_of
from tests.app.keyed import Person, seen, told
from tests.app.rooted import LEASE, MEMORY, OTHER_STORE, OURS, Holder, connect, found, give_own_root
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration
NAME = "Account-Tenant-1"
NEW = "c-" + "3" * 32
CHANGED = "select verb, connection, asked_by, changed from key_requests"
CHECKS = "select checks_asked from connections where id = $1"


@pytest.fixture
async def links(links: dict[str, str], clock: SetClock) -> dict[str, str]:
    """One root key in force, a second connection that regions found good, and a third that nobody looked at."""
    await give_own_root(clock)
    await connect(OTHER_STORE, clock, title="Vault in Oslo", kind="hyok")
    await found(OTHER_STORE, clock)
    await connect(NEW, clock, title="New")
    return links


@pytest.fixture
async def ada(app: Litestar, links: dict[str, str]) -> AsyncIterator[Holder]:
    """The owner, signed in."""
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        yield Holder(browser)


async def test_looking_changes_nothing(ada: Holder) -> None:
    for verb in ("relink", "disconnect", "check", "open"):
        for name in (OURS, OTHER_STORE, NEW, "-", "c-none"):
            assert (await ada.look(f"/{verb}/{name}")).status_code in (200, 404)
    for path in ("", "/outage"):
        assert (await ada.look(path)).status_code == 200
    assert await seen(CHANGED) == []
    assert await seen("select from audit_events where verb like 'key%'") == []
    assert await seen(CHECKS, OTHER_STORE) == [{"checks_asked": 1}]


@pytest.mark.parametrize(
    ("name", "asks", "follows"),
    [
        (
            OTHER_STORE,
            "under Vault in Oslo?",
            (
                "If this root key is lost, your data is lost",
                "Everything goes on for up to 1\u00a0h, from memory",
                "Until then Our &lt;KMS&gt; is needed for it",
            ),
        ),
        ("-", "back under the platform’s root keys?", ("The platform decides from then on",)),
    ],
)
async def test_a_relink_says_what_follows_wants_the_name_typed_and_leads_to_its_report(
    ada: Holder, name: str, asks: str, follows: tuple[str, ...]
) -> None:
    question = await ada.look(f"/relink/{name}")
    for part in (asks, *follows, f"<code>{NAME}</code> to confirm"):
        assert part in question.text
    request = Person.request_in(question)
    refused = await ada.send(f"/relink/{name}", request, phrase="Account")
    assert refused.status_code == 422
    assert 'value="Account"' in refused.text
    assert Person.request_in(refused) == request
    assert await seen(CHANGED) == []
    answer = await ada.send(f"/relink/{name}", request, phrase=NAME)
    assert answer.status_code == 303
    again = await ada.send(f"/relink/{name}", request, phrase=NAME)
    assert again.headers["location"] == answer.headers["location"]
    connection = "" if name == "-" else name
    (asked,) = await seen(CHANGED)
    assert asked == {
        "verb": "relink",
        "connection": connection,
        "asked_by": f"person:#{OWNER}",
        "changed": True,
    }
    report = (await ada.browser.get(answer.headers["location"])).text
    assert "Relinking all keys of Account-Tenant-1" in report
    assert f'href="/t/{TENANT}/root-key">Root key</a>' in report
    page = (await ada.look()).text
    assert "A change is under way." in page
    assert "Follow it" in page
    busy = await ada.send("/relink/-", "page-" + "9" * 32, phrase=NAME)
    assert busy.status_code == 409
    assert "Another change of this account" in busy.text


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (NEW, "It was not checked yet by north and south: check it first."),
        (OURS, "Your keys are under it already."),
    ],
)
async def test_a_relink_that_cannot_be_is_refused_with_the_reason_and_changes_nothing(
    ada: Holder, name: str, why: str
) -> None:
    question = await ada.look(f"/relink/{name}")
    assert why in question.text
    assert "to confirm" not in question.text
    if name == NEW:
        refused = await ada.send(f"/relink/{name}", Person.request_in(question), phrase=NAME)
        assert refused.status_code == 409
        assert why in refused.text
    assert [row for row in await seen(CHANGED) if row["changed"]] == []


async def test_without_the_flag_a_relink_says_why_and_does_nothing(
    tenants: ModuleDatabases, links: dict[str, str], regions: MemoryRegions, clock: SetClock
) -> None:
    await close_database()
    await open_database(tenants.web, application="test-web", max_size=4)
    parts = parts_of(Listener(tenants.web, CHANNEL), regions, clock, without_step_up=False)
    async with Browser(create_app(parts, tls=False)) as browser:
        await browser.sign_in(links[TENANT])
        somebody = Holder(browser)
        page = (await somebody.look()).text
        assert "fresh proof of who you are" in page
        assert f"/root-key/relink/{OTHER_STORE}" not in page
        question = await somebody.look(f"/relink/{OTHER_STORE}")
        assert "fresh proof of who you are" in question.text
        refused = await somebody.send(f"/relink/{OTHER_STORE}", Person.request_in(question), phrase=NAME)
        assert refused.status_code == 403
        assert await seen(CHANGED) == []
        assert "Development" not in page


async def test_a_check_is_asked_for_once_while_it_goes_on(ada: Holder) -> None:
    for _ in range(2):
        answer = await ada.send(f"/check/{NEW}", "")
        assert answer.headers["location"] == f"/t/{TENANT}/root-key#{NEW}"
    assert await seen(CHECKS, NEW) == [{"checks_asked": 1}]
    page = (await ada.look()).text
    assert "Every region is looking at it" in page
    assert 'http-equiv="refresh"' in page
    assert (await ada.send("/check/c-none", "")).status_code == 404


async def test_a_connection_that_no_key_uses_is_removed_once_and_the_one_in_use_is_not(ada: Holder) -> None:
    question = await ada.look(f"/disconnect/{OTHER_STORE}")
    assert "Its sealed secrets (password) are deleted here." in question.text
    request = Person.request_in(question)
    for _ in range(2):
        answer = await ada.send(f"/disconnect/{OTHER_STORE}", request)
        assert answer.headers["location"] == f"/t/{TENANT}/root-key"
    assert await seen("select id from connections order by id") == [{"id": OURS}, {"id": NEW}]
    assert await seen("select from connection_checks where connection = $1", OTHER_STORE) == []
    used = await ada.look(f"/disconnect/{OURS}")
    assert ("No key of yours is under it" in question.text, "No key of yours is under it" in used.text) == (
        True,
        False,
    )
    assert "Its root key is needed for tenant key version 1." in used.text
    refused = await ada.send(f"/disconnect/{OURS}", Person.request_in(used))
    assert refused.status_code == 409
    assert "Not now. Nothing was changed." in refused.text
    assert len(await seen("select from connections")) == 2


async def test_a_form_without_its_token_or_its_name_changes_nothing(ada: Holder) -> None:
    request = Person.request_in(await ada.look(f"/relink/{OTHER_STORE}"))
    token, ada.browser.csrf = ada.browser.csrf, "x" * 43
    for path in (f"/relink/{OTHER_STORE}", f"/disconnect/{OTHER_STORE}", f"/check/{OTHER_STORE}", "/outage"):
        refused = await ada.send(path, request, phrase=NAME, **LEASE)
        assert (refused.status_code, "form-expired" in refused.text) == (403, True)
    ada.browser.csrf = token
    for name in ("", "page-1", "cli-" + "0" * 32):
        for path in (f"/relink/{OTHER_STORE}", f"/disconnect/{OTHER_STORE}", "/outage"):
            assert (await ada.send(path, name, phrase=NAME, **LEASE)).status_code == 400
    assert await seen(CHANGED) == []
    assert await seen(CHECKS, OTHER_STORE) == [{"checks_asked": 1}]


async def test_who_is_no_owner_any_more_may_neither_look_nor_ask(ada: Holder) -> None:
    request = Person.request_in(await ada.look(f"/relink/{OTHER_STORE}"))
    await told("delete from grants where tenant = $1", TENANT)
    answers = [
        await ada.look(),
        await ada.look("/outage"),
        await ada.look("/events"),
        await ada.send(f"/relink/{OTHER_STORE}", request, phrase=NAME),
        await ada.send(f"/disconnect/{OTHER_STORE}", request),
        await ada.send(f"/check/{OTHER_STORE}", request),
        await ada.send("/outage", request, **MEMORY),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert await seen(CHANGED) == []
    assert len(await seen("select from connections")) == 3


@pytest.mark.parametrize(
    ("presence", "said"),
    [("deleting", "The account is being deleted."), ("gone", "The account is gone.")],
)
async def test_an_account_that_goes_says_that_nothing_can_be_asked(
    ada: Holder, presence: str, said: str
) -> None:
    await told("update tenants set presence = $2 where id = $1", TENANT, presence)
    page = (await ada.look()).text
    assert said in page
    assert "Check again" not in page
    assert "keystores connect" not in page
    for path, form in (("/outage", MEMORY), (f"/relink/{OTHER_STORE}", {"phrase": NAME})):
        assert said in (await ada.look(path)).text
        refused = await ada.send(path, "page-" + "5" * 32, **form)
        assert refused.status_code == 409
        assert said in refused.text
    assert said in (await ada.look(f"/disconnect/{OTHER_STORE}")).text


@pytest.mark.parametrize("path", ["/relink/c-none", "/disconnect/c-none", "/open/-", "/outage/x", "/nothing"])
async def test_what_there_is_not_is_not_found(ada: Holder, path: str) -> None:
    assert (await ada.look(path)).status_code == 404
