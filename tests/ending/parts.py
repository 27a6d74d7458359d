"""A tenant that is being deleted, in regions that count by hand and sign receipts, and the worker that ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import msgspec

from openkcm.crypto.contract import Desired, Ending, EndItem, Region
from openkcm.ending.means import Means
from openkcm.ending.plan import END_TENANT, end_tenant
from openkcm.ending.sweep import Sweep
from openkcm.ending.told import EndTold
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.parties.identity import Identity
from openkcm.parties.receipt import Receipt, SignedReceipt, sign_receipt
from openkcm.propagation.changed import Changed
from openkcm.propagation.store import newest
from openkcm.saga.runner import Runner
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from openkcm.sdk.tenant_source import Creator, Observation, Presence
from openkcm.sdk.testing.memory_source import MemorySource, observed
from openkcm.tenancy.observe import observe
from tests.control import batch, rows
from tests.propagation.parts import MemoryRegion, settled

DAY_S = 24 * 3600.0
GRACE_S = 30 * DAY_S
STEPS = ["look-again", "destroy", "certify", "bury", "tell"]
OPERATOR = "ops@example.org"
OWNER = "ada@example.org"
TOLD = observed("acme", name="account-acme", creator=Creator("", OWNER), path="root:orgs:meridian")


@dataclass(kw_only=True)
class CountingRegion(MemoryRegion):
    """Counts to the clock's ``due_at``; then destroys, and signs with its own identity or what a test puts there."""

    identity: Identity
    clock: SetClock
    grace_s: float = 7 * DAY_S
    destroyed: dict[str, SignedReceipt] = field(default_factory=dict)
    asked: list[EndItem] = field(default_factory=list)
    counts: dict[str, float] = field(default_factory=dict)
    changes: dict[str, object] = field(default_factory=dict)
    signer: Identity | None = None

    async def end(self, item: EndItem) -> Ending:
        self.asked.append(item)
        if self.failure is not None:
            raise self.failure
        if self.applied.get(item.tenant) != (item.epoch, item.generation, item.hash):
            raise Permanent(Refusal.GENERATION_OLD, "another document is applied")
        desired = msgspec.json.decode(self.received[-1].document, type=Desired)
        if desired.destroy_pending is None:
            raise Permanent(Refusal.TENANT_STATE, "nothing is pending")
        began = self.counts.setdefault(item.tenant, self.clock.monotonic())
        left_s = began + max(self.grace_s, desired.destroy_pending.grace_s) - self.clock.monotonic()
        due_at = self.clock.now() + timedelta(seconds=left_s)
        if item.destroy and left_s > 0:
            raise Temporary(Refusal.DESTROY_NOT_DUE, "it is not over here", retry_after_s=left_s)
        if item.destroy and item.tenant not in self.destroyed:
            self.destroyed[item.tenant] = self._receipt(item)
        return Ending(
            tenant=item.tenant,
            since=self.clock.now(),
            due_at=due_at,
            left_s=max(0.0, left_s),
            receipt=self.destroyed.get(item.tenant),
        )

    def _receipt(self, item: EndItem) -> SignedReceipt:
        receipt = Receipt(
            tenant=item.tenant,
            region=self.name,
            change="c" * 64,
            epoch=item.epoch,
            generation=item.generation,
            hash=item.hash,
            tenant_keys=(f"{item.tenant}-2",),
            service_keys=(f"{item.tenant}-3",),
            pending_since=self.clock.now(),
            destroyed_at=self.clock.now(),
        )
        return sign_receipt(self.signer or self.identity, msgspec.structs.replace(receipt, **self.changes))


class CountingRegions:
    """The two regions."""

    def __init__(self, *each: CountingRegion) -> None:
        self._all = {region.name: region for region in each}

    def names(self) -> Sequence[str]:
        return list(self._all)

    def get(self, name: str) -> Region:
        return self._all[name]

    def __getitem__(self, name: str) -> CountingRegion:
        return self._all[name]


@dataclass
class Worker:
    """One worker: hears of changes, sweeps, runs sagas. Time passes by ``later`` alone."""

    means: Means
    regions: CountingRegions
    source: MemorySource
    clock: SetClock

    def __post_init__(self) -> None:
        self.sweep = Sweep(self.means)
        self.runner = Runner(
            {END_TENANT: end_tenant(self.means)},
            EndTold(self.means),
            clock=self.clock,
            observers={END_TENANT: EndTold(self.means)},
        )
        self.changed = Changed(
            regions=self.regions,
            identity=self.means.identity,
            clock=self.clock,
            public_url=self.means.public_url,
            operator=self.means.operator,
            sources=self.means.sources,
        )

    async def say(self, presence: Presence, told: Observation = TOLD) -> None:
        """The source says it, the core hears it, and what follows is decided."""
        said = replace(told, presence=presence)
        if presence is Presence.UNINSTALLED:
            self.source.remove(told)
        else:
            self.source.put(said)
        await observe("memory", batch(said), self.clock, grace_s=GRACE_S)
        await self.hear()

    async def hear(self) -> None:
        """Every event about a changed tenant is handled."""
        async with transaction(Role.SYSTEM) as tx:
            events = await tx.fetch(
                "delete from outbox where topic = 'tenancy.changed' returning payload->>'tenant' as tenant"
            )
        for event in events:
            await self.changed({"tenant": event["tenant"]})

    async def protected(self) -> None:
        """The tenant is ready, with keys in both regions."""
        await settled(self.clock)
        await self.say(Presence.PRESENT)

    async def deleted(self) -> None:
        """The tenant is deleted, and every region counts."""
        await self.protected()
        await self.say(Presence.DELETING)
        for name in self.regions.names():
            self.regions[name].counts["acme"] = self.clock.monotonic()

    async def later(self, seconds: float) -> None:
        """So much time has passed, and the worker has looked at the clock."""
        self.clock.advance(seconds)
        await self.look()

    async def look(self) -> None:
        """The worker sweeps, hears, and works on every saga that is due or waits."""
        await self.sweep.once()
        await self.hear()
        async with transaction(Role.SYSTEM) as tx:
            await tx.execute(
                "update sagas set next_at = now(), lease_until = null, trouble = coalesce((select jsonb_object_agg("
                "key, jsonb_set(value, '{next_at}', to_jsonb(now()))) from jsonb_each(trouble)), '{}') "
                "where state in ('running', 'undoing')"
            )
            due = await tx.fetch("select id from sagas where state in ('running', 'undoing') order by id")
        for row in due:
            await self.runner.handle(row["id"])


async def sagas() -> list[tuple[str, list[str]]]:
    """(state, steps done) of each saga, oldest first."""
    return [
        (str(row["state"]), list(row["steps"]))  # type: ignore[call-overload]  # an array of text
        for row in await rows(
            "select state, array(select step from saga_steps where saga = sagas.id and direction = 'do' order by at) "
            "as steps from sagas order by id"
        )
    ]


async def presence(tenant: str = "acme") -> str:
    (row,) = await rows("select presence from tenants where id = $1", tenant)
    return str(row["presence"])


async def last_desired() -> Desired:
    """What was decided last."""
    async with transaction(Role.SYSTEM) as tx:
        found = await newest(tx, "acme")
    assert found is not None
    return found.desired
