"""Who comes through which door, and where everybody else is led."""

from __future__ import annotations

import asyncpg
import pytest
from litestar import Litestar, get

from openkcm import app as composition
from openkcm.app import create_app, serve_web
from openkcm.identity.session import LIFETIME_S
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.notify import Listener
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.settings import load_settings
from tests.app.browser import Browser
from tests.app.conftest import OTHER, TENANT, MemoryRegions, parts_of
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration
PAGES = [
    "",
    "/messages",
    "/setup",
    "/setup/events",
    "/setup/done",
    "/keys",
    "/keys/-",
    "/keys/default",
    "/keys/default/revoke",
    "/key-changes/page-1",
    "/key-changes/page-1/events",
    "/key-certificates/00",
    "/uses",
    "/uses/export",
]


def problem(answer: object) -> str:
    return str(answer.json()["code"])  # type: ignore[attr-defined]  # a response


@pytest.mark.parametrize("page", PAGES)
async def test_without_a_session_every_page_leads_to_the_way_in(app: Litestar, page: str) -> None:
    async with Browser(app) as browser:
        answer = await browser.get(f"/t/{TENANT}{page}")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/t/{TENANT}/sign-in")
        assert (await browser.get(f"/t/{TENANT}/sign-in")).status_code == 200


@pytest.mark.parametrize("page", PAGES)
async def test_a_program_without_a_session_is_told_so(app: Litestar, page: str) -> None:
    async with Browser(app) as browser:
        answer = await browser.get(f"/t/{TENANT}{page}", accept="application/json")
        assert (answer.status_code, problem(answer)) == (401, "not-signed-in")


async def test_a_link_leads_home_and_the_cookie_is_for_this_tenant_alone(
    app: Litestar, links: dict[str, str]
) -> None:
    async with Browser(app) as browser:
        answer = await browser.sign_in(links[TENANT])
        assert (answer.status_code, answer.headers["location"]) == (303, f"/t/{TENANT}")
        cookie = next(
            value for value in answer.headers.get_list("set-cookie") if value.startswith("openkcm_session=")
        )
        parts = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "samesite=lax", f"path=/t/{TENANT}"} <= parts
        assert (await browser.get(f"/t/{TENANT}")).status_code == 200
        assert (await browser.get(f"/t/{OTHER}")).headers["location"] == f"/t/{OTHER}/sign-in"


async def test_opening_a_link_signs_nobody_in(app: Litestar, links: dict[str, str]) -> None:
    async with Browser(app) as scanner, Browser(app) as browser:
        for _ in range(3):
            assert "openkcm_session" not in (await scanner.get(links[TENANT])).cookies
        assert (await browser.sign_in(links[TENANT])).status_code == 303


async def test_a_good_link_names_the_account_and_any_other_nothing_of_it(
    app: Litestar, links: dict[str, str]
) -> None:
    async with Browser(app) as browser:
        assert "Sign in to Account-Tenant-1</h1>" in (await browser.get(links[TENANT])).text
        await browser.sign_in(links[TENANT])
        for link in (links[TENANT], f"/t/{TENANT}/sign-in/{'x' * 43}"):
            answer = await browser.get(link)
            assert answer.status_code == 410
            assert "Account-Tenant-1" not in answer.text


async def test_who_is_in_is_led_to_the_account_from_every_way_in(
    app: Litestar, links: dict[str, str]
) -> None:
    async with Browser(app) as browser:
        assert (await browser.get("/")).status_code == 200
        await browser.sign_in(links[TENANT])
        for way_in in ("/", f"/t/{TENANT}/sign-in"):
            answer = await browser.get(way_in)
            assert (answer.status_code, answer.headers["location"]) == (303, f"/t/{TENANT}")
        assert (await browser.get(f"/t/{OTHER}/sign-in")).status_code == 200
        await browser.get(f"/t/{TENANT}")
        out = await browser.post(f"/t/{TENANT}/sign-out")
        assert (await browser.get(out.headers["location"])).status_code == 200
        assert "Sign in to OpenKCM" in (await browser.get("/")).text
        browser.client.cookies.set("openkcm_account", "//elsewhere.example", domain="openkcm.test", path="/")
        assert (await browser.get("/")).status_code == 200


