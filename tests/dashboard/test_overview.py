"""What a tenant's overview reads from the database, and how it calls it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from litestar import Litestar

from openkcm.dashboard.overview import home_state, overview, region_state
from openkcm.dashboard.view import HomeState, KeyState, RegionState
from openkcm.identity.links import issue, use
from openkcm.identity.principal import Visit
from openkcm.identity.session import find_visit
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.services.page_caller import page_caller
from openkcm_client.names import check_name
from tests.app.browser import Browser
from tests.app.conftest import CANARY, OWNER, TENANT, MemoryRegions
from tests.control import NOON
from tests.databases import ModuleDatabases

LATER = NOON + timedelta(days=1)


@pytest.mark.parametrize(
    ("presence", "ends_at", "state"),
    [
        ("present", None, HomeState.ACTIVE),
        ("uninstalled", LATER, HomeState.UNINSTALLED),
        ("uninstalled", NOON, HomeState.UNINSTALLED_OVER),
        ("deleting", LATER, HomeState.DELETING),
        ("gone", None, HomeState.GONE),
    ],
)
def test_what_works_follows_from_what_the_source_says(
    presence: str, ends_at: object, state: HomeState
) -> None:
    assert home_state(presence, ends_at, now=NOON) is state  # type: ignore[arg-type]  # a time or None


@pytest.mark.parametrize(
    ("observed", "state"),
    [(None, RegionState.SILENT), (1, RegionState.BEHIND), (2, RegionState.IN_STEP)],
)
def test_a_region_is_in_step_once_it_confirmed_the_last_decision(
    observed: int | None, state: RegionState
) -> None:
    assert region_state(2, observed) is state


def test_each_service_has_a_caller_of_its_own_whose_name_is_one() -> None:
    services = ["default", "billing", "a" * 63, "a" * 62 + "b", "home-page"]
    names = [page_caller(service) for service in services]
    assert names[:2] == ["home-page", "home-page-billing"]
    assert len(set(names)) == len(names)
    assert [check_name(name, what="caller") for name in names] == names


@pytest.fixture
async def visit(tenants: ModuleDatabases, clock: SetClock) -> Visit:
    del tenants
    issued = await issue(TENANT, by="test", clock=clock)
    session = await use(TENANT, issued.path.rpartition("/")[2], clock=clock)
    found = await find_visit(TENANT, session or "", now=clock.now())
    assert found is not None
    return found


async def write(*statements: str) -> None:
    async with transaction(Role.SYSTEM) as tx:
        for statement in statements:
            await tx.execute(statement)


async def stand(presence: str) -> None:
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute(
            "update tenants set presence = $2, grace_ends_at = '2030-01-01' where id = $1", TENANT, presence
        )


KEYS = """insert into keys (key_id, tenant, level, service, version, state, statement) values
('l2', 'tenant-1', 'L2', '', 1, 'active', '{}'), ('old', 'tenant-1', 'L3', 'default', 1, 'active', '{}'),
('new', 'tenant-1', 'L3', 'default', 2, 'active', '{}'), ('next', 'tenant-1', 'L3', 'default', 3, 'ready', '{}')"""
SEEN = """insert into observed (tenant, region, epoch, generation, hash, acknowledged_at) values
('tenant-1', 'north', 1, 2, 'h', '2026-11-24 11:59:50+00'), ('tenant-1', 'south', 1, 1, 'h', '2026-11-24 11:59+00')"""
MAIL = """with message as (insert into messages (tenant, event, tone, subject, text, html)
values ('tenant-1', 'ready', 'ok', 'It is on', E'It is on.\n\nSince now.\n\nMore.', '') returning id)
insert into deliveries (message, recipient, tenant, message_id, attempts)
select id, 'm@e', 'tenant-1', 'x', {} from message"""


@pytest.mark.integration
async def test_the_overview_names_keys_regions_services_and_messages(visit: Visit, clock: SetClock) -> None:
    await write(KEYS, SEEN, MAIL.format(0))
    page = await overview(visit, now=clock.now())
    assert [(link.level, link.key_id, link.state) for link in page.chain][:2] == [
        ("L1", None, None),
        ("L2", "l2", KeyState.ACTIVE),
    ]
    assert [(one.name, one.key_id, one.key_version) for one in page.services] == [("default", "new", 2)]
    assert [(one.name, one.observed, one.state, one.confirmed_ago_s) for one in page.regions] == [
        ("north", 2, RegionState.IN_STEP, 10),
        ("south", 1, RegionState.BEHIND, 60),
    ]
    assert [(line.title, line.text) for line in page.messages] == [("It is on", "Since now.")]
    assert (page.owner, page.owner_known, page.mail_delivered) == (OWNER, True, True)
    assert page.single_region_copy is False


@pytest.mark.integration
async def test_a_mail_that_was_tried_in_vain_is_told_of(visit: Visit, clock: SetClock) -> None:
    await write(MAIL.format(1))
    assert not (await overview(visit, now=clock.now())).mail_delivered
    await write("update deliveries set state = 'accepted'")
    assert (await overview(visit, now=clock.now())).mail_delivered


@pytest.mark.integration
@pytest.mark.parametrize(
    ("presence", "state"), [("uninstalled", KeyState.READ_ONLY), ("deleting", KeyState.BLOCKED)]
)
async def test_keys_are_shown_as_the_regions_treat_them(
    visit: Visit, clock: SetClock, presence: str, state: KeyState
) -> None:
    await write(KEYS)
    await stand(presence)
    page = await overview(visit, now=clock.now())
    assert {page.chain[1].state, page.services[0].state} == {state}
    assert page.ends_at is not None


@pytest.mark.integration
async def test_a_token_is_shown_once_stored_nowhere_and_audited(
    app: Litestar, links: dict[str, str], regions: MemoryRegions
) -> None:
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        assert "Protected</span>" in (await browser.get(f"/t/{TENANT}")).text
        answer = await browser.post(f"/t/{TENANT}/token", **{"hx-request": "true"})
        assert answer.status_code == 200
        assert CANARY in answer.text
        assert "http://north.test" in answer.text
        assert "<html" not in answer.text
        assert CANARY not in (await browser.get(f"/t/{TENANT}")).text
    asked = regions.each["north"].asked[0]
    assert (asked.caller, asked.service, asked.verbs, asked.lifetime_s) == (
        "home-page",
        "default",
        ("encrypt", "decrypt"),
        900,
    )
    async with transaction(Role.APP, TENANT) as tx:
        told = await tx.fetch("select actor, detail from audit_events where verb = 'services:token:issue'")
    assert [row["actor"] for row in told] == [f"person:#{OWNER}"]
    assert CANARY.encode() not in told[0]["detail"]


@pytest.mark.integration
async def test_a_region_that_is_down_is_passed_over_and_all_down_is_a_refusal_that_heals(
    app: Litestar, links: dict[str, str], regions: MemoryRegions
) -> None:
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        await browser.get(f"/t/{TENANT}")
        regions.each["north"].down = True
        assert "http://south.test" in (await browser.post(f"/t/{TENANT}/token")).text
        regions.each["south"].down = True
        refused = await browser.post(f"/t/{TENANT}/token", accept="application/json")
        assert (refused.status_code, refused.json()["code"]) == (503, "region-unavailable")
        regions.each["south"].down = False
        assert CANARY in (await browser.post(f"/t/{TENANT}/token")).text


@pytest.fixture
async def uninstalled(tenants: ModuleDatabases) -> None:
    del tenants
    await stand("uninstalled")


@pytest.mark.integration
@pytest.mark.usefixtures("uninstalled")
async def test_a_tenant_that_may_not_encrypt_gets_no_token(
    app: Litestar, links: dict[str, str], regions: MemoryRegions
) -> None:
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        assert "Read-only" in (await browser.get(f"/t/{TENANT}")).text
        refused = await browser.post(f"/t/{TENANT}/token", accept="application/json")
    assert (refused.status_code, refused.json()["code"]) == (409, "tenant-state")
    assert regions.each["north"].asked == []


@pytest.mark.integration
async def test_a_failure_of_a_page_shows_no_trace(app: Litestar, links: dict[str, str]) -> None:
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        async with transaction(Role.APP, TENANT) as tx:
            await tx.execute("update tenants set protected_at = null where id = $1", TENANT)
        answer = await browser.get(f"/t/{TENANT}")
        assert answer.status_code == 409
        assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("whole", "service", "chain", "line"),
    [
        (None, "read-only", KeyState.ACTIVE, KeyState.READ_ONLY),
        (None, "revoked", KeyState.ACTIVE, KeyState.REVOKED),
        ("read-only", None, KeyState.READ_ONLY, KeyState.READ_ONLY),
        ("revoked", "read-only", KeyState.REVOKED, KeyState.REVOKED),
    ],
)
async def test_what_a_person_restricted_is_shown_where_it_counts(
    visit: Visit, whole: str | None, service: str | None, chain: KeyState, line: KeyState
) -> None:
    await write(
        "delete from key_access",
        *(
            "insert into key_access (tenant, service, access, before, since, by) "  # noqa: S608 - the test's own words
            f"values ('{TENANT}', '{name}', '{access}', 'active', now(), 'test')"
            for name, access in (("", whole), ("default", service))
            if access
        ),
        f"insert into keys (key_id, tenant, level, service, version, state, statement) values "  # noqa: S608 - the same
        f"('r2', '{TENANT}', 'L2', '', 90, 'active', '{{}}'), "
        f"('r3', '{TENANT}', 'L3', 'default', 90, 'active', '{{}}') on conflict do nothing",
    )
    page = await overview(visit, now=NOON)
    assert (page.chain[1].state, page.services[0].state) == (chain, line)
    assert (page.access, page.can_try) == (whole or "active", False)


RESTRICT = """insert into key_access (tenant, service, access, before, since, by)
values ('tenant-1', '{}', '{}', 'active', now(), 'test')"""


@pytest.fixture
async def limited(tenants: ModuleDatabases, request: pytest.FixtureRequest) -> tuple[str, str]:
    del tenants
    service, access = request.param
    await write(KEYS, RESTRICT.format(service, access))
    return service, access


@pytest.mark.integration
@pytest.mark.parametrize(
    "limited",
    [("", "revoked"), ("", "read-only"), ("default", "revoked"), ("default", "read-only")],
    indirect=True,
)
async def test_what_cannot_encrypt_is_not_called_protected_and_gets_no_token(
    limited: tuple[str, str], app: Litestar, links: dict[str, str], regions: MemoryRegions
) -> None:
    service, access = limited
    async with Browser(app) as browser:
        await browser.sign_in(links[TENANT])
        page = (await browser.get(f"/t/{TENANT}")).text
        assert "Protected</span>" not in page
        assert "Encrypt your first record" not in page
        assert (
            "1 of 1 limited" if service else {"revoked": "Revoked", "read-only": "Read-only"}[access]
        ) in page
        refused = await browser.post(f"/t/{TENANT}/token", accept="application/json")
    assert (refused.status_code, refused.json()["code"]) == (409, "key-state")
    assert regions.each["north"].asked == []
