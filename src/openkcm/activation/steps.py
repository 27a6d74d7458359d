"""The steps around a new key: what was asked for, the switch that every region makes at once, and what comes after."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast

from openkcm.activation.change import send
from openkcm.activation.means import Means
from openkcm.activation.steps_mint import ACTOR
from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import ProveItem
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.keychain.access import restrictions_of
from openkcm.keychain.configure import configure_back, configure_next
from openkcm.keychain.destroy import destroys_of, put_destroys
from openkcm.keychain.relink import connection_in_force
from openkcm.keychain.rotate import switch, switch_back
from openkcm.keychain.states import KeyState, KeyVerb
from openkcm.keychain.store import keys_of
from openkcm.propagation.decide import decide
from openkcm.propagation.deliver import deliver, push
from openkcm.propagation.model import Decided, Observed
from openkcm.propagation.regions import regions_of
from openkcm.propagation.store import add_answers, newest
from openkcm.saga.step import Given, Made
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.tenancy.model import Standing
from openkcm.tenancy.store import get

_REQUEST = "select verb, service, connection, request, asked_by from key_requests where saga = $1"

_AUDITED = {
    KeyVerb.CREATE.value: AuditVerb.KEY_ACTIVATED,
    KeyVerb.RELINK.value: AuditVerb.KEYS_RELINKED,
}


@dataclass(frozen=True, slots=True)
class Prepare:
    """What was asked for stands in the journal, with the regions that it concerns.

    A relink is decided for: the next document has the way to the root key, which no key uses yet.
    """

    means: Means
    name: str = "prepare"
    budget_s: float = 5.0

    async def do(self, given: Given) -> Made:
        return {}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        row = await tx.fetchrow(_REQUEST, given.saga)
        if row is None:
            raise Permanent(Refusal.KEY_STATE, "Nobody asked for this change of keys.")
        relinks = row["verb"] == KeyVerb.RELINK.value
        stays = "" if row["service"] else await connection_in_force(tx, given.tenant)
        made.update(
            verb=row["verb"],
            service=row["service"],
            connection=row["connection"] if relinks else stays,
            asked_by=row["asked_by"],
            regions=list(await regions_of(tx, given.tenant)),
        )
        await _check_active(tx, given.tenant, str(row["service"]))
        if row["connection"]:
            await send(tx, self.means.deciding, given.tenant)

    async def undo(self, given: Given, made: Made | None) -> None:
        """The way to a root key that nothing uses goes with the next decision, which ``KeysTold`` makes."""

    async def record_undo(self, tx: Transaction, given: Given, made: Made | None) -> None:
        """A service that was created for it stays: it has no key, and may be asked for again."""


@dataclass(frozen=True, slots=True)
class Switch:
    """The pivot: one generation carries the new key as the one in force, every region has it, and a record that one
    region encrypted was decrypted in each.
    """

    means: Means
    name: str = "switch"
    budget_s: float = 60.0

    async def do(self, given: Given) -> Made:
        key_ids = cast("list[str]", given.past["mint"]["key_ids"])
        decided = await self._decided(given, key_ids)
        observed = await push(self.means.regions, decided, clock=self.means.clock)
        await self._prove(given)
        return {"generation": decided.generation, "observed": observed}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        observed = cast("list[Observed]", made.pop("observed"))
        await add_answers(tx, given.tenant, observed, at=self.means.clock.now())
        prepared = given.past["prepare"]
        detail = {"generation": made["generation"], "key_ids": given.past["mint"]["key_ids"]}
        if _relinks(given):
            detail["connection"] = prepared["connection"]
        await record(
            tx,
            given.tenant,
            actor=str(prepared["asked_by"]),
            verb=_AUDITED.get(str(prepared["verb"]), AuditVerb.KEY_ROTATED),
            object=f"service:{prepared['service']}" if prepared["service"] else given.tenant,
            detail=detail,
        )

    async def undo(self, given: Given, made: Made | None) -> None:
        """What was in force before is so again, in every region; the new key decrypts what it may have encrypted."""
        key_ids = cast("list[str]", given.past.get("mint", {}).get("key_ids", []))
        async with transaction(Role.SYSTEM) as tx:
            there = {key.key_id: key.state for key in await keys_of(tx, given.tenant)}
            switched = any(there.get(key_id) is KeyState.ACTIVE for key_id in key_ids)
            if switched:
                await switch_back(tx, given.tenant, key_ids)
                if _relinks(given):
                    await configure_back(tx, given.tenant)
                await decide(tx, given.tenant, identity=self.means.identity, clock=self.means.clock)
        if switched or any(there.get(key_id) is KeyState.DECRYPT_ONLY for key_id in key_ids):
            await deliver(self.means.regions, given.tenant, clock=self.means.clock)

    async def record_undo(self, tx: Transaction, given: Given, made: Made | None) -> None:
        """The key itself is marked by ``mint``'s undo, if it was never in force."""

    async def _decided(self, given: Given, key_ids: list[str]) -> Decided:
        """The generation that carries the switch: the one that was decided at an earlier try, or a new one."""
        async with transaction(Role.SYSTEM) as tx:
            tenant = await get(tx, given.tenant)
            if tenant.presence is not Standing.PRESENT:
                raise Permanent(
                    Refusal.TENANT_STATE,
                    f"Tenant {given.tenant} is {tenant.presence}: its keys stay as they are.",
                )
            last = await newest(tx, given.tenant)
            carried = {key.key_id for key in last.desired.keys if key.state == "active"} if last else set()
            if last is not None and carried >= set(key_ids):
                return last
            await _check_active(tx, given.tenant, str(given.past["prepare"]["service"]))
            await switch(tx, given.tenant, key_ids)
            if _relinks(given):
                await configure_next(tx, given.tenant, str(given.past["prepare"]["connection"]))
            return await decide(tx, given.tenant, identity=self.means.identity, clock=self.means.clock)

    async def _prove(self, given: Given) -> None:
        service = str(given.past["prepare"]["service"])
        if not service:
            async with transaction(Role.SYSTEM) as tx:
                service = await _some_service(tx, given.tenant)
        if not service:
            return
        names = cast("list[str]", given.past["prepare"]["regions"])
        first, *others = [self.means.regions.get(name) for name in names]
        proof = await first.prove(ProveItem(tenant=given.tenant, service=service))
        opened = await asyncio.gather(
            *(
                other.prove(ProveItem(tenant=given.tenant, service=service, message=proof.message))
                for other in others
            )
        )
        if any(one.digest != proof.digest for one in opened):
            raise Permanent(
                Refusal.RECORD_MISMATCH,
                "Two regions read one record differently; the old key stays in force.",
            )


