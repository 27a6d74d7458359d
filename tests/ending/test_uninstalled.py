"""REQ-011: an uninstalled tenant is stopped by itself when its grace is over, and comes back at any time."""

from __future__ import annotations

import pytest

from openkcm.kernel.db import Role, transaction
from openkcm.sdk.tenant_source import Presence
from tests.control import rows
from tests.ending.parts import DAY_S, GRACE_S, OPERATOR, OWNER, Worker, presence, sagas

pytestmark = pytest.mark.integration


async def test_when_the_grace_is_over_nothing_works_in_any_region_and_people_know(worker: Worker) -> None:
    await worker.protected()
    await worker.say(Presence.UNINSTALLED)
    await worker.later(GRACE_S - 1)
    assert [worker.regions[name].access() for name in ("local", "eu-1")] == ["read-only"] * 2
    await worker.later(1)
    assert [worker.regions[name].access() for name in ("local", "eu-1")] == ["blocked"] * 2
    (message,) = await rows(
        "select event, subject, text from messages where tenant = 'acme' and tone = 'bad'"
    )
    assert message["event"] == "uninstalled-3"
    assert "nothing works" in str(message["subject"])
    assert "never destroyed" in str(message["text"])
    assert "24 Dec 2026, 12:00" in str(message["text"]).replace("\u00a0", " ")
    told = await rows(
        "select recipient from deliveries join messages on message = id where tone = 'bad' order by recipient"
    )
    assert [row["recipient"] for row in told] == [OWNER, OPERATOR]
    (entry,) = await rows(
        "select convert_from(detail, 'utf8')::jsonb->>'before' as before from audit_events where chain = 'acme' "
        "and verb = 'propagation:desired:decide' and convert_from(detail, 'utf8')::jsonb->>'access' = 'blocked'"
    )
    assert entry["before"] == "read-only"


async def test_it_is_said_once_and_never_destroyed(worker: Worker) -> None:
    await worker.protected()
    await worker.say(Presence.UNINSTALLED)
    for _ in range(3):
        await worker.later(100 * DAY_S)
    assert await rows("select count(*) as n from messages where tone = 'bad' and tenant = 'acme'") == [
        {"n": 1}
    ]
    assert await rows("select max(generation) as n from desired") == [{"n": 3}]
    assert await sagas() == []
    assert await presence() == "uninstalled"
    assert all(not worker.regions[name].asked for name in ("local", "eu-1"))


@pytest.mark.parametrize("days", [1, 29, 31, 400])
async def test_installing_again_brings_everything_back_with_the_same_keys(worker: Worker, days: int) -> None:
    await worker.protected()
    before = await rows("select key_id, state from keys order by key_id")
    await worker.say(Presence.UNINSTALLED)
    await worker.later(days * DAY_S)
    await worker.say(Presence.PRESENT)
    assert [worker.regions[name].access() for name in ("local", "eu-1")] == ["active"] * 2
    assert await rows("select key_id, state from keys order by key_id") == before
    await worker.say(Presence.UNINSTALLED)
    await worker.later(GRACE_S)
    assert worker.regions["local"].access() == "blocked", "a second uninstall has a grace of its own"


async def test_while_its_event_waits_it_is_not_written_again(worker: Worker) -> None:
    await worker.protected()
    await worker.say(Presence.UNINSTALLED)
    worker.clock.advance(GRACE_S)
    for _ in range(3):
        await worker.sweep.once()
    assert await rows("select count(*) as n from outbox where topic = 'tenancy.changed'") == [{"n": 1}]


async def test_once_it_is_stopped_no_event_is_written_any_more(worker: Worker) -> None:
    await worker.protected()
    await worker.say(Presence.UNINSTALLED)
    await worker.later(GRACE_S)
    assert await rows("select stopped_at from tenants") == [{"stopped_at": worker.clock.now()}]
    await worker.sweep.once()
    assert await rows("select 1 from outbox where topic = 'tenancy.changed'") == []


async def test_an_event_that_failed_long_ago_does_not_keep_it_from_being_stopped(worker: Worker) -> None:
    await worker.protected()
    await worker.say(Presence.UNINSTALLED)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute(
            "insert into outbox (topic, tenant, payload, failed) values ('tenancy.changed', 'acme', '{}', 'internal')"
        )
    worker.clock.advance(GRACE_S)
    await worker.sweep.once()
    assert await rows(
        "select count(*) as n from outbox where failed is null and topic = 'tenancy.changed'"
    ) == [{"n": 1}]


async def test_deleting_what_was_stopped_says_destroy_pending_although_access_stays_blocked(
    worker: Worker,
) -> None:
    await worker.protected()
    await worker.say(Presence.UNINSTALLED)
    await worker.later(GRACE_S)
    await worker.say(Presence.DELETING)
    assert await rows("select max(generation) as n from desired") == [{"n": 4}]
    (row,) = await rows(
        "select convert_from(document, 'utf8')::jsonb->'destroy_pending'->>'grace_s' as grace_s from desired "
        "order by generation desc limit 1"
    )
    assert row["grace_s"] == str(int(GRACE_S))
