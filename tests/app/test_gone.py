"""The pages of an account whose keys are destroyed: its owner still sees that, and takes the certificate along."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from litestar import Litestar

from openkcm.ending.model import Certificate, certify
from openkcm.ending.store import add_certificate, put_hold
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.parties.identity import Identity
from tests.app.browser import Browser
from tests.app.conftest import OTHER, TENANT
from tests.control import NOON
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration


async def _stand(presence: str, *tenants: str) -> None:
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute(
            "update tenants set presence = $1, deleting_at = $2, grace_ends_at = $3 where id = any($4::text[])",
            presence,
            NOON - timedelta(days=31),
            NOON - timedelta(days=1),
            list(tenants),
        )


@pytest.fixture
async def buried(tenants: ModuleDatabases, clock: SetClock, control_identity: Identity) -> Certificate:
    """The first tenant is gone, with a certificate of noon; the second is gone and not yet destroyed."""
    del tenants
    await _stand("gone", TENANT, OTHER)
    signed = certify(
        control_identity,
        tenant=TENANT,
        account_name="Account",
        path="",
        receipts=(),
        destroyed_at=clock.now(),
        now=clock.now(),
    )
    async with transaction(Role.SYSTEM) as tx:
        await add_certificate(tx, signed)
        await tx.execute("update tenants set stage = 'ready', protected_at = $1", clock.now())
        await tx.execute(
            "insert into grants (tenant, issuer, username, role, granted_by) "
            "select $1, issuer, username, role, granted_by from grants on conflict do nothing",
            OTHER,
        )
    found: Certificate = json.loads(signed.document)
    return found


@pytest.fixture
async def held(tenants: ModuleDatabases) -> None:
    """The first tenant is being deleted, and an operator holds that."""
    del tenants
    await _stand("deleting", TENANT)
    async with transaction(Role.SYSTEM) as tx:
        await put_hold(tx, TENANT, by="operator:kim", why="The court asked.")


async def test_the_owner_sees_the_dates_and_downloads_the_certificate(
    buried: Certificate, app: Litestar, links: dict[str, str]
) -> None:
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        text = (await browser.get(f"/t/{TENANT}")).text.replace("\u00a0", " ")
        for said in ("were destroyed", "24 Nov 2026", "8 Dec 2026", f"/t/{TENANT}/certificate"):
            assert said in text
        answer = await browser.get(f"/t/{TENANT}/certificate")
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json()) == {"document", "signature"}


async def test_nothing_else_works(buried: Certificate, app: Litestar, links: dict[str, str]) -> None:
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        await browser.get(f"/t/{TENANT}")
        answer = await browser.post(f"/t/{TENANT}/token", accept="application/json")
        assert (answer.status_code, answer.json()["code"]) == (409, "tenant-state")
        assert (await browser.get(f"/t/{TENANT}/alive")).status_code == 404


async def test_before_the_certificate_the_page_says_that_it_goes_on(
    buried: Certificate, app: Litestar, links: dict[str, str]
) -> None:
    async with Browser(app) as browser:
        await browser.sign_in(links[OTHER])
        assert "are being destroyed" in (await browser.get(f"/t/{OTHER}")).text
        assert (await browser.get(f"/t/{OTHER}/certificate")).status_code == 404


async def test_a_certificate_is_for_its_own_owner(
    buried: Certificate, app: Litestar, links: dict[str, str]
) -> None:
    async with Browser(app) as browser:
        await browser.sign_in(links[OTHER])
        answer = await browser.get(f"/t/{TENANT}/certificate")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/t/{TENANT}/sign-in")


async def test_a_hold_stands_on_the_page(held: None, app: Litestar, links: dict[str, str]) -> None:
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        assert "The court asked." in (await browser.get(f"/t/{TENANT}")).text
