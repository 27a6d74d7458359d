"""Who is told how a set-up fares: on the way forward both, on the way back the operator until its end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.provisioning.means import Means
from openkcm.provisioning.progress import progress
from openkcm.provisioning.steps_ready import Publish
from openkcm.provisioning.told import Told
from openkcm.saga.journal import Trouble
from openkcm.saga.states import SagaState
from openkcm.saga.step import Given
from tests.control import NOON, appear, rows

pytestmark = pytest.mark.integration
TENANT, OWNER, OPERATOR = "t-told", "mara@example.org", "desk@example.org"
_MAILS = "select recipient, subject, text from deliveries join messages on messages.id = message order by recipient"


def observer(clock: SetClock, *, operator: str = OPERATOR) -> Told:
    given: dict[str, Any] = dict.fromkeys(
        ("regions", "region_set", "identity", "sources", "notifiers", "probe")
    )
    return Told(Means(**given, clock=clock, public_url="https://keys.example", operator=operator))


async def begun(state: str, clock: SetClock) -> int:
    await appear(TENANT, clock=clock)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update tenants set creator_issuer = '', creator_username = $1", OWNER)
        saga = await tx.fetchval(
            "insert into sagas (plan, tenant, state, started_at) values ('new-tenant', $1, $2, $3) returning id",
            TENANT,
            state,
            NOON,
        )
    return cast("int", saga)


def trouble(since_s: float) -> Trouble:
    return Trouble(
        refusal="region-unavailable",
        message="Region south does not answer.",
        temporary=True,
        attempts=4,
        since=NOON + timedelta(seconds=since_s),
        next_at=NOON,
    )


async def told(observer: Told, at_s: float, since_s: float, before: int) -> int:
    async with transaction(Role.SYSTEM) as tx:
        now = NOON + timedelta(seconds=at_s)
        return await observer.troubled(tx, TENANT, "mint", trouble(since_s), now=now, told=before)


@pytest.mark.usefixtures("control")
async def test_of_a_set_up_that_waits_both_are_told(clock: SetClock) -> None:
    await begun("running", clock)
    assert await told(observer(clock), 59, 0, 0) == 0
    assert await told(observer(clock), 61, 0, 0) == 1
    assert [row["recipient"] for row in await rows(_MAILS)] == [OPERATOR, OWNER]


@pytest.mark.usefixtures("control")
async def test_of_an_undo_that_waits_the_operator_alone_is_told_and_the_owner_at_its_end(
    clock: SetClock,
) -> None:
    await begun("undoing", clock)
    assert await told(observer(clock), 500, 450, 0) == 0, "counted from when the undo first waited"
    assert await told(observer(clock), 511, 450, 0) == 1
    assert await told(observer(clock), 751, 450, 1) == 2
    mails = await rows(_MAILS)
    assert [row["recipient"] for row in mails] == [OPERATOR, OPERATOR]
    for mail in mails:
        assert "taking back its set-up" in str(mail["subject"])
        assert "Putting the platform-managed key out of use" in str(mail["text"])
        assert "cancel" not in str(mail["text"])
    async with transaction(Role.SYSTEM) as tx:
        await observer(clock).ended(tx, TENANT, SagaState.UNDONE, trouble(450))
    ended = [row for row in await rows(_MAILS) if "could not be set up" in str(row["subject"])]
    assert [row["recipient"] for row in ended] == [OPERATOR, OWNER]


@pytest.mark.usefixtures("control")
async def test_the_page_names_the_owner_as_told_once_the_mail_was_accepted(clock: SetClock) -> None:
    await begun("running", clock)
    async with transaction(Role.SYSTEM) as tx:
        now = NOON + timedelta(seconds=61)
        said = await observer(clock).troubled(tx, TENANT, "mint", trouble(0), now=now, told=0)
        await tx.execute("update sagas set told = $1", said)
    assert (await progress(TENANT)).told == ()
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update deliveries set state = 'accepted'")
    assert (await progress(TENANT)).told == ("you",)
    assert (await progress(TENANT, operator=OPERATOR)).told == ("you", "the operator")


@pytest.mark.usefixtures("control")
async def test_the_mail_after_a_second_try_says_how_long_that_took(clock: SetClock) -> None:
    await begun("undone", clock)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update tenants set stage = 'protected', observed_at = now() - interval '1 hour'")
        again = await tx.fetchval(
            "insert into sagas (plan, tenant, started_at) values ('new-tenant', $1, now() - interval '9 s') "
            "returning id",
            TENANT,
        )
    past: dict[str, Any] = {"admit": {"username": OWNER}, "assign": {"regions": ["south"]}}
    async with transaction(Role.SYSTEM) as tx:
        given = Given(saga=cast("Any", again), tenant=TENANT, past=past)
        await Publish(observer(clock).means).record(tx, given, {"address": "https://keys.example/t/t-told"})
    (mail,) = await rows(_MAILS)
    assert "took 9" in str(mail["text"])
