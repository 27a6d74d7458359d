"""A tenant's services and callers: made once, in the form of associated data, and never widened in passing."""

from __future__ import annotations

from typing import cast

import asyncpg
import pytest

from openkcm.crypto.contract import Verb
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.services.ensure import ensure_service
from openkcm.services.register import Caller, callers_of, register_caller
from tests.control import appear

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("control")]
BOTH: tuple[Verb, ...] = ("encrypt", "decrypt")
READ: tuple[Verb, ...] = ("decrypt",)


async def test_a_service_and_its_caller_are_made_once(clock: SetClock) -> None:
    await appear("acme", clock=clock)
    async with transaction(Role.APP, "acme") as tx:
        assert await ensure_service(tx, "acme", "default")
        assert not await ensure_service(tx, "acme", "default")
        assert await register_caller(tx, "acme", name="home", service="default", verbs=BOTH)
        assert not await register_caller(tx, "acme", name="home", service="default", verbs=BOTH[::-1])
        assert await callers_of(tx, "acme") == [
            Caller(name="home", service="default", verbs=("decrypt", "encrypt"))
        ]


async def test_a_caller_is_never_given_more_by_registering_it_again(clock: SetClock) -> None:
    await appear("acme", clock=clock)
    async with transaction(Role.APP, "acme") as tx:
        await ensure_service(tx, "acme", "default")
        await register_caller(tx, "acme", name="reader", service="default", verbs=READ)
        with pytest.raises(Permanent) as refused:
            await register_caller(tx, "acme", name="reader", service="default", verbs=BOTH)
        assert refused.value.refusal is Refusal.BAD_REQUEST
        assert (await callers_of(tx, "acme"))[0].verbs == ("decrypt",)


@pytest.mark.parametrize("name", ["", "-a", "A", "a" * 64, "a/b", "a\x00", "ä"])
async def test_a_name_of_another_form_is_refused(clock: SetClock, name: str) -> None:
    await appear("acme", clock=clock)
    async with transaction(Role.APP, "acme") as tx:
        with pytest.raises(Permanent):
            await ensure_service(tx, "acme", name)
        await ensure_service(tx, "acme", "default")
        with pytest.raises(Permanent):
            await register_caller(tx, "acme", name=name, service="default", verbs=BOTH)


async def test_a_caller_without_verbs_or_with_an_unknown_one_is_refused(clock: SetClock) -> None:
    await appear("acme", clock=clock)
    async with transaction(Role.APP, "acme") as tx:
        await ensure_service(tx, "acme", "default")
        for verbs in ([], ["encrypt", "destroy"]):
            asked = cast("list[Verb]", verbs)  # a request may hold anything
            with pytest.raises(Permanent):
                await register_caller(tx, "acme", name="home", service="default", verbs=asked)


async def test_a_caller_of_no_service_is_refused_and_so_is_one_of_another_tenant(clock: SetClock) -> None:
    await appear("acme", "other", clock=clock)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        async with transaction(Role.APP, "acme") as tx:
            await register_caller(tx, "acme", name="home", service="none", verbs=BOTH)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with transaction(Role.APP, "acme") as tx:
            await ensure_service(tx, "other", "default")
