"""A tenant was uninstalled, is being deleted, came back, or its creator became known: what follows from that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import Regions
from openkcm.identity.grant import grant_owner
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.notify import publish
from openkcm.notices.end_letters import StoppedLetter
from openkcm.notices.letters import DeletingLetter, Letter, ReturnedLetter, UninstalledLetter
from openkcm.notices.put import OPERATOR, put
from openkcm.parties.identity import Identity
from openkcm.parties.pins import Pins
from openkcm.propagation.decide import decide, restricted, strictest
from openkcm.propagation.exchange import Exchange
from openkcm.propagation.ready import ready_letter
from openkcm.propagation.regions import regions_of
from openkcm.propagation.store import newest
from openkcm.sdk.refusals import Refusal, Temporary
from openkcm.sdk.tenant_source import TenantSource
from openkcm.tenancy.ends import stopped
from openkcm.tenancy.model import Stage, Standing, Tenant, access
from openkcm.tenancy.observe import CHANGED
from openkcm.tenancy.report import report, status_of
from openkcm.tenancy.store import get

TOPIC: Final = CHANGED
ACTOR: Final = "propagation"
_OWNED: Final = "select exists (select from grants where tenant = $1)"
_PROGRESS: Final = "tenant_progress"


class Payload(msgspec.Struct, frozen=True):
    """The payload of ``tenancy.changed``."""

    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The handler of ``tenancy.changed``. ``public_url`` is the pages' address; ``operator`` an address, or empty."""

    regions: Regions
    identity: Identity
    clock: Clock
    public_url: str
    operator: str = ""
    pins: Pins = field(default_factory=lambda: Pins(()))
    sources: Mapping[str, TenantSource] = field(default_factory=dict)

    async def __call__(self, payload: dict[str, object]) -> None:
        """What the tenant's presence allows is in force in every region, and its people know it.

        Before the pivot this is left to provisioning, which decides by the same rows, and after the end to what ends
        it. Safe to repeat: it compares with the newest decision, whatever the event was about.

        Raises:
            Temporary: REGION_UNAVAILABLE; TENANT_NOT_READY while a decision of its set-up is under way;
                STATUS_NOT_WRITTEN.
            Permanent: what a region refused for good; TENANT_UNKNOWN.
        """
        tenant = msgspec.convert(payload, Payload).tenant
        async with transaction(Role.SYSTEM) as tx:
            found = await get(tx, tenant)
            follows = found.past_pivot and found.presence is not Standing.GONE
            if follows:
                await self._decide(tx, found)
                await self._own(tx, found)
            owned = bool(await tx.fetchval(_OWNED, tenant))
        if follows:
            await self.exchange.bring(tenant)
        elif found.stage is Stage.PROVISIONING and found.generation:
            raise Temporary(
                Refusal.TENANT_NOT_READY,
                f"Tenant {tenant} is just being set up; what changed is applied right after.",
                retry_after_s=1.0,
            )
        if found.source in self.sources:
            address, now = self._address(found), self.clock.now()
            status = status_of(found, address=address, at=now, owner_known=owned)
            await report(self.sources, found.source, status)

    @property
    def exchange(self) -> Exchange:
        """How a decision gets to the regions."""
        return Exchange(regions=self.regions, identity=self.identity, clock=self.clock, pins=self.pins)

    async def _decide(self, tx: Transaction, tenant: Tenant) -> None:
        now = self.clock.now()
        before = await newest(tx, tenant.id)
        wanted = strictest(access(tenant, now=now), await restricted(tx, tenant.id))
        ends = tenant.presence is Standing.DELETING
        if wanted == "blocked":
            await stopped(tx, tenant.id, at=now)
        if before is not None and (before.desired.access, before.desired.destroy_pending is not None) == (
            wanted,
            ends,
        ):
            return
        await decide(tx, tenant.id, identity=self.identity, clock=self.clock)
        await self._tell(tx, tenant, now)
        await publish(tx, _PROGRESS, tenant.id)
        await record(
            tx,
            tenant.id,
            actor=ACTOR,
            verb=AuditVerb.DESIRED_DECIDED,
            object=tenant.id,
            detail={
                "access": wanted,
                "before": before.desired.access if before else None,
                "destroy_pending": ends,
            },
        )

    async def _own(self, tx: Transaction, tenant: Tenant) -> None:
        """The creator, where the source came to know one only after the set-up, owns what nobody owns yet.

        The mail that would have gone out when the pages opened goes out now.
        """
        creator = tenant.creator
        if creator is None or await tx.fetchval(_OWNED, tenant.id):
            return
        await grant_owner(tx, tenant.id, issuer=creator.issuer, username=creator.username, by=ACTOR)
        here = tenant.stage is Stage.READY and tenant.presence is Standing.PRESENT
        if here and "@" in creator.username:
            regions = await regions_of(tx, tenant.id)
            letter = ready_letter(tenant, self._address(tenant), regions, now=self.clock.now())
            await put(tx, tenant.id, "ready-owner", letter, recipients=(creator.username,))

    async def _tell(self, tx: Transaction, tenant: Tenant, now: datetime) -> None:
        owner = tenant.creator.username if tenant.creator else ""
        generation = tenant.generation + 1
        for to_operator in (False, True):
            letter = self._letter(tenant, now, to_operator=to_operator)
            event = f"{tenant.presence}-{generation}"
            if to_operator:
                people = (self.operator,) if self.operator else ()
                await put(tx, OPERATOR, f"{event}:{tenant.id}", letter, recipients=people)
            else:
                await put(tx, tenant.id, event, letter, recipients=(owner,) if "@" in owner else ())

    def _letter(self, tenant: Tenant, now: datetime, *, to_operator: bool) -> Letter:
        ends_at = tenant.grace_ends_at or now
        address = self._address(tenant)
        if tenant.presence is Standing.PRESENT:
            return ReturnedLetter(
                tenant=tenant.id, account_name=tenant.label, address=address, to_operator=to_operator, at=now
            )
        if tenant.presence is Standing.UNINSTALLED and access(tenant, now=now) == "blocked":
            return StoppedLetter(
                tenant=tenant.id,
                account_name=tenant.label,
                address=address,
                to_operator=to_operator,
                at=ends_at,
            )
        if tenant.presence is Standing.UNINSTALLED:
            return UninstalledLetter(
                tenant=tenant.id,
                account_name=tenant.label,
                address=address,
                to_operator=to_operator,
                at=tenant.uninstalled_at or now,
                read_only_until=ends_at,
            )
        return DeletingLetter(
            tenant=tenant.id,
            account_name=tenant.label,
            address=address,
            to_operator=to_operator,
            at=tenant.deleting_at or now,
            destroyed_after=ends_at,
        )

    def _address(self, tenant: Tenant) -> str:
        return f"{self.public_url.rstrip('/')}/t/{tenant.id}"