@dataclass(frozen=True, slots=True)
class Settle:
    """A tenant key that nothing needs any more is on its way out; service keys stay, for what they encrypted."""

    means: Means
    name: str = "settle"
    budget_s: float = 15.0

    async def do(self, given: Given) -> Made:
        return {}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        if given.past["prepare"]["service"]:
            return
        tenant = await get(tx, given.tenant)
        if tenant.presence is not Standing.PRESENT:
            return  # its own end, or its return and the next rotation, see to it
        asked = {each.key_id for each in await destroys_of(tx, given.tenant)}
        olds = [
            key.key_id
            for key in await keys_of(tx, given.tenant)
            if key.level == "L2" and key.state is KeyState.DECRYPT_ONLY and key.key_id not in asked
        ]
        if olds:
            now = self.means.clock.now()
            await put_destroys(tx, given.tenant, olds, by=ACTOR, at=now, wait_s=self.means.key_wait_s)
            await send(tx, self.means.deciding, given.tenant)
        made["destroying"] = olds

    async def undo(self, given: Given, made: Made | None) -> None:
        """It is after the pivot."""

    async def record_undo(self, tx: Transaction, given: Given, made: Made | None) -> None:
        """It is after the pivot."""


def _relinks(given: Given) -> bool:
    return given.past["prepare"]["verb"] == KeyVerb.RELINK.value


async def _some_service(tx: Transaction, tenant: str) -> str:
    """A service that encrypts now, or the empty name where none does."""
    restricted = await restrictions_of(tx, tenant)
    for key in await keys_of(tx, tenant):
        if key.level == "L3" and key.state is KeyState.ACTIVE and key.service not in restricted:
            return key.service
    return ""


async def _check_active(tx: Transaction, tenant: str, service: str) -> None:
    restricted = await restrictions_of(tx, tenant)
    for name in {"", service}:
        if name in restricted:
            raise Permanent(
                Refusal.KEY_STATE,
                f"The keys of {f'service {name}' if name else f'tenant {tenant}'} became {restricted[name].access}.",
                remedy=Remedy("Enable or restore them, then ask again.", "owner", "operate/keys#rotate"),
            )
