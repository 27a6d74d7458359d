"""The doors of a tenant's keys: looking changes nothing, a form counts once, and a refusal is said where it belongs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from litestar import Litestar

from openkcm.app import create_app
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, close_database, open_database, transaction
from openkcm.kernel.notify import Listener
from openkcm.keychain.states import KeyVerb
from openkcm.saga.journal import CHANNEL
from tests.app.browser import Browser
from tests.app.conftest import OWNER, TENANT, MemoryRegions, parts_of
from tests.app.keyed import L3, OLD, Person, give_keys, seen, told
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration
CHANGED = "select verb, service, key_id, asked_by, changed from key_requests"


@pytest.fixture
async def links(links: dict[str, str]) -> dict[str, str]:
    """The tenant has keys before the process gives up the worker's rights."""
    await give_keys()
    return links


@pytest.fixture
async def ada(app: Litestar, links: dict[str, str]) -> AsyncIterator[Person]:
    """The owner, signed in."""
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        yield Person(browser)


async def test_the_list_says_what_encrypts_and_the_one_next_thing(ada: Person) -> None:
    page = (await ada.look()).text
    assert "Encrypting and decrypting" in page
    assert f'href="/t/{TENANT}/keys/default"' in page
    assert "A region has not confirmed the last decision yet. It is tried again by itself." in page
    for region in ("north", "south"):
        await told(
            "insert into observed (tenant, region, epoch, generation, hash, acknowledged_at) "
            "select $1, $2, epoch, 9, 'h', now() from installation",
            TENANT,
            region,
        )
    page = (await ada.look()).text
    assert "The key of default is rotated only when somebody asks for it." in page
    assert f'href="/t/{TENANT}/keys/default/schedule"' in page
    assert 'aria-current="page">Keys</a>' in page


async def test_one_key_lists_its_versions_newest_first_with_what_each_may(ada: Person) -> None:
    page = (await ada.look("/default")).text
    assert page.index(L3) < page.index(OLD)
    assert f"/t/{TENANT}/keys/default/destroy?version=1" in page
    assert "It encrypts now: revoke it or make it read-only first, or rotate it." in page
    assert "Tenant key</h1>" in (await ada.look("/-")).text


async def test_looking_changes_nothing(ada: Person) -> None:
    for verb in KeyVerb:
        for path in (f"/default/{verb}", f"/-/{verb}"):
            assert (await ada.look(path)).status_code in (200, 404)
    assert await seen(CHANGED) == []
    assert await seen("select from audit_events where verb like 'keychain%'") == []


async def test_a_form_leads_to_its_report_and_names_the_person(ada: Person) -> None:
    answer = await ada.ask("/default/read-only")
    assert answer.status_code == 303
    report = await ada.browser.get(answer.headers["location"])
    assert "Making read-only: the key of default" in report.text
    assert "0 of 2 regions" in report.text
    assert f"Asked for by {OWNER}" in report.text
    (access,) = await seen("select service, access, by from key_access")
    assert access == {"service": "default", "access": "read-only", "by": f"person:#{OWNER}"}
    assert "key-read-only" in (await ada.look("/default")).text
    assert (await ada.ask("/default/enable")).status_code == 303
    assert await seen("select from key_access") == []


async def test_a_region_that_is_ahead_is_not_said_to_go_on_as_it_was(ada: Person) -> None:
    answer = await ada.ask("/default/read-only")
    await told(
        "insert into observed (tenant, region, epoch, generation, hash, acknowledged_at, tried_at, refusal, message) "
        "values ($1, 'north', 0, 0, '', null, now(), 'generation-old', 'Region north holds another state.')",
        TENANT,
    )
    report = (await ada.browser.get(answer.headers["location"])).text
    assert "Whoever runs this installation has to look." in report
    assert "Nothing for you to do" not in report
    north = report[report.index('data-region="north"') : report.index('data-region="south"')]
    assert "is told to it apart" in north
    assert "goes on as it was told last" not in north
    assert "is told to it apart" in (await ada.look()).text


async def test_the_same_form_twice_changes_nothing_more_and_leads_to_the_same_report(ada: Person) -> None:
    request = ada.request_in(await ada.look("/default/read-only"))
    first = await ada.send("/default/read-only", request)
    assert (await ada.ask("/default/enable")).status_code == 303
    again = await ada.send("/default/read-only", request)
    assert again.headers["location"] == first.headers["location"]
    assert await seen("select from key_access") == []
    assert len(await seen(CHANGED)) == 2


