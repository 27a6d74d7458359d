"""A token for the first record: made by a region, shown once, stored nowhere."""

from __future__ import annotations

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import Regions, TokenItem
from openkcm.dashboard.overview import home_state
from openkcm.dashboard.view import HomeState, ShownToken
from openkcm.identity.principal import Visit
from openkcm.kernel.clock import Clock
from openkcm.kernel.commands import command
from openkcm.kernel.db import Role, transaction
from openkcm.keychain.access import restrictions_of
from openkcm.sdk.refusals import Permanent, Refusal, Remedy, Temporary
from openkcm.services.ensure import checked_name
from openkcm.services.page_caller import FIRST_SERVICE, page_caller

LIFETIME_S = 900

_PLACES = """select presence, grace_ends_at,
    (select service from callers where callers.tenant = tenants.id and callers.name = $2) as service,
    array(select region from tenant_regions where tenant_regions.tenant = tenants.id order by position) as regions
from tenants where id = $1"""


async def first_record_token(
    visit: Visit, regions: Regions, *, clock: Clock, service: str = FIRST_SERVICE
) -> ShownToken:
    """A region of this tenant has issued a token of 15 min for the service's page caller; the audit says who asked.

    Raises:
        Permanent: TENANT_STATE, the tenant may not encrypt now; KEY_STATE, its keys are restricted; CALLER_UNKNOWN;
            BAD_REQUEST, no name of a service.
        Temporary: REGION_UNAVAILABLE, no region of the tenant's set answers.
    """
    caller = page_caller(checked_name(service, what="service"))
    async with transaction(Role.APP, visit.tenant) as tx:
        row = await tx.fetchrow(_PLACES, visit.tenant, caller)
        restricted = await restrictions_of(tx, visit.tenant)
    now = clock.now()
    if row is None or home_state(row["presence"], row["grace_ends_at"], now=now) is not HomeState.ACTIVE:
        raise Permanent(
            Refusal.TENANT_STATE,
            "Nothing can be encrypted for this account now. No token was made.",
            remedy=Remedy("Install OpenKCM in the account again.", "The account\u2019s owner"),
        )
    if row["service"] is None:
        raise Permanent(
            Refusal.CALLER_UNKNOWN,
            f"This account has no caller for its pages that may use the service {service}.",
            remedy=Remedy(
                f"Look at how it was set up: {command(f'tenants show {visit.tenant}')}",
                "operator",
                "operate/tenants",
            ),
        )
    if {"", row["service"]} & restricted.keys():
        raise Permanent(
            Refusal.KEY_STATE,
            f"The keys of the service {row['service']} are read-only or revoked. No token was made.",
            remedy=Remedy(
                "Enable or restore them first, on the page of the keys.", "The account\u2019s owner"
            ),
        )
    item = TokenItem(
        tenant=visit.tenant,
        caller=caller,
        service=row["service"],
        verbs=("encrypt", "decrypt"),
        lifetime_s=LIFETIME_S,
    )
    lost: Temporary | None = None
    for name in row["regions"]:
        try:
            token = await regions.get(name).token(item)
        except Temporary as unavailable:  # any region of the set will do
            lost = unavailable
            continue
        async with transaction(Role.APP, visit.tenant) as tx:
            await record(
                tx,
                visit.tenant,
                actor=visit.principal.actor,
                verb=AuditVerb.TOKEN_ISSUED,
                object=caller,
                detail={"region": name, "service": row["service"], "lifetime_s": LIFETIME_S},
            )
        return ShownToken(
            token=token.token,
            data_address=token.address,
            tenant=visit.tenant,
            service=row["service"],
            expires_at=token.expires_at,
            lives_s=LIFETIME_S,
        )
    raise lost or Temporary(
        Refusal.REGION_UNAVAILABLE,
        "No region of this account answers now. No token was made.",
        remedy=Remedy("Wait a moment, then try again.", "You"),
    )