async def test_who_may_not_look_any_more_is_shown_the_way_in_and_not_led_in_a_circle(
    app: Litestar, links: dict[str, str]
) -> None:
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        async with transaction(Role.APP, TENANT) as tx:
            await tx.execute("delete from grants where tenant = $1", TENANT)
        assert (await browser.get(f"/t/{TENANT}/sign-in")).status_code == 200


async def test_a_used_link_says_so_and_a_form_without_its_token_is_refused(
    app: Litestar, links: dict[str, str]
) -> None:
    async with Browser(app) as browser:
        await browser.get(links[TENANT])
        token, browser.csrf = browser.csrf, "x" * 43
        assert (await browser.post(links[TENANT])).status_code == 403
        browser.csrf = token
        assert (await browser.post(links[TENANT])).status_code == 303
        again = await browser.post(links[TENANT])
        assert again.status_code == 410
        assert "This link has been used" in again.text


async def test_before_ready_every_page_leads_to_the_one_that_lives(
    app: Litestar, links: dict[str, str]
) -> None:
    async with Browser(app) as browser:
        await browser.sign_in(links[OTHER])
        for page in ("", "/messages"):
            assert (await browser.get(f"/t/{OTHER}{page}")).headers["location"] == f"/t/{OTHER}/setup"
        assert "Setting up keys" in (await browser.get(f"/t/{OTHER}/setup")).text
        refused = await browser.post(f"/t/{OTHER}/token", accept="application/json")
        assert (refused.status_code, problem(refused)) == (409, "tenant-not-ready")


async def test_the_live_pages_last_request_leads_home_when_ready_and_back_before(
    app: Litestar, links: dict[str, str]
) -> None:
    async with Browser(app) as browser:
        for tenant, goal in ((TENANT, f"/t/{TENANT}"), (OTHER, f"/t/{OTHER}/setup")):
            await browser.sign_in(links[tenant])
            answer = await browser.get(f"/t/{tenant}/setup/done", **{"hx-request": "true"})
            assert (answer.status_code, answer.headers["hx-redirect"]) == (200, goal)


@pytest.mark.parametrize("presence", ["uninstalled", "deleting"])
async def test_the_set_up_of_what_is_not_there_any_more_leads_to_the_overview(
    app: Litestar, links: dict[str, str], tenants: ModuleDatabases, presence: str
) -> None:
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        assert "All that you need is there" in (await browser.get(f"/t/{TENANT}/setup")).text
        owner = await asyncpg.connect(tenants.superuser())
        await owner.execute("update tenants set presence = $2 where id = $1", TENANT, presence)
        await owner.close()
        answer = await browser.get(f"/t/{TENANT}/setup")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/t/{TENANT}")


async def test_alive_answers_without_a_session_once_the_keys_can_be_used(app: Litestar) -> None:
    async with Browser(app) as browser:
        assert (await browser.get(f"/t/{TENANT}/alive")).status_code == 204
        for tenant in (OTHER, "nobody", "NOT-AN-ID"):
            assert (await browser.get(f"/t/{tenant}/alive")).status_code == 404


async def test_who_lost_the_grant_is_refused_in_a_running_session(
    app: Litestar, links: dict[str, str]
) -> None:
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        async with transaction(Role.APP, TENANT) as tx:
            await tx.execute("delete from grants where tenant = $1", TENANT)
        answer = await browser.get(f"/t/{TENANT}", accept="application/json")
        assert (answer.status_code, problem(answer)) == (403, "not-permitted")