async def test_what_was_so_already_is_said_and_is_no_change(ada: Person) -> None:
    await ada.ask("/default/read-only")
    again = await ada.send("/default/read-only", "page-" + "1" * 32)
    assert "It was so already" in (await ada.browser.get(again.headers["location"])).text


async def test_a_form_without_its_token_or_its_name_changes_nothing(ada: Person) -> None:
    request = ada.request_in(await ada.look("/default/read-only"))
    token, ada.browser.csrf = ada.browser.csrf, "x" * 43
    refused = await ada.send("/default/read-only", request)
    assert (refused.status_code, "form-expired" in refused.text) == (403, True)
    ada.browser.csrf = token
    for name in ("", "schedule-default-20261124T120000Z", "page-1"):
        assert (await ada.send("/default/read-only", name)).status_code == 400
    assert await seen(CHANGED) == []
    assert (await ada.send("/default/read-only", request)).status_code == 303


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/default/revoke", "default"),
        ("/-/revoke", "Account-Tenant-1"),
        ("/default/destroy?version=1", "default"),
    ],
)
async def test_another_name_is_refused_beside_what_was_typed(ada: Person, path: str, name: str) -> None:
    question = await ada.look(path)
    request = ada.request_in(question)
    assert f"<code>{name}</code> to confirm" in question.text
    for typed, said in (("defualt", "That is another name."), ("", "Nothing was typed.")):
        refused = await ada.send(path, request, phrase=typed)
        assert refused.status_code == 422
        assert said in refused.text
        assert f'value="{typed}"' in refused.text
        assert 'aria-invalid="true"' in refused.text
        assert ada.request_in(refused) == request
    assert await seen(CHANGED) == []
    assert (await ada.send(path, request, phrase=f" {name} ")).status_code == 303
    assert len(await seen(CHANGED)) == 1


async def test_a_refusal_stands_on_the_questions_own_page(ada: Person) -> None:
    await ada.ask("/default/revoke", phrase="default")
    assert "It is revoked: restore it first." in (await ada.look("/default")).text
    refused = await ada.send("/default/enable", "page-" + "2" * 32)
    assert refused.status_code == 409
    assert "Not now. Nothing was changed." in refused.text
    assert "It is revoked: restore it first." in refused.text
    assert "No new version is made" in (await ada.look("/default/rotate")).text
    assert (await ada.ask("/default/restore")).status_code == 303
    assert (await ada.ask("/default/rotate")).status_code == 303


async def test_without_the_flag_revoke_and_destroy_say_why_and_do_nothing(
    tenants: ModuleDatabases, links: dict[str, str], regions: MemoryRegions, clock: SetClock
) -> None:
    await close_database()
    await open_database(tenants.web, application="test-web", max_size=4)
    parts = parts_of(Listener(tenants.web, CHANNEL), regions, clock, without_step_up=False)
    async with Browser(create_app(parts, tls=False)) as browser:
        await browser.sign_in(links[TENANT])
        somebody = Person(browser)
        assert "fresh proof of who you are" in (await somebody.look("/default")).text
        for path in ("/default/revoke", "/default/destroy?version=1"):
            question = await somebody.look(path)
            assert "fresh proof of who you are" in question.text
            assert "btn primary danger" not in question.text
            refused = await somebody.send(path, somebody.request_in(question), phrase="default")
            assert refused.status_code == 403
        assert await seen(CHANGED) == []
        assert (await somebody.ask("/default/read-only")).status_code == 303
        assert "Development" not in (await somebody.look("/default")).text


async def test_with_the_flag_the_pages_say_so_in_red(ada: Person) -> None:
    for path in ("", "/default", "/default/revoke"):
        page = (await ada.look(path)).text
        assert 'data-tone="bad"' in page
        assert "ask for no fresh proof of who you are on this installation" in page


