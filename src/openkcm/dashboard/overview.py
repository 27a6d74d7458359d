"""One read of all that a tenant's overview shows, with the tenant's own rights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from openkcm.dashboard.root_state import root_state
from openkcm.dashboard.view import (
    ChainLink,
    HomePage,
    HomeState,
    KeyState,
    MessageLine,
    MessagesPage,
    RegionLine,
    RegionState,
    RootState,
    ServiceLine,
    ShownToken,
)
from openkcm.ending.shown import EndState, end_state
from openkcm.identity.guards import account_of
from openkcm.identity.principal import Visit
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.keychain.access import restrictions_of
from openkcm.keychain.states import KeyAccess
from openkcm.sdk.plain_text import display_name
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.services.page_caller import FIRST_SERVICE

MOST_MESSAGES = 200

_TENANT = """select presence, generation, protected_at, ready_at, observed_at, uninstalled_at, deleting_at,
    grace_ends_at, creator_username,
    exists (select from grants where grants.tenant = tenants.id) as granted,
    not exists (select from deliveries
        where deliveries.tenant = tenants.id and state = 'pending' and attempts > 0) as delivered
from tenants where id = $1"""
_REGIONS = """select tenant_regions.region, observed.generation, observed.acknowledged_at
from tenant_regions left join observed using (tenant, region) where tenant = $1 order by position"""
_KEYS = """select key_id, level, service, version, state from keys
where tenant = $1 and state in ('ready', 'active', 'destroyed') order by version"""
_SERVICES = "select name from services where tenant = $1 order by created_at, name"
_MESSAGES = """select subject, text, tone, created_at from messages
where tenant = $1 order by created_at desc, id desc limit $2"""

Row = Mapping[str, object]
Restricted = Mapping[str, KeyAccess]
"""What people let be used for less, by service; the tenant as a whole under the empty name."""


async def overview(visit: Visit, *, now: datetime, token: ShownToken | None = None) -> HomePage:
    """The page of this tenant as the database has it now.

    Raises:
        Permanent: TENANT_NOT_READY; nothing protects the tenant yet.
        Temporary: DATABASE_UNAVAILABLE.
    """
    async with transaction(Role.APP, visit.tenant) as tx:
        tenant = await tx.fetchrow(_TENANT, visit.tenant)
        regions = await tx.fetch(_REGIONS, visit.tenant)
        keys = await tx.fetch(_KEYS, visit.tenant)
        services = await tx.fetch(_SERVICES, visit.tenant)
        restrictions = await restrictions_of(tx, visit.tenant)
        root = await root_state(tx, visit.tenant)
        messages = await _messages(tx, visit.tenant, 3)
        ends = tenant is not None and tenant["presence"] in ("deleting", "gone")
        end = await end_state(tx, visit.tenant) if ends else EndState()
    if tenant is None or tenant["protected_at"] is None:
        raise Permanent(Refusal.TENANT_NOT_READY, "Nothing protects this account yet.")
    presence = tenant["presence"]
    state = home_state(presence, tenant["grace_ends_at"], now=now)
    lines = tuple(_region(row, tenant["generation"], now) for row in regions)
    restricted = {name: each.access for name, each in restrictions.items()}
    whole = restrictions.get("")
    return HomePage(
        account=account_of(visit),
        state=state,
        holding=root.holding,
        root=root,
        since=tenant["protected_at"],
        now=now,
        chain=_chain(root, keys, services, state, restricted),
        regions=lines,
        services=tuple(
            _service(row["name"], keys, state, restricted, halted=root.halted) for row in services
        ),
        messages=messages,
        token=token,
        owner=display_name(tenant["creator_username"]) if tenant["creator_username"] else None,
        owner_known=tenant["granted"],
        mail_delivered=tenant["delivered"],
        single_region_copy=len(lines) == 1,
        began_at=tenant["uninstalled_at"] if presence == "uninstalled" else tenant["deleting_at"],
        ends_at=tenant["grace_ends_at"],
        access=whole.access if whole else KeyAccess.ACTIVE,
        restricted_at=whole.since if whole else None,
        restricted_by=whole.by if whole else "",
        tried=token.service if token else FIRST_SERVICE,
        end=end,
    )


async def all_messages(visit: Visit) -> MessagesPage:
    """The latest 200 messages to this tenant's people, newest first."""
    async with transaction(Role.APP, visit.tenant) as tx:
        return MessagesPage(
            account=account_of(visit), messages=await _messages(tx, visit.tenant, MOST_MESSAGES)
        )


