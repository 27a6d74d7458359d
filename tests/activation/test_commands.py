"""``openkcm keys`` on a running installation of two regions: what is asked for is in force when the command ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.databases import REGIONS, ModuleDatabases
from tests.provisioning.accounts import Account
from tests.provisioning.consistent import RECORD, decrypted, encrypted
from tests.provisioning.processes import until
from tests.provisioning.site import Site, running_site, wait_done

pytestmark = [pytest.mark.integration, pytest.mark.e2e]


@pytest.fixture(scope="module")
def site(databases: ModuleDatabases, queue_url: str) -> Iterator[Site]:
    with running_site(databases, queue_url) as made:
        for name in ("worker", "worker-2"):
            file = made.home / f"{name}.toml"
            text = file.read_text()
            text = text.replace("[control]\n", "[control]\nunsafe_without_step_up = true\n")
            text = text.replace("[tenants]\n", "[tenants]\nkey_wait_s = 1\nshort_grace = true\n")
            file.write_text(text)
        for name in REGIONS:
            file = made.home / f"{name}.toml"
            file.write_text(file.read_text().replace("[crypto]\n", "[crypto]\nshort_grace = true\n"))
        made.start("local", "eu-1", "web", "worker")
        yield made


@pytest.fixture(scope="module")
def account(site: Site) -> Account:
    made = site.account()
    wait_done(site, made.id)
    return made


def asked(site: Site, *arguments: str) -> dict[str, Any]:
    """The document that the command printed; it ended well."""
    found: dict[str, Any] = json.loads(site.openkcm("keys", *arguments, "--json"))
    return found


def test_a_rotation_is_in_force_everywhere_when_the_command_ends(site: Site, account: Account) -> None:
    message = encrypted(site, "local", account.id)
    assert message is not None
    done = asked(site, "rotate", account.id, "default", "--request", "first")
    assert (done["changed"], done["finished"]) == (True, True)
    assert [each["region"] for each in done["regions"]] == list(REGIONS)
    assert asked(site, "rotate", account.id, "default", "--request", "first")["repeated"]
    listed = asked(site, "list", account.id)
    (default,) = [line for line in listed["keys"] if line["service"] == "default"]
    assert [(each["version"], each["state"]) for each in default["versions"]] == [
        (2, "active"),
        (1, "decrypt-only"),
    ]
    for region in REGIONS:
        assert decrypted(site, region, account.id, message) == RECORD


def test_revoked_and_restored_from_the_command_line(site: Site, account: Account) -> None:
    said = site.openkcm("keys", "revoke", account.id, status=1)
    assert "typed as a confirmation" in said
    done = asked(site, "revoke", account.id, "--yes", account.id)
    assert done["finished"]
    assert done["finished_after_s"] < 30
    assert [encrypted(site, region, account.id) for region in REGIONS] == [None, None]
    said = site.openkcm("keys", "restore", account.id)
    assert "in force in every region" in said
    assert "confirmed after" in said
    assert encrypted(site, "eu-1", account.id) is not None


def test_an_old_version_ends_with_a_certificate(site: Site, account: Account) -> None:
    asked(site, "rotate", account.id, "default")
    said = site.openkcm(
        "keys", "destroy", account.id, "default", "--version", "1", "--yes", "default", "--request", "d"
    )
    assert "on its way out" in said
    found = until(
        lambda: site.one(
            "select key_id from key_destroys where tenant = $1 and state = 'destroyed'", account.id
        ),
        what="the key is destroyed",
        within_s=40,
    )
    said = site.openkcm("keys", "certificate", account.id, found["key_id"])
    assert "Region local: destroyed" in said
    assert "is destroyed" in site.openkcm("keys", "list", account.id) or "destroyed" in site.openkcm(
        "keys", "list", account.id
    )
    assert "destroyed" in site.openkcm(
        "keys", "destroy", account.id, "default", "--version", "1", "--yes", "default", status=1
    )


def test_a_service_of_its_own_a_schedule_and_what_is_wrong(site: Site, account: Account) -> None:
    assert asked(site, "create", account.id, "billing")["finished"]
    assert "every 90 days" in site.openkcm("keys", "schedule", account.id, "billing", "--days", "90")
    assert "rotates every 90 d" in site.openkcm("keys", "list", account.id)
    assert "read-only" in site.openkcm("keys", "read-only", account.id, "billing", "--yes", "billing")
    assert "key-state" in site.openkcm("keys", "rotate", account.id, "billing", status=1)
    assert "is read-only no more" in site.openkcm("keys", "enable", account.id, "billing")
    site.openkcm("keys", "destroy", account.id, status=2)
    both = ("billing", "--tenant-key", "--version", "1", "--yes", "billing")
    assert "either a SERVICE or --tenant-key" in site.openkcm("keys", "destroy", account.id, *both, status=2)


def test_without_the_flag_nothing_is_revoked(site: Site, account: Account) -> None:
    file = site.home / "worker.toml"
    text = file.read_text()
    file.write_text(text.replace("unsafe_without_step_up = true\n", ""))
    try:
        said = site.openkcm("keys", "revoke", account.id, "--yes", account.id, status=1)
    finally:
        file.write_text(text)
    assert "step-up-needed" in said
    assert encrypted(site, "local", account.id) is not None
