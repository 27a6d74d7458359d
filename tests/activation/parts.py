"""Control with its database and two real regions beside it, in one test process: what is decided is really in force."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

import asyncpg

from openkcm.activation.carry import Carry
from openkcm.activation.change import change, change_schedule
from openkcm.activation.means import Deciding, Means
from openkcm.activation.plan import CHANGE_KEYS, change_keys
from openkcm.activation.sweep import Sweep
from openkcm.activation.told import KeysTold
from openkcm.crypto.contract import (
    AcceptItem,
    HandOverItem,
    MintItem,
    OfferItem,
)
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import DB, Role, transaction
from openkcm.keychain.asked import Answer, Asked, Asker, operator
from openkcm.keychain.model import Key
from openkcm.keychain.states import KeyVerb
from openkcm.keychain.store import activate, add_records, add_wraps, keys_of
from openkcm.propagation.decide import decide
from openkcm.propagation.deliver import deliver
from openkcm.propagation.model import Decided
from openkcm.propagation.regions import assign_regions
from openkcm.propagation.store import newest
from openkcm.saga.runner import Runner
from openkcm.services.ensure import ensure_service
from openkcm.services.register import register_caller
from openkcm.tenancy.model import Stage
from openkcm.tenancy.store import advance
from tests.activation.near import Near, NearRegions
from tests.control import appear, rows
from tests.crypto.plane import Plane

TENANT = "acme"
OWNER = "ada@example.org"
DAY_S = 24 * 3600.0


@dataclass
class Keys:
    """Control, one worker and two regions. Time passes by ``later`` alone."""

    plane: Plane
    regions: NearRegions
    means: Means
    clock: SetClock
    deciding: Deciding
    owner_dsn: str
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.runner = Runner(
            {CHANGE_KEYS: change_keys(self.means)},
            KeysTold(self.deciding),
            clock=self.clock,
            observers={CHANGE_KEYS: KeysTold(self.deciding)},
        )
        self.sweep = Sweep(self.means)
        self.carry = Carry(self.means)

    @property
    def local(self) -> Near:
        return self.regions.each["local"]

    @property
    def eu(self) -> Near:
        return self.regions.each["eu-1"]

    def asked(
        self,
        verb: KeyVerb,
        service: str = "",
        *,
        key_id: str = "",
        request: str = "",
        by: Asker | None = None,
        connection: str = "",
    ) -> Asked:
        return Asked(
            tenant=TENANT,
            verb=verb,
            request=request or f"r-{next(self._numbers)}",
            by=by or operator("operator:ops"),
            service=service,
            key_id=key_id,
            connection=connection,
        )

    async def ask(self, verb: KeyVerb, service: str = "", **changes: str) -> Answer:
        """It is asked for, and not carried out yet."""
        return await change(self.deciding, self.asked(verb, service, **changes))  # type: ignore[arg-type]  # strings alone

    async def do(self, verb: KeyVerb, service: str = "", **changes: str) -> Answer:
        """It is asked for and carried out: in force in both regions."""
        answer = await self.ask(verb, service, **changes)
        await self.work()
        return answer

    async def schedule(self, service: str, days: int) -> Answer:
        return await change_schedule(self.deciding, self.asked(KeyVerb.SCHEDULE, service), every_days=days)

    async def work(self) -> None:
        """The worker has done all that it can do now."""
        async with transaction(Role.SYSTEM) as tx:
            events = await tx.fetch("delete from outbox where topic = 'activation.decided' returning tenant")
            await tx.execute(
                "update sagas set next_at = now(), lease_until = null, trouble = coalesce((select jsonb_object_agg("
                "key, jsonb_set(value, '{next_at}', to_jsonb(now()))) from jsonb_each(trouble)), '{}') "
                "where state in ('running', 'undoing')"
            )
            due = await tx.fetch("select id from sagas where state in ('running', 'undoing') order by id")
        for event in events:
            await self.carry({"tenant": event["tenant"]})
        for row in due:
            await self.runner.handle(row["id"])
        if await rows("select from outbox where topic = 'activation.decided'"):
            await self.work()

    async def later(self, seconds: float) -> None:
        """So much time has passed by every clock, and the worker has looked at it."""
        from tests.crypto.key_ending import passed  # noqa: PLC0415 - it needs a region's own MAC

        before = DB.pool
        try:
            await passed(self.plane, seconds)
        finally:
            DB.pool = before
        await self.sweep.once()
        await self.work()

    async def encrypt(self, plaintext: bytes, service: str = "default", *, region: str = "local") -> bytes:
        return await self._use(region, service, plaintext, decrypt=False)

    async def decrypt(self, message: bytes, service: str = "default", *, region: str = "local") -> bytes:
        return await self._use(region, service, message, decrypt=True)

    async def _use(self, region: str, service: str, data: bytes, *, decrypt: bool) -> bytes:
        inside = self.regions.each[region].inside
        async with self.local.turn:
            before = DB.pool
            try:
                return await inside.use(TENANT, service, data, opens=decrypt)
            finally:
                DB.pool = before

    async def edit(self, sql: str) -> None:
        """What somebody does who owns control's database."""
        connection = await asyncpg.connect(self.owner_dsn)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def keys(self) -> list[Key]:
        async with transaction(Role.SYSTEM) as tx:
            return await keys_of(tx, TENANT)

    async def key(self, level: str, version: int, service: str = "") -> Key:
        wanted = (level, version, service)
        return next(key for key in await self.keys() if (key.level, key.version, key.service) == wanted)

    async def decided(self) -> Decided:
        async with transaction(Role.SYSTEM) as tx:
            found = await newest(tx, TENANT)
        assert found is not None
        return found


async def protect(means: Means, regions: NearRegions, clock: SetClock) -> None:
    """The tenant has keys in both regions and is ready, with an owner."""
    await appear(TENANT, clock=clock)
    async with transaction(Role.SYSTEM) as tx:
        await assign_regions(tx, TENANT, ("local", "eu-1"))
        await ensure_service(tx, TENANT, "default")
        await register_caller(tx, TENANT, name="home", service="default", verbs=("encrypt", "decrypt"))
        await tx.execute("update tenants set creator_issuer = '', creator_username = $1", OWNER)
        first = await decide(tx, TENANT, identity=means.identity, clock=clock)
    await deliver(regions, TENANT, clock=clock)
    local, eu = regions.each["local"], regions.each["eu-1"]
    minted = await local.mint(
        MintItem(tenant=TENANT, generation=first.generation, services=("default",), token="set-up")
    )
    l2, *l3s = minted.records
    item = OfferItem(tenant=TENANT, key_id=l2.statement.key_id, generation=first.generation, sender="local")
    handed = await local.hand_over(HandOverItem(offer=await eu.offer(item)))
    accepted = await eu.accept(AcceptItem(hand_over=handed, statement=l2.statement, services=tuple(l3s)))
    async with transaction(Role.SYSTEM) as tx:
        await add_records(tx, TENANT, minted.records)
        await add_wraps(tx, TENANT, [accepted.wrap])
        await activate(tx, TENANT)
        await decide(tx, TENANT, identity=means.identity, clock=clock)
        await advance(tx, TENANT, Stage.PROTECTED)
        await advance(tx, TENANT, Stage.READY)
    await deliver(regions, TENANT, clock=clock)
