"""Naming an owner."""

from __future__ import annotations

import pytest

from openkcm.identity.grant import grant_owner
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Permanent, Refusal
from tests.control import appear, rows

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("control")]
TENANT = "tenant-1"


async def grant(username: str, tenant: str = TENANT, issuer: str = "https://id.example") -> bool:
    async with transaction(Role.SYSTEM) as tx:
        return await grant_owner(tx, tenant, issuer=issuer, username=username, by="operator:test")


async def test_an_owner_is_named_once_and_the_audit_says_by_whom(clock: SetClock) -> None:
    await appear(TENANT, clock=clock)
    assert [await grant("mara"), await grant("mara")] == [True, False]
    assert await rows("select username, role, granted_by from grants") == [
        {"username": "mara", "role": "owner", "granted_by": "operator:test"}
    ]
    told = await rows("select actor, object from audit_events where verb = 'identity:owner:grant'")
    assert told == [{"actor": "operator:test", "object": "person:https://id.example#mara"}]


@pytest.mark.parametrize("username", ["", "a\nb", "x" * 321, "mara\u202emoc"], ids=ascii)
async def test_a_name_that_cannot_be_shown_in_one_line_is_refused(clock: SetClock, username: str) -> None:
    await appear(TENANT, clock=clock)
    with pytest.raises(Permanent) as caught:
        await grant(username)
    assert caught.value.refusal is Refusal.RECIPIENT_INVALID
    assert await grant("mara")


async def test_nobody_owns_a_tenant_that_is_not_there() -> None:
    with pytest.raises(Permanent) as caught:
        await grant("mara", tenant="nobody")
    assert caught.value.refusal is Refusal.TENANT_UNKNOWN


async def test_nobody_owns_a_tenant_that_is_gone(clock: SetClock) -> None:
    await appear(TENANT, clock=clock)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update tenants set presence = 'gone'")
    with pytest.raises(Permanent) as caught:
        await grant("mara")
    assert caught.value.refusal is Refusal.TENANT_STATE


async def test_a_stored_creator_whose_name_has_direction_marks_is_still_granted(clock: SetClock) -> None:
    await appear(TENANT, clock=clock)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update tenants set creator_issuer = 'i', creator_username = $1", "mara\u202emoc")
    assert await grant("mara\u202emoc", issuer="i")
    with pytest.raises(Permanent):
        await grant("mara\u202emoc", issuer="another")
