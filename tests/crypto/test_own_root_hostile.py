"""A tenant's own root key beside databases, disks and neighbours that do their worst."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import os
import time
from types import TracebackType

import pytest

from openkcm.crypto import root_keys
from openkcm.crypto.bounds import Choice
from openkcm.crypto.connection import DesiredPolicy
from openkcm.crypto.hosts.guard import GuardedStore
from openkcm.crypto.links import Watched
from openkcm.crypto.place import Place, unwritable
from openkcm.crypto.tighten import tighten
from openkcm.kernel.db import DB, Role, Transaction, transaction
from openkcm.sdk.refusals import Permanent, Refusal
from tests.crypto.own_root import OwnRoot, refused, secrets
from tests.crypto.test_tighten import word

pytestmark = pytest.mark.integration


async def test_what_somebody_wrote_into_the_database_is_not_sent_to_a_key_store(
    own: OwnRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    await own.own("acme")
    own.policy = DesiredPolicy(choice=Choice.MEMORY_ONLY)
    await own.decide("acme", own.keys["acme"])
    local = own.plane.local
    key_id = own.l2()
    await local.edit("update wraps set blob = $2 where key_id = $1", key_id, b"\x93\xc4\x00\xa1a\xa1b")
    await own.open(local)
    asked: list[object] = []
    monkeypatch.setattr(GuardedStore, "unwrap", lambda *given: asked.append(given))
    assert await refused(local.encrypt("acme", b"x")) is Refusal.RECORD_MISMATCH
    assert not asked


async def test_many_cold_tenants_leave_connections_to_the_database_for_others(
    own: OwnRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_now = most = 0
    real = transaction

    class Counted:
        def __init__(self, role: Role) -> None:
            self._of = real(role)

        async def __aenter__(self) -> Transaction:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            return await self._of.__aenter__()

        async def __aexit__(
            self,
            kind: type[BaseException] | None,
            failed: BaseException | None,
            trace: TracebackType | None,
        ) -> bool | None:
            nonlocal open_now
            open_now -= 1
            return await self._of.__aexit__(kind, failed, trace)

    own.policy = DesiredPolicy(choice=Choice.MEMORY_ONLY)
    tenants = [f"t{number}" for number in range(6)]
    for tenant in tenants:
        await own.own(tenant)
    local = own.plane.local
    await own.open(local)
    monkeypatch.setattr(root_keys, "transaction", Counted)
    messages = await asyncio.gather(*(local.encrypt(tenant, b"x") for tenant in tenants))
    assert len(messages) == len(tenants)
    assert most <= 2


async def test_a_disk_that_refuses_for_one_tenant_lets_a_revoke_of_another_take_hold(
    own: OwnRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tenant in ("acme", "blue"):
        await own.own(tenant)
    local = own.plane.local
    roots = local.here.roots
    blue = own.l2("blue")
    acme = local.here.state.view("acme")
    watch = roots.links.watch

    def refusing(watched: Watched) -> None:
        watch(watched)
        raise Permanent(Refusal.STATE_UNWRITABLE, "no")

    monkeypatch.setattr(roots.links, "watch", refusing)
    revoked = dataclasses.replace(local.here.state.view("blue"), access="revoked")
    with pytest.raises(Permanent):
        roots.follow([acme, revoked])
    assert blue not in roots.memory
    assert blue not in roots.watched


async def test_no_tenant_takes_the_watch_over_anothers_key(own: OwnRoot) -> None:
    await own.own("acme")
    await own.own("evil")
    local = own.plane.local
    roots = local.here.roots
    acme, evil = (local.here.state.view(tenant) for tenant in ("acme", "evil"))
    key_id = own.l2()
    mixed = {key_id: acme.keys[key_id]}
    roots.follow([dataclasses.replace(evil, keys=mixed)])
    assert roots.watched[key_id].tenant == "acme"
    roots.follow([evil])
    assert roots.watched[key_id].tenant == "acme"
    roots.follow([dataclasses.replace(acme, access="revoked")])
    assert key_id not in roots.watched


async def test_a_database_that_fails_in_any_way_does_not_end_the_watch(own: OwnRoot) -> None:
    await own.own("acme")
    local, watch = own.plane.local, own.watches["local"]
    await local.edit("alter table root_key_answers rename to hidden")
    await local.edit("alter table root_key_claims rename to hidden_claims")
    try:
        own.answered()
        DB.pool = local.pool
        running = asyncio.create_task(watch.run())
        begun = time.monotonic()
        while not running.done() and time.monotonic() - begun < 2.5:
            own.plane.clock.advance(20.0)
            await asyncio.sleep(0.2)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    finally:
        await local.edit("alter table hidden rename to root_key_answers")
        await local.edit("alter table hidden_claims rename to root_key_claims")


async def test_a_revoke_on_a_full_disk_removes_the_lease_and_is_not_acknowledged(
    own: OwnRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    await own.own("acme")
    local = own.plane.local
    await own.watches["local"].write()
    assert len(secrets(local)) == 1

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)  # which the high-water mark alone uses
        refusal = await refused(own.decide("acme", own.keys["acme"], access="revoked"))
    assert refusal is Refusal.DISK_FULL
    assert secrets(local) == []
    assert await refused(local.encrypt("acme", b"x")) is Refusal.KEY_REVOKED


async def test_a_tightening_that_the_disk_refuses_holds_up_none_of_other_tenants(
    own: OwnRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tenant in ("acme", "blue"):
        await own.own(tenant)
    local = own.plane.local
    revoke = local.here.roots.links.revoke

    def unwritable(tenants: list[str], stamp: tuple[int, int, int]) -> None:
        revoke(tenants, stamp)
        if tenants == ["acme"]:
            raise Permanent(Refusal.STATE_UNWRITABLE, "no")

    monkeypatch.setattr(local.here.roots.links, "revoke", unwritable)
    items = [await word(own.plane, local, tenant=tenant) for tenant in ("acme", "blue")]
    with pytest.raises(Permanent):
        await local.run(tighten, *items)
    for tenant in ("acme", "blue"):
        assert await refused(local.encrypt(tenant, b"x")) is Refusal.KEY_REVOKED


async def test_claims_that_somebody_wrote_keep_no_refusal_from_a_process(own: OwnRoot) -> None:
    await own.own("acme")
    local = own.plane.local
    await own.asks(local)
    await local.edit("update root_key_claims set process = 'nobody', ends_at = 'infinity'")
    await own.place.disable(own.connections["acme"])
    for _ in range(4):
        await own.asks(local, after_s=19.0)
    for _ in range(3):
        await own.asks(local, after_s=6.0)
    assert await refused(local.encrypt("acme", b"x")) is Refusal.KEY_SUSPENDED


async def test_a_full_disk_ends_no_service(own: OwnRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    await own.own("acme")
    local, watch = own.plane.local, own.watches["local"]

    def full(place: Place, name: str, content: bytes) -> None:
        raise unwritable(place.directory / name, OSError(errno.ENOSPC, "no room"))

    monkeypatch.setattr(Place, "write", full)
    own.answered()
    with pytest.raises(Permanent) as found:
        await watch.write()
    assert found.value.refusal is Refusal.DISK_FULL
    running = asyncio.create_task(watch.run())
    await asyncio.sleep(0.5)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await local.decrypt("acme", await local.encrypt("acme", b"x")) == b"x"
    assert secrets(local) == []
