"""The end of an account in two real regions, from its manifest to its certificate, with a short grace on all sides."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import pytest

from tests.databases import REGIONS, ModuleDatabases
from tests.demo.person import Person
from tests.provisioning.accounts import Account
from tests.provisioning.conftest import ALL
from tests.provisioning.consistent import RECORD, assert_nothing_works, decrypted, encrypted, stored
from tests.provisioning.processes import until
from tests.provisioning.site import Site, letters, running_site, told, wait_done

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def brief(databases: ModuleDatabases, queue_url: str) -> Iterator[Site]:
    """The installation with the development flags of control and of each region, and a grace of two seconds."""
    with running_site(databases, queue_url) as made:
        for name, group, lines in (
            *((name, "tenants", "grace_s = 2\nshort_grace = true\n") for name in ("worker", "worker-2")),
            *((name, "crypto", "short_grace = true\n") for name in REGIONS),
        ):
            file = made.home / f"{name}.toml"
            file.write_text(file.read_text().replace(f"[{group}]\n", f"[{group}]\n{lines}"))
        made.start(*ALL, "worker-2")
        yield made


def secrets(site: Site, region: str, tenant: str) -> int:
    row = site.one(
        "select count(*) as n from erase_secrets join keys using (key_id) where tenant = $1",
        tenant,
        database=region,
    )
    return int(row["n"]) if row else -1


def wait_certificate(site: Site, tenant: str) -> None:
    until(
        lambda: site.one(
            "select 1 from sagas where tenant = $1 and plan = 'end-tenant' and state = 'done'", tenant
        ),
        what=f"the end of {tenant} is told",
        within_s=60,
    )


def test_a_deleted_account_is_destroyed_certified_and_nothing_opens_its_data_again(brief: Site) -> None:
    site = brief
    account = site.account()
    wait_done(site, account.id)
    message = encrypted(site, "local", account.id)
    assert message is not None
    assert decrypted(site, "eu-1", account.id, message) == RECORD
    keys = stored(site, "local", account.id)
    account.delete()
    wait_certificate(site, account.id)
    assert_nothing_works(site, account.id)
    for region in REGIONS:
        assert secrets(site, region, account.id) == 0
        assert stored(site, region, account.id) == keys, "what wraps them is there, and opens nothing"
        assert decrypted(site, region, account.id, message) is None
    found = json.loads(site.openkcm("tenants", "certificate", account.id, "--json"))
    assert [receipt["region"] for receipt in found["receipts"]] == list(REGIONS)
    assert {
        key for receipt in found["receipts"] for key in receipt["tenant_keys"] + receipt["service_keys"]
    } == keys
    text = site.openkcm("tenants", "certificate", account.id)
    assert "Live systems" in text
    assert "Verified now: the signature of control control (key 1) and those of 2 region(s)." in text
    shown = json.loads(site.openkcm("tenants", "show", account.id, "--json"))
    assert (shown["tenant"]["state"], shown["end"]["state"]) == ("gone", "done")
    assert shown["end"]["done"] == ["look-again", "destroy", "certify", "bury", "tell"]
    assert "destroyed" in letters(site, account.creator)[-1].subject
    assert any("tenants certificate" in mail.text for mail in told(site, account.id))
    assert len(site.rows("select from sagas where tenant = $1 and plan = 'end-tenant'", account.id)) == 1


def test_its_owner_sees_the_tombstone_page_and_nothing_else_works(brief: Site) -> None:
    site = brief
    account = site.account()
    wait_done(site, account.id)
    account.delete()
    wait_certificate(site, account.id)
    link = site.home / "link.txt"
    site.openkcm("tenants", "sign-in", account.id, "--file", str(link))
    site.loop.run(_looks(site, account.id, link.read_text().strip()))
    answer = httpx2.get(f"{site.public_url}/t/{account.id}/alive", trust_env=False)
    assert answer.status_code == 404


def test_a_region_restored_from_before_the_end_gets_the_tombstone_and_destroys_again(brief: Site) -> None:
    site = brief
    account = site.account()
    wait_done(site, account.id)
    message = encrypted(site, "local", account.id)
    assert message is not None
    saved = site.rows(
        "select e.key_id, e.secret from erase_secrets e join keys using (key_id) where tenant = $1",
        account.id,
        database="local",
    )
    before = site.rows("select * from applied where tenant = $1", account.id, database="local")
    account.delete()
    wait_certificate(site, account.id)
    site.stop("local")
    for row in saved:
        site.rows("insert into erase_secrets values ($1, $2)", *row.values(), database="local")
    names = ", ".join(f"{name} = ${at}" for at, name in enumerate(before[0], 1))
    site.rows(f"update applied set {names} where tenant = $1", *before[0].values(), database="local")  # noqa: S608 - names of our own columns
    site.rows("delete from endings where tenant = $1", account.id, database="local")
    site.start("local")
    assert decrypted(site, "local", account.id, message) is None
    for name in ("worker", "worker-2"):
        site.stop(name)
    site.start("worker")  # who leads replays first
    until(
        lambda: secrets(site, "local", account.id) == 0,
        what="the tombstone is replayed",
        within_s=30,
    )
    assert decrypted(site, "local", account.id, message) is None


def test_the_same_name_again_is_a_new_tenant_with_new_keys(brief: Site) -> None:
    site = brief
    first = site.account()
    wait_done(site, first.id)
    first.delete()
    wait_certificate(site, first.id)
    first.remove()
    again = Account(folder=site.folder, creator=first.creator)
    manifest = again.drop().file
    manifest.write_text(manifest.read_text().replace(f"account-{again.id}", f"account-{first.id}"))
    wait_done(site, again.id)
    assert stored(site, "local", again.id) & stored(site, "local", first.id) == set()
    assert encrypted(site, "eu-1", again.id) is not None
    assert encrypted(site, "eu-1", first.id) is None


def test_a_held_deletion_is_there_until_it_is_released(brief: Site) -> None:
    site = brief
    held, other = site.account(), site.account()
    for account in (held, other):
        wait_done(site, account.id)
    site.stop("eu-1")  # so that its end waits, and there is time to hold it
    held.delete()
    until(
        lambda: site.one("select 1 from tenants where id = $1 and presence = 'deleting'", held.id),
        what="it is being deleted",
    )
    assert "is held" in site.openkcm("tenants", "hold", held.id, "--why", "The court asked.")
    assert f"{held.id}  deleting (held)" in site.openkcm("tenants", "list")
    assert "The court asked." in site.openkcm("tenants", "show", held.id)
    assert "no certificate" in site.openkcm("tenants", "certificate", held.id, status=1)
    site.start("eu-1")
    other.delete()
    wait_certificate(site, other.id)  # meanwhile the worker has looked at all that is due
    assert [secrets(site, region, held.id) for region in REGIONS] == [1, 1]
    site.openkcm("tenants", "release", held.id)
    wait_certificate(site, held.id)
    assert "no way back" in site.openkcm("tenants", "hold", held.id, "--why", "x", status=1)


async def _looks(site: Site, tenant: str, link: str) -> None:
    """The link leads to the page that says so; it has no button that makes a token."""
    async with Person(site.public_url) as person:
        await person.sign_in(link)
        page = await person.home(tenant)
        assert not [form for form in page.forms if form.action.endswith("/token")]
