"""A service that an owner makes on the pages: its name, its key, and how it is used first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from html import unescape

import pytest
from litestar import Litestar

from openkcm.kernel.db import Role, transaction
from openkcm.keychain.store import activate, add_records
from tests.app.browser import Browser
from tests.app.conftest import TENANT, MemoryRegions
from tests.app.keyed import L2, Person, give_keys, seen, told
from tests.control import key_record

pytestmark = pytest.mark.integration


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


async def test_a_service_is_created_by_a_name_of_the_right_form(ada: Person) -> None:
    request = ada.request_in(await ada.look("/-/create"))
    refused = await ada.send("/-/create", request, name="Not <a> name")
    assert refused.status_code == 422
    assert 'value="Not &lt;a&gt; name"' in refused.text
    assert "Nothing was changed. A service name has 1 to 63 characters" in refused.text
    assert "begin with '-'." in (words := unescape(refused.text))
    assert "'-'.." not in words
    there = await ada.send("/-/create", "page-" + "4" * 32, name="default")
    assert there.status_code == 422
    assert "Nothing was changed. There is a service default already: give another name." in there.text
    assert 'value="default"' in there.text
    assert (await ada.send("/-/create", request, name="billing")).status_code == 303
    assert await seen("select name from services order by name") == [{"name": "billing"}, {"name": "default"}]
    page = (await ada.look("/billing")).text
    assert "No key yet" in page
    assert "Get commands to paste" not in page
    (caller,) = await seen("select name, service, verbs from callers where service = 'billing'")
    assert caller == {"name": "home-page-billing", "service": "billing", "verbs": ["decrypt", "encrypt"]}


async def test_a_service_that_was_made_gets_a_token_of_its_own(ada: Person, regions: MemoryRegions) -> None:
    await ada.ask("/-/create", name="billing")
    async with transaction(Role.APP, TENANT) as tx:
        await tx.execute("update sagas set state = 'done'")
        await add_records(tx, TENANT, [key_record(TENANT, "d" * 32, "L3", service="billing", parent=L2)])
        await activate(tx, TENANT)
    assert 'name="service" value="billing"' in (await ada.look("/billing")).text
    answer = await ada.browser.send(f"/t/{TENANT}/token", {"service": "billing"})
    assert "for the service <code>billing</code>" in answer.text
    (asked,) = regions.each["north"].asked
    assert (asked.caller, asked.service) == ("home-page-billing", "billing")
    for wrong, status in (("nobody", 403), ("\x00", 400), ("x" * 64, 400)):
        refused = await ada.browser.send(f"/t/{TENANT}/token", {"service": wrong})
        assert refused.status_code == status, wrong
    await ada.ask("/billing/read-only")
    assert "Get commands to paste" not in (await ada.look("/billing")).text
    refused = await ada.browser.send(f"/t/{TENANT}/token", {"service": "billing"})
    assert (refused.status_code, "key-state" in refused.text) == (409, True)


async def test_a_service_whose_key_is_destroyed_is_shown_so_and_nothing_of_it_is_offered(ada: Person) -> None:
    await ada.ask("/default/revoke", phrase="default")
    async with transaction(Role.APP, TENANT) as tx:
        await tx.execute("update keys set state = 'destroyed' where service = 'default'")
    keys, home = (await ada.look()).text, (await ada.browser.get(f"/t/{TENANT}")).text
    for page in (keys, home):
        assert "Destroyed</span>" in page
        assert "Revoked</span>" not in page
        assert "limited" not in page
    assert "Restore default" not in keys
    assert "Encrypt your first record" not in home
    page = (await ada.look("/default")).text
    assert "No key is made for what is read-only or revoked." in page
    assert "<dt>Revoked</dt>" not in page
    assert "Brings back exactly" not in page
    question = (await ada.look("/default/restore")).text
    assert "Its key is destroyed, and stays so." in question
    assert "works again" not in question


async def test_the_versions_of_a_revoked_key_are_not_called_active(ada: Person) -> None:
    assert "Active</span>" in (await ada.look("/default")).text
    await ada.ask("/default/revoke", phrase="default")
    page = (await ada.look("/default")).text
    assert "Active</span>" not in page
    assert "Decrypts only</span>" not in page
    await ada.ask("/default/restore")
    await ada.ask("/default/read-only")
    page = (await ada.look("/default")).text
    assert "Active</span>" not in page
    assert "Decrypts only</span>" in page


async def test_a_try_from_before_the_decision_is_not_said_to_be_one_of_it(ada: Person) -> None:
    answer = await ada.ask("/default/read-only")
    for at, said in (("2000-01-01", False), ("2100-01-01", True)):
        await told(
            "insert into observed (tenant, region, epoch, generation, hash, tried_at) "  # noqa: S608 - the test's own words
            f"values ($1, 'north', 0, 0, '', '{at}') on conflict (tenant, region) do update set tried_at = '{at}'",
            TENANT,
        )
        report = (await ada.browser.get(answer.headers["location"])).text
        north = report[report.index('data-region="north"') : report.index('data-region="south"')]
        assert ("tried" in north) is said
