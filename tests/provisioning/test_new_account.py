"""A new account from its manifest to its mail, in two real regions; and what does not keep it from being ready."""

from __future__ import annotations

import json

import httpx2
import pytest

from openkcm.provisioning.progress import progress
from tests.demo.person import Person
from tests.provisioning.consistent import RECORD, STEPS, assert_set_up, decrypted, encrypted, journal
from tests.provisioning.moments import age
from tests.provisioning.processes import until
from tests.provisioning.site import Site, letters, told, wait_done, wait_stage

pytestmark = pytest.mark.integration


def test_a_new_account_has_its_eight_steps_in_order_and_one_effect_of_each(site: Site) -> None:
    account = site.account()
    wait_done(site, account.id)
    assert journal(site, account.id) == [(step, "do") for step in STEPS]
    assert_set_up(site, account.id)
    for source, target in (("local", "eu-1"), ("eu-1", "local")):
        message = encrypted(site, source, account.id)
        assert message is not None
        assert RECORD not in message
        assert decrypted(site, target, account.id, message) == RECORD
    status = (site.folder / f"{account.file.name}.status.yaml").read_text()
    assert f'tenantId: "{account.id}"' in status
    assert 'state: "ready"' in status
    assert f"{site.public_url}/t/{account.id}" in status
    (mail,) = letters(site, account.creator)
    assert f"{site.public_url}/t/{account.id}" in mail.text
    answer = httpx2.get(f"{site.public_url}/t/{account.id}/alive", trust_env=False)
    assert answer.status_code == 204


def test_while_the_mail_server_is_down_the_tenant_is_ready_and_the_mail_follows(site: Site) -> None:
    site.mail.go_away()
    account = site.account()
    wait_stage(site, account.id, "ready")
    until(lambda: _trouble(site, account.id, "notify"), what="the mail waits")
    page = site.loop.run(progress(account.id))
    assert (page.state.value, page.mail_sent) == ("ready", False)
    assert [step.name for step in page.steps if step.outcome.value == "retrying"] == ["notify"]
    assert letters(site, account.creator) == []
    site.mail.come_back()
    age(site, account.id)
    wait_done(site, account.id)
    assert_set_up(site, account.id)
    assert len(letters(site, account.creator)) == 1
    assert site.loop.run(progress(account.id)).mail_sent


def test_while_the_status_cannot_be_written_the_tenant_is_ready_and_the_status_follows(site: Site) -> None:
    blocked = site.folder / "t-status.yaml.status.yaml"
    (blocked / "in-the-way").mkdir(parents=True)
    made = site.account(id="t-status")
    wait_stage(site, made.id, "ready")
    until(lambda: _trouble(site, made.id, "announce"), what="the status waits")
    until(lambda: letters(site, made.creator), what="the mail waits for no status")
    (blocked / "in-the-way").rmdir()
    blocked.rmdir()
    age(site, made.id)
    wait_done(site, made.id)
    assert_set_up(site, made.id)
    assert 'state: "ready"' in blocked.read_text()


def test_a_mail_that_is_refused_for_good_ends_as_refused_and_holds_nothing_up(site: Site) -> None:
    creator = "nobody@meridian.example"
    site.mail.post.refused[creator] = "550 5.1.1 no such mailbox"
    account = site.account(creator=creator)
    wait_done(site, account.id)
    row = site.one("select state, attempts from deliveries where recipient = $1", creator)
    assert row == {"state": "rejected", "attempts": 1}
    notify = site.loop.run(progress(account.id)).steps[-1]
    assert (notify.outcome.value, notify.detail) == (
        "skipped",
        "The address was refused; the message stands on your pages.",
    )
    wait_stage(site, account.id, "ready")


def test_without_a_creator_the_keys_are_active_and_the_operator_names_the_owner(site: Site) -> None:
    account = site.account(creator="")
    wait_done(site, account.id)
    wait_stage(site, account.id, "ready")
    assert encrypted(site, "eu-1", account.id) is not None
    assert site.rows("select from grants where tenant = $1", account.id) == []
    (mail,) = until(lambda: told(site, account.id) or None, what="the operator is told")
    assert f"openkcm tenants grant {account.id}" in mail.text
    assert "nobody" in mail.subject.lower()
    assert "owns" in site.openkcm("tenants", "sign-in", account.id, status=1)
    person = "hana.demir@meridian.example"
    assert person in site.openkcm("tenants", "grant", account.id, "--username", person)
    link = site.home / "link.txt"
    site.openkcm("tenants", "sign-in", account.id, "--file", str(link))
    site.loop.run(_signs_in(site, account.id, link.read_text().strip()))


def test_what_the_command_shows_is_what_the_journal_has(site: Site) -> None:
    account = site.account()
    wait_done(site, account.id)
    shown = json.loads(site.openkcm("tenants", "show", account.id, "--json"))
    assert shown["tenant"]["state"] == "ready"
    assert [(step["name"], step["outcome"]) for step in shown["steps"]] == [(step, "done") for step in STEPS]


def _trouble(site: Site, tenant: str, step: str) -> str | None:
    row = site.one("select trouble->$2->>'message' as message from sagas where tenant = $1", tenant, step)
    return row["message"] if row else None


async def _signs_in(site: Site, tenant: str, link: str) -> None:
    """The link's button leads to the tenant's pages."""
    async with Person(site.public_url) as person:
        await person.sign_in(link)
        await person.home(tenant)
