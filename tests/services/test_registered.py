"""Callers with something that proves them: rows that nothing widens in passing, audited, gone when removed."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec
import pytest

from openkcm.crypto.contract import CertificateTrust, IssuerTrust, PinnedTrust, Trust
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.services import register
from openkcm.services.ensure import ensure_service
from openkcm.services.page_caller import register_page_caller
from openkcm.services.register import VERBS, callers_of, register_caller
from openkcm.services.remove import remove_caller
from tests.control import appear, rows
from tests.crypto.callers.pki import SPIFFE, Authority

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("control")]
CA = Authority()
TRUSTS: tuple[Trust, ...] = (
    CertificateTrust(authority=CA.pem, name=SPIFFE),
    PinnedTrust(certificate=CA.issue("a").pem),
    IssuerTrust(issuer="https://issuer.example", subject="backend", authority=CA.pem),
)


@pytest.fixture
async def acme(clock: SetClock) -> str:
    await appear("acme", "other", clock=clock)
    async with transaction(Role.APP, "acme") as tx:
        await ensure_service(tx, "acme", "default")
        await register_page_caller(tx, "acme", "default")
    return "acme"


async def add(tenant: str, trust: Trust, name: str = "shop", **changes: object) -> bool:
    given: dict[str, Any] = {
        "service": "default",
        "verbs": ("encrypt",),
        "registered": 4,
        "by": "operator:ops",
    }
    given |= changes
    async with transaction(Role.APP, tenant) as tx:
        return await register_caller(tx, tenant, name=name, trust=trust, **given)


@pytest.mark.parametrize("trust", TRUSTS)
async def test_what_proves_a_caller_comes_back_as_it_was(acme: str, trust: Trust) -> None:
    assert await add(acme, trust, verbs=("rewrap", "encrypt"))
    assert not await add(acme, trust, verbs=("encrypt", "rewrap"), registered=5)
    async with transaction(Role.APP, acme) as tx:
        found = {caller.name: caller for caller in await callers_of(tx, acme)}
    assert (found["shop"].trust, found["shop"].verbs) == (trust, ("encrypt", "rewrap"))
    assert (found["shop"].registered, found["shop"].registered_by) == (4, "operator:ops")
    assert found["home-page"].trust is None
    events = await rows(
        "select convert_from(detail, 'UTF8') as detail from audit_events where verb = 'services:caller:add'"
    )
    assert len(events) == 1
    assert msgspec.json.decode(str(events[0]["detail"]))["service"] == "default"


@pytest.mark.parametrize("change", [{"service": "second"}, {"verbs": ("decrypt",)}, {"trust": TRUSTS[1]}])
async def test_nothing_of_a_registration_changes_in_passing(acme: str, change: dict[str, object]) -> None:
    async with transaction(Role.APP, acme) as tx:
        await ensure_service(tx, acme, "second")
    await add(acme, TRUSTS[0])
    with pytest.raises(Permanent) as refused:
        await add(acme, **({"trust": TRUSTS[0]} | change))  # type: ignore[arg-type] # any value
    assert refused.value.refusal is Refusal.BAD_REQUEST
    async with transaction(Role.APP, acme) as tx:
        (found,) = [caller for caller in await callers_of(tx, acme) if caller.trust is not None]
    assert (found.service, found.verbs, found.trust) == ("default", ("encrypt",), TRUSTS[0])


async def test_a_private_key_reaches_no_row_and_no_audit_entry(acme: str) -> None:
    leaf = CA.issue("a")
    with pytest.raises(Permanent) as refused:
        await add(acme, PinnedTrust(certificate=leaf.pem + leaf.key_pem))
    assert refused.value.refusal is Refusal.TRUST_INVALID
    assert await rows("select from callers where name = 'shop'") == []
    assert await rows("select from audit_events where verb like 'services:caller%'") == []


@pytest.mark.parametrize("name", ["home-page", "home-page-x"])
async def test_the_pages_own_names_are_not_an_applications(acme: str, name: str) -> None:
    with pytest.raises(Permanent, match="are the pages' own"):
        await add(acme, TRUSTS[0], name=name)
    with pytest.raises(Permanent):
        async with transaction(Role.APP, acme) as tx:
            await remove_caller(tx, acme, name="home-page", by="operator:ops")
    async with transaction(Role.APP, acme) as tx:
        assert [caller.name for caller in await callers_of(tx, acme)] == ["home-page"]


async def test_a_removed_caller_is_gone_and_may_be_registered_anew(acme: str) -> None:
    await add(acme, TRUSTS[0])
    async with transaction(Role.APP, acme) as tx:
        await remove_caller(tx, acme, name="shop", by="operator:ops")
        with pytest.raises(Permanent) as gone:
            await remove_caller(tx, acme, name="shop", by="operator:ops")
        assert gone.value.refusal is Refusal.NOT_FOUND
    assert await add(acme, TRUSTS[1], registered=9)
    events = await rows("select actor, object from audit_events where verb = 'services:caller:remove'")
    assert events == [{"actor": "operator:ops", "object": "caller:shop"}]


async def test_one_tenant_sees_and_touches_no_callers_of_another(acme: str) -> None:
    await add(acme, TRUSTS[0])
    async with transaction(Role.APP, "other") as tx:
        assert await callers_of(tx, acme) == []
        with pytest.raises(Permanent, match="no application of that name"):
            await remove_caller(tx, acme, name="shop", by="x")
    with pytest.raises(asyncpg.PostgresError):
        async with transaction(Role.APP, "other") as tx:
            await register_caller(
                tx, acme, name="thief", service="default", verbs=VERBS, trust=TRUSTS[0], by="x"
            )


async def test_a_tenant_has_only_so_many_callers(acme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "MOST_CALLERS", 2)
    await add(acme, TRUSTS[0], name="a")
    await add(acme, TRUSTS[0], name="b")
    with pytest.raises(Permanent) as refused:
        await add(acme, TRUSTS[0], name="c")
    assert refused.value.refusal is Refusal.TOO_MANY
    monkeypatch.setattr(register, "MOST_CALLERS", 200)
    monkeypatch.setattr(register, "MOST_BYTES", 1000)
    with pytest.raises(Permanent):
        await add(acme, TRUSTS[0], name="c")