async def test_a_session_ends_by_the_clock_and_by_going_out(
    app: Litestar, links: dict[str, str], clock: SetClock
) -> None:
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        out = await browser.post(f"/t/{TENANT}/sign-out")
        assert out.headers["location"] == f"/t/{TENANT}/sign-in?signed-out"
        assert "You are signed out" in (await browser.get(out.headers["location"])).text
        assert (await browser.get(f"/t/{TENANT}")).status_code == 303
        await browser.sign_in(links[OTHER])
        clock.advance(LIFETIME_S)
        assert (await browser.get(f"/t/{OTHER}/setup")).headers["location"] == f"/t/{OTHER}/sign-in"


async def test_trying_links_without_end_is_stopped(app: Litestar, clock: SetClock) -> None:
    async with Browser(app) as browser:
        for _ in range(30):
            assert (await browser.get(f"/t/{TENANT}/sign-in/{'x' * 43}")).status_code == 410
        answer = await browser.get(f"/t/{TENANT}/sign-in/{'x' * 43}")
        assert answer.status_code == 429
        clock.advance(61)
        assert (await browser.get(f"/t/{TENANT}/sign-in/{'x' * 43}")).status_code == 410


async def test_the_web_process_cannot_take_the_workers_rights(app: Litestar) -> None:
    del app
    with pytest.raises(Exception, match="permission denied"):
        async with transaction(Role.SYSTEM) as tx:
            await tx.fetch("select * from tenants")
    async with transaction(Role.APP, TENANT) as tx:
        assert [row["id"] for row in await tx.fetch("select id from tenants")] == [TENANT]


async def test_health_and_description_need_no_session(app: Litestar) -> None:
    async with Browser(app) as browser:
        assert (await browser.get("/healthz")).json() == {"status": "ok"}
        assert (await browser.get("/readyz")).status_code == 503
        assert "openkcm_memory_pss_bytes" in (await browser.get("/metrics")).text
        description = (await browser.get("/openapi.json")).json()
        assert set(description["paths"]) == {"/healthz", "/readyz", "/metrics"}
        assert "Sign in to OpenKCM" in (await browser.get("/")).text


def test_a_door_of_a_tenant_without_a_guard_stops_the_process(
    monkeypatch: pytest.MonkeyPatch, clock: SetClock
) -> None:
    @get("/t/{tenant:str}/forgotten")
    async def forgotten() -> None:
        return None

    monkeypatch.setattr(composition, "dashboard_router", lambda: forgotten)
    parts = parts_of(Listener("unused", "unused"), MemoryRegions(clock), clock)
    with pytest.raises(RuntimeError, match="forgotten is a tenant's door without a guard"):
        create_app(parts, tls=False)


async def test_by_tls_the_session_is_never_sent_in_the_clear(
    tenants: ModuleDatabases, links: dict[str, str], regions: MemoryRegions, clock: SetClock
) -> None:
    parts = parts_of(Listener(tenants.web, "unused"), regions, clock)
    async with Browser(create_app(parts, tls=True), address="https://openkcm.test") as browser:
        answer = await browser.sign_in(links[TENANT])
        cookies = [value.lower() for value in answer.headers.get_list("set-cookie")]
        assert any("openkcm_session=" in value and "secure" in value for value in cookies)
        assert "strict-transport-security" in answer.headers


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"OPENKCM_WEB__BIND": "192.0.2.1:8443"}, Refusal.SETTING_MISSING),
        ({"OPENKCM_WEB__BIND": "everywhere"}, Refusal.SETTING_INVALID),
        ({"OPENKCM_WEB__BIND": "127.0.0.1:0"}, Refusal.SETTING_MISSING),
    ],
)
async def test_plain_pages_are_for_this_machine_and_what_is_missing_is_named(
    settings: dict[str, str], code: Refusal
) -> None:
    with pytest.raises(Permanent) as caught:
        await serve_web(load_settings(environ=settings))
    assert caught.value.refusal is code
