"""One-time links: once, for ten minutes, and only their hash is kept."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from openkcm.identity import links
from openkcm.identity.grant import grant_owner
from openkcm.identity.principal import Principal
from openkcm.identity.session import LIFETIME_S, end_session, find_visit
from openkcm.identity.view import LinkState
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from tests.control import appear, rows
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration
TENANT, OTHER = "tenant-1", "tenant-2"


@pytest.fixture
async def tenants(control: ModuleDatabases, clock: SetClock) -> None:
    await appear(TENANT, OTHER, clock=clock)
    async with transaction(Role.SYSTEM) as tx:
        await grant_owner(tx, TENANT, issuer="https://id.example", username="mara", by="test")
        await grant_owner(tx, OTHER, issuer="https://id.example", username="nils", by="test")


def token_of(issued: links.Issued) -> str:
    return issued.path.rpartition("/")[2]


async def link(clock: SetClock, tenant: str = TENANT) -> str:
    return token_of(await links.issue(tenant, by="operator:test", clock=clock))


@pytest.mark.usefixtures("tenants")
async def test_a_link_signs_its_owner_in_for_eight_hours(clock: SetClock) -> None:
    session = await links.use(TENANT, await link(clock), clock=clock)
    assert session is not None
    visit = await find_visit(TENANT, session, now=clock.now())
    assert visit is not None
    assert (visit.principal, visit.granted) == (Principal("https://id.example", "mara"), True)
    clock.advance(LIFETIME_S - 1)
    assert await find_visit(TENANT, session, now=clock.now()) is not None
    clock.advance(1)
    assert await find_visit(TENANT, session, now=clock.now()) is None


@pytest.mark.usefixtures("tenants")
async def test_the_database_holds_hashes_and_neither_a_links_nor_a_sessions_token(clock: SetClock) -> None:
    token = await link(clock)
    session = await links.use(TENANT, token, clock=clock)
    assert session is not None
    kept = await rows("select hash from sign_in_links union all select hash from sessions")
    assert {row["hash"] for row in kept} == {
        hashlib.sha256(secret.encode()).digest() for secret in (token, session)
    }
    written = await rows("select convert_from(detail, 'UTF8') as detail, object, actor from audit_events")
    assert token not in repr(written)
    assert session not in repr(written)


@pytest.mark.usefixtures("tenants")
async def test_looking_uses_nothing_up_and_using_twice_lets_one_in(clock: SetClock) -> None:
    token = await link(clock)
    for _ in range(2):
        assert (await links.look(TENANT, token, clock=clock)).state is LinkState.OFFERED
    came = await asyncio.gather(*(links.use(TENANT, token, clock=clock) for _ in range(4)))
    assert sum(session is not None for session in came) == 1
    assert (await links.look(TENANT, token, clock=clock)).state is LinkState.USED


@pytest.mark.usefixtures("tenants")
async def test_a_link_ends_after_ten_minutes_whatever_was_asked_for(clock: SetClock) -> None:
    token = token_of(await links.issue(TENANT, by="test", clock=clock, lifetime_s=86_400))
    clock.advance(599)
    assert (await links.look(TENANT, token, clock=clock)).state is LinkState.OFFERED
    clock.advance(1)
    assert (await links.look(TENANT, token, clock=clock)).state is LinkState.EXPIRED
    assert await links.use(TENANT, token, clock=clock) is None


@pytest.mark.usefixtures("tenants")
async def test_a_link_opens_no_other_tenant_and_neither_does_its_session(clock: SetClock) -> None:
    token = await link(clock)
    assert (await links.look(OTHER, token, clock=clock)).state is LinkState.UNKNOWN
    assert await links.use(OTHER, token, clock=clock) is None
    session = await links.use(TENANT, token, clock=clock)
    assert session is not None
    assert await find_visit(OTHER, session, now=clock.now()) is None


@pytest.mark.usefixtures("tenants")
@pytest.mark.parametrize("token", ["", "x" * 43, "é" * 43, "x" * 10_000, "../../etc"])
async def test_what_is_no_link_of_ours_opens_nothing(clock: SetClock, token: str) -> None:
    assert (await links.look(TENANT, token, clock=clock)).state is LinkState.UNKNOWN
    assert await links.use(TENANT, token, clock=clock) is None
    assert await find_visit(TENANT, token, now=clock.now()) is None


@pytest.mark.usefixtures("tenants")
async def test_a_session_ends_when_its_person_goes_out(clock: SetClock) -> None:
    session = await links.use(TENANT, await link(clock), clock=clock)
    assert session is not None
    for whose in (Principal("https://id.example", "mara"), None):
        async with transaction(Role.APP, TENANT) as tx:
            assert await end_session(tx, TENANT, session) == whose
    assert await find_visit(TENANT, session, now=clock.now()) is None


@pytest.mark.usefixtures("tenants")
async def test_a_tenant_that_is_not_there_gets_no_link(clock: SetClock) -> None:
    with pytest.raises(Permanent) as caught:
        await link(clock, "nobody")
    assert caught.value.refusal is Refusal.TENANT_UNKNOWN


@pytest.mark.usefixtures("control")
async def test_a_tenant_without_an_owner_gets_a_link_once_somebody_is_named(clock: SetClock) -> None:
    await appear(TENANT, clock=clock)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update tenants set creator_issuer = null, creator_username = null")
    with pytest.raises(Permanent) as caught:
        await link(clock)
    assert caught.value.refusal is Refusal.NOT_PERMITTED
    assert caught.value.remedy is not None
    assert f"openkcm tenants grant {TENANT}" in caught.value.remedy.action
    async with transaction(Role.SYSTEM) as tx:
        assert await grant_owner(tx, TENANT, issuer="", username="ops@example.org", by="test")
    assert await links.use(TENANT, await link(clock), clock=clock)


@pytest.mark.usefixtures("tenants")
async def test_links_that_nobody_uses_are_bounded_and_make_room_when_they_end(clock: SetClock) -> None:
    for _ in range(links.MOST_OPEN):
        await link(clock)
    with pytest.raises(Temporary) as caught:
        await link(clock)
    assert caught.value.refusal is Refusal.TOO_MANY
    clock.advance(links.LIFETIME_S)
    assert await link(clock)