def home_state(presence: str, grace_ends_at: datetime | None, *, now: datetime) -> HomeState:
    """What works for a tenant: everything; reading, for the grace after an uninstall; nothing; nothing ever again."""
    if presence == "present":
        return HomeState.ACTIVE
    if presence == "uninstalled":
        over = grace_ends_at is not None and grace_ends_at <= now
        return HomeState.UNINSTALLED_OVER if over else HomeState.UNINSTALLED
    return HomeState.GONE if presence == "gone" else HomeState.DELETING


def region_state(desired: int, observed: int | None) -> RegionState:
    """Whether a region follows the last decision; one that never acknowledged any is silent."""
    if observed is None:
        return RegionState.SILENT
    return RegionState.IN_STEP if observed >= desired else RegionState.BEHIND


async def _messages(tx: Transaction, tenant: str, most: int) -> tuple[MessageLine, ...]:
    return tuple(
        MessageLine(
            at=row["created_at"],
            title=row["subject"],
            text=_second_paragraph(row["text"]),
            urgent=row["tone"] in ("warn", "bad"),
        )
        for row in await tx.fetch(_MESSAGES, tenant, most)
    )


def _second_paragraph(text: str) -> str:
    # A mail's first paragraph says what its subject says; the page shows the subject as the title.
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
    return paragraphs[1] if len(paragraphs) > 1 else "".join(paragraphs)


def _region(row: Row, desired: int, now: datetime) -> RegionLine:
    observed, at = row["generation"], row["acknowledged_at"]
    known = observed if isinstance(observed, int) and at is not None else None
    return RegionLine(
        name=str(row["region"]),
        desired=desired,
        observed=known,
        state=region_state(desired, known),
        confirmed_ago_s=max(0.0, (now - at).total_seconds()) if isinstance(at, datetime) else None,
    )


def _chain(
    root: RootState,
    keys: Sequence[Row],
    services: Sequence[Row],
    state: HomeState,
    restricted: Restricted,
) -> tuple[ChainLink, ...]:
    tenant_key = _newest(keys, "L2", "")
    return (
        ChainLink(
            level="L1",
            name="Root key",
            detail=root.chain,
            holder=root.holding,
            trouble=root.alarm.condition if root.alarm else "",
        ),
        ChainLink(
            level="L2",
            name="Tenant key",
            detail="One for your account",
            key_id=str(tenant_key["key_id"]) if tenant_key else None,
            state=_key_state(tenant_key, state, restricted.get(""), halted=root.halted),
        ),
        ChainLink(level="L3", name="Service keys", detail="One for each service", aside=str(len(services))),
        ChainLink(
            level="L4", name="Data keys", detail="One for each piece of data, kept by your applications"
        ),
    )


def _service(
    name: str, keys: Sequence[Row], state: HomeState, restricted: Restricted, *, halted: bool
) -> ServiceLine:
    key = _newest(keys, "L3", name)
    version = key["version"] if key else None
    return ServiceLine(
        name=name,
        key_id=str(key["key_id"]) if key else None,
        key_version=version if isinstance(version, int) else None,
        state=_key_state(key, state, restricted.get(""), restricted.get(name), halted=halted),
    )


def _newest(keys: Sequence[Row], level: str, service: str) -> Row | None:
    """The active key of that place; where there is none, the newest that waits, else the one destroyed last."""
    found = [key for key in keys if key["level"] == level and key["service"] == service]
    ordered = [key for state in ("destroyed", "ready", "active") for key in found if key["state"] == state]
    return ordered[-1] if ordered else None


def _key_state(key: Row | None, state: HomeState, *restricted: KeyAccess | None, halted: bool) -> KeyState:
    """What works with the key: the strictest of what the account's presence, its root key and people allow."""
    if state is HomeState.GONE or (key is not None and key["state"] == "destroyed"):
        return KeyState.DESTROYED
    if key is None or key["state"] != "active":
        return KeyState.PRE_ACTIVE
    allowed = {HomeState.ACTIVE: KeyState.ACTIVE, HomeState.UNINSTALLED: KeyState.READ_ONLY}.get(
        state, KeyState.BLOCKED
    )
    if KeyAccess.REVOKED in restricted and allowed is not KeyState.BLOCKED:
        return KeyState.REVOKED
    if halted:
        return KeyState.BLOCKED
    if KeyAccess.READ_ONLY in restricted and allowed is KeyState.ACTIVE:
        return KeyState.READ_ONLY
    return allowed
