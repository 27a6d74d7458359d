"""What a set-up waits for, what stops it, who is told, and what starts it again."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from openkcm.provisioning.progress import progress
from openkcm.sdk.conformance.notifier import Received
from tests.provisioning.consistent import (
    RECORD,
    assert_accounted_for,
    assert_nothing_works,
    assert_set_up,
    decrypted,
    encrypted,
    journal,
    stored,
)
from tests.provisioning.moments import age, region_held, saga_of, stopped_before
from tests.provisioning.processes import until
from tests.provisioning.site import LEASE_S, OPERATOR, Site, letters, told, wait_done, wait_stage

pytestmark = pytest.mark.integration


def test_a_tenant_waits_for_a_region_that_is_down_says_so_and_goes_on_by_itself(site: Site) -> None:
    site.stop("eu-1")
    account = site.account()
    trouble = until(lambda: _trouble(site, account.id), what="the set-up waits")
    assert trouble["step"] == "mint"
    assert "eu-1" in trouble["message"]
    assert "local" not in trouble["message"]
    page = site.loop.run(progress(account.id))
    assert [step.outcome.value for step in page.steps] == ["done", "done", "retrying", *["waiting"] * 5]
    assert "eu-1" in page.steps[2].detail
    assert letters(site, account.creator) == []

    _until_told(site, account.id, account.creator, after_s=61, count=1)
    _until_told(site, account.id, account.creator, after_s=240, count=2)
    status = account.file.with_name(f"{account.file.name}.status.yaml")
    until(lambda: "eu-1" in _read(status), what="it stands beside the manifest too")
    assert 'state: "provisioning"' in _read(status)
    first, second = letters(site, account.creator)
    for mail in (first, *told(site, account.id)[:1]):
        assert "takes longer than usual" in _words(mail.text)
    for mail in (second, *told(site, account.id)[1:]):
        assert "not set up yet, after 5 min" in _words(mail.text)
    assert all("eu-1" in mail.text for mail in (first, second))

    site.start("eu-1")
    age(site, account.id, 3600)
    wait_done(site, account.id)
    assert_set_up(site, account.id)
    assert len(told(site, account.id)) == 2, "twice, and never a third time"
    assert [mail.subject.partition(": ")[2] for mail in letters(site, account.creator)][2:] == [
        "encryption is on, the dashboard is open"
    ]


def test_a_refusal_for_good_before_the_pivot_undoes_all_and_retry_makes_the_tenant_ready(site: Site) -> None:
    """The region refuses the document that would let the keys encrypt: it has lost the row of one of them."""
    with stopped_before(site, "mint") as tenant:
        (kept,) = site.rows(
            "select k.*, w.holder, w.parent, w.parent_version, w.blob, w.signature as wrap_signature, "
            "w.root_version as wrap_root, w.mac as wrap_mac from keys k join wraps w using (key_id) "
            "where tenant = $1 and level = 'L3'",
            tenant,
            database="eu-1",
        )
        site.rows("delete from wraps where key_id = $1", kept["key_id"], database="eu-1")
        site.rows("delete from keys where key_id = $1", kept["key_id"], database="eu-1")
    wait_stage(site, tenant, "undone")
    status = site.folder / f"{tenant}.yaml.status.yaml"
    until(lambda: 'state: "undone"' in _read(status), what="it stands beside the manifest too")
    assert journal(site, tenant, direction="undo") == [
        (step, "undo") for step in ("activate", "mint", "assign", "admit")
    ]
    assert_nothing_works(site, tenant)
    assert {row["state"] for row in site.rows("select state from keys where tenant = $1", tenant)} == {
        "abandoned"
    }
    assert site.rows("select from grants where tenant = $1", tenant) == []
    assert site.rows("select from key_configurations where tenant = $1", tenant) == []

    shown = json.loads(site.openkcm("tenants", "show", tenant, "--json"))
    assert (shown["tenant"]["state"], shown["setup"]) == ("undone", "undone")
    assert "eu-1" in shown["why"]
    assert shown["action"]
    person = f"{tenant}@meridian.example"
    for recipient in (person, OPERATOR):
        (mail,) = until(partial(_undone, site, recipient, tenant), what=f"{recipient} is told")
        assert shown["why"] in _words(mail.text)

    abandoned = stored(site, "local", tenant)
    site.openkcm("tenants", "retry", tenant)
    age(site, tenant)
    wait_done(site, tenant)
    wait_stage(site, tenant, "ready")
    active = {
        row["key_id"]
        for row in site.rows("select key_id from keys where tenant = $1 and state = 'active'", tenant)
    }
    assert len(active) == 2
    assert not active & abandoned, "what was abandoned is never used"
    assert encrypted(site, "eu-1", tenant) is not None
    assert_accounted_for(site, tenant)


def test_cancel_before_the_pivot_undoes_and_after_it_is_refused_in_words(site: Site) -> None:
    site.stop("eu-1")
    account = site.account()
    until(lambda: _trouble(site, account.id), what="the set-up waits")
    site.openkcm("tenants", "cancel", account.id)
    age(site, account.id)
    until(
        lambda: site.one("select from sagas where tenant = $1 and state = 'undoing'", account.id),
        what="it is being undone, as far as the region that is down lets it",
    )
    site.start("eu-1")
    age(site, account.id)
    wait_stage(site, account.id, "undone")
    assert_nothing_works(site, account.id)
    page = site.loop.run(progress(account.id))
    assert page.why == "Setting up was cancelled by the operator."
    assert page.remedy is not None
    assert page.remedy.action.endswith(f"openkcm tenants retry {account.id}")

    site.openkcm("tenants", "retry", account.id)
    age(site, account.id)
    wait_done(site, account.id)
    assert_set_up(site, account.id)
    refused = site.openkcm("tenants", "cancel", account.id, status=1)
    assert "its keys are in use already" in refused
    assert_set_up(site, account.id)


@pytest.mark.parametrize("how", ["uninstalled", "deleting"])
def test_what_is_uninstalled_or_deleted_before_the_pivot_is_undone(site: Site, how: str) -> None:
    with region_held(site, "local"):
        account = site.account()
        saga_of(site, account.id)
        account.delete() if how == "deleting" else account.remove()
        until(
            lambda: site.one("select from tenants where id = $1 and presence = $2", account.id, how),
            what="the source has said so",
        )
    wait_stage(site, account.id, "undone")
    assert site.rows("select from keys where tenant = $1 and state <> 'abandoned'", account.id) == []
    assert_nothing_works(site, account.id)
    page = site.loop.run(progress(account.id))
    assert ("deleted" if how == "deleting" else "uninstalled") in page.why
    assert page.remedy is not None

    if how == "uninstalled":  # what comes back is set up, without anybody's help
        account.drop()
        wait_done(site, account.id)
        wait_stage(site, account.id, "ready")
        assert encrypted(site, "local", account.id) is not None
        assert_accounted_for(site, account.id)


def test_deleted_after_the_pivot_is_blocked_in_both_regions_with_its_keys_kept(site: Site) -> None:
    account = site.account()
    wait_done(site, account.id)
    account.delete()
    _wait_access(site, account.id, "blocked")
    assert_nothing_works(site, account.id)
    states = site.rows("select state from keys where tenant = $1", account.id)
    assert [row["state"] for row in states] == ["active", "active"]
    assert stored(site, "local", account.id) == stored(site, "eu-1", account.id)
    until(lambda: len(letters(site, account.creator)) == 2 or None, what="the owner is told")


def test_installed_again_within_the_grace_the_same_keys_are_active_again(site: Site) -> None:
    account = site.account()
    wait_done(site, account.id)
    before = encrypted(site, "local", account.id)
    assert before is not None
    account.remove()
    _wait_access(site, account.id, "read-only")
    assert encrypted(site, "local", account.id) is None
    account.drop()
    _wait_access(site, account.id, "active")
    assert_set_up(site, account.id)
    assert decrypted(site, "eu-1", account.id, before) == RECORD
    assert encrypted(site, "eu-1", account.id) is not None


def test_leases_are_short_here() -> None:
    assert LEASE_S <= 2


def _words(text: str) -> str:
    return " ".join(text.split())


def _until_told(site: Site, tenant: str, owner: str, *, after_s: float, count: int) -> None:
    age(site, tenant, after_s)
    until(lambda: len(letters(site, owner)) == count or None, what="the owner is told")
    until(lambda: len(told(site, tenant)) == count or None, what="the operator is told")


def _trouble(site: Site, tenant: str) -> dict[str, str] | None:
    return site.one(
        "select key as step, value->>'message' as message from sagas, jsonb_each(trouble) where tenant = $1",
        tenant,
    )


def _wait_access(site: Site, tenant: str, access: str) -> None:
    until(
        lambda: (
            {
                json.loads(row["document"])["access"]
                for region in ("local", "eu-1")
                for row in site.rows(
                    "select document from applied where tenant = $1", tenant, database=region
                )
            }
            == {access}
            or None
        ),
        what=f"{tenant} is {access} in both regions",
    )


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _undone(site: Site, recipient: str, tenant: str) -> list[Received]:
    """The letters about the undoing; the operator may hear of a key that a region had used, too."""
    return [
        one for one in letters(site, recipient) if tenant in one.text and "could not be set up" in one.subject
    ]