async def test_who_is_no_owner_any_more_may_neither_look_nor_ask_and_is_told_why(ada: Person) -> None:
    request = ada.request_in(await ada.look("/default/read-only"))
    async with transaction(Role.APP, TENANT) as tx:
        await tx.execute("delete from grants where tenant = $1", TENANT)
    for refused in (await ada.look(), await ada.send("/default/read-only", request)):
        assert refused.status_code == 403
        assert "you are no owner of this account" in refused.text
    assert await seen(CHANGED) == []


async def test_a_rotation_is_followed_and_another_waits_for_its_end(ada: Person) -> None:
    answer = await ada.ask("/default/rotate")
    report = (await ada.browser.get(answer.headers["location"])).text
    assert "Rotating the key of default" in report
    assert "sse-connect" in report
    assert "Make the new version, and store it in every region" in report
    watching = await ada.look("?block=under_way", **{"hx-request": "true"})
    assert "Rotating the key of default" in watching.text
    assert "<html" not in watching.text
    assert "hx-refresh" not in watching.headers
    assert "A change is under way." in (await ada.look()).text
    refused = await ada.send("/-/rotate", "page-" + "3" * 32)
    assert refused.status_code == 409
    assert "Another change of this account" in refused.text
    async with transaction(Role.APP, TENANT) as tx:
        await tx.execute("update sagas set state = 'done' where plan = 'change-keys'")
    for path in ("", "/default"):
        over = await ada.look(f"{path}?block=under_way", **{"hx-request": "true"})
        assert over.headers["hx-refresh"] == "true"


async def test_a_schedule_is_set_and_taken_away(ada: Person) -> None:
    for wrong in ("", "-1", "soon", "99999", "9" * 5000, "\u0663"):
        refused = await ada.ask("/default/schedule", days=wrong)
        assert refused.status_code == 422
        assert "a number of days from 1 to 3650" in refused.text
    answer = await ada.ask("/default/schedule", days="30")
    assert answer.headers["location"] == f"/t/{TENANT}/keys/default#schedule"
    assert "Every 30\u00a0days, next" in (await ada.look("/default")).text
    assert (await ada.ask("/default/schedule", days="0")).status_code == 303
    assert "Only when somebody asks" in (await ada.look("/default")).text


async def test_an_old_version_is_put_on_its_way_out_and_kept(ada: Person) -> None:
    answer = await ada.ask("/default/destroy?version=1", phrase="default")
    report = (await ada.browser.get(answer.headers["location"])).text
    assert "Destroying version 1 of the key of default" in report
    assert "Any use stops it." in report
    page = (await ada.look("/default")).text
    assert "Version 1 is on its way out" in page
    assert f"Asked for by {OWNER}" in page
    assert "any use stops it" in (await ada.look()).text
    assert "It is on its way out already." in (await ada.look("/default/destroy?version=1")).text
    assert (await ada.ask("/default/keep?version=1")).status_code == 303
    assert await seen("select key_id, state from key_destroys") == [{"key_id": OLD, "state": "kept"}]
    assert (await ada.browser.get(f"/t/{TENANT}/key-certificates/{OLD}")).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/keys/nobody",
        "/keys/default/open",
        "/keys/default/destroy?version=x",
        "/keys/default/destroy?version=9",
        "/keys/default/rotate?version=1",
        "/keys/-/destroy",
        "/key-changes/nothing",
        "/key-changes/nothing/events",
        "/keys/%00",
        "/key-changes/%00",
        "/key-changes/%00/events",
        "/key-certificates/%00",
    ],
)
async def test_what_there_is_not_is_not_found(ada: Person, path: str) -> None:
    assert (await ada.browser.get(f"/t/{TENANT}{path}")).status_code == 404


@pytest.mark.parametrize(
    ("presence", "said", "refused"),
    [
        ("uninstalled", "No keys are made for an account that is uninstalled.", "rotate"),
        ("deleting", "The account is being deleted.", "read-only"),
        ("gone", "The account is gone.", "read-only"),
    ],
)
async def test_an_account_that_goes_says_what_is_refused_and_why(
    ada: Person, presence: str, said: str, refused: str
) -> None:
    async with transaction(Role.APP, TENANT) as tx:
        await tx.execute("update tenants set presence = $2 where id = $1", TENANT, presence)
    assert said in (await ada.look("/default")).text
    assert (await ada.look()).status_code == 200
    answer = await ada.send(f"/default/{refused}", "page-" + "5" * 32)
    assert answer.status_code == 409
    assert said in answer.text
