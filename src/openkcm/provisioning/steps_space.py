"""The first two steps: the account is admitted, and gets its service, its regions and its key configuration."""

from __future__ import annotations

from dataclasses import dataclass

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.keychain.configure import configure_first, unconfigure_first
from openkcm.propagation.decide import decide
from openkcm.propagation.deliver import deliver
from openkcm.propagation.regions import assign_regions
from openkcm.provisioning.means import Means
from openkcm.saga.step import Given, Made
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.services.ensure import ensure_service
from openkcm.services.page_caller import FIRST_SERVICE, register_page_caller
from openkcm.tenancy.model import Standing, Tenant
from openkcm.tenancy.store import get

ACTOR = "provisioning"
SERVICE = FIRST_SERVICE
#: The caller behind the home page's "Encrypt your first record".


def check_present(tenant: Tenant) -> None:
    """The account is there, with OpenKCM installed: only then it is set up.

    Raises:
        Permanent: TENANT_STATE.
    """
    if tenant.presence is Standing.UNINSTALLED:
        raise Permanent(
            Refusal.TENANT_STATE,
            "OpenKCM was uninstalled from the account before it was set up.",
            remedy=Remedy(
                "Install it again; it is then set up by itself.", "account owner", "operate/tenants#deletion"
            ),
        )
    if tenant.presence is not Standing.PRESENT:
        raise Permanent(
            Refusal.TENANT_STATE,
            "The account is being deleted, so it is not set up.",
            remedy=Remedy("Create the account again.", "account owner", "operate/tenants#deletion"),
        )


@dataclass(frozen=True, slots=True)
class Admit:
    """What the source said of the account is enough to go on; what later steps need of it stands in the journal."""

    name: str = "admit"
    budget_s: float = 5.0

    async def do(self, given: Given) -> Made:
        return {}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        tenant = await get(tx, given.tenant)
        check_present(tenant)
        made.update(
            source=tenant.source,
            reference=tenant.reference,
            display_name=tenant.label,
            issuer=tenant.creator.issuer if tenant.creator else "",
            username=tenant.creator.username if tenant.creator else "",
        )
        await record(tx, given.tenant, actor=ACTOR, verb=AuditVerb.STEP_DONE, object=self.name)

    async def undo(self, given: Given, made: Made | None) -> None:
        """Nothing outside was changed."""

    async def record_undo(self, tx: Transaction, given: Given, made: Made | None) -> None:
        """The account itself stays on record: it shows why it was not set up."""


@dataclass(frozen=True, slots=True)
class Assign:
    """The account has the service ``default``, its region set, and key configuration 1: platform-managed."""

    means: Means
    name: str = "assign"
    budget_s: float = 20.0

    async def do(self, given: Given) -> Made:
        return {"regions": list(self.means.region_set), "service": SERVICE}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        tenant = given.tenant
        await ensure_service(tx, tenant, SERVICE)
        await register_page_caller(tx, tenant, SERVICE)
        await assign_regions(tx, tenant, self.means.region_set)
        await configure_first(tx, tenant)
        decided = await decide(tx, tenant, identity=self.means.identity, clock=self.means.clock)
        tx.after_commit(lambda: self.means.fresh.__setitem__(tenant, decided))
        await record(
            tx,
            tenant,
            actor=ACTOR,
            verb=AuditVerb.STEP_DONE,
            object=self.name,
            detail={"regions": made["regions"]},
        )

    async def undo(self, given: Given, made: Made | None) -> None:
        """Every region of the set is told that nothing works for this account any more."""
        if made is None:
            return
        async with transaction(Role.SYSTEM) as tx:
            await decide(
                tx, given.tenant, identity=self.means.identity, clock=self.means.clock, access="blocked"
            )
        await deliver(self.means.regions, given.tenant, clock=self.means.clock)

    async def record_undo(self, tx: Transaction, given: Given, made: Made | None) -> None:
        # Service, caller and region set stay: the last decision names them, and a new try takes them up again.
        await unconfigure_first(tx, given.tenant)
        await record(tx, given.tenant, actor=ACTOR, verb=AuditVerb.STEP_UNDONE, object=self.name)
