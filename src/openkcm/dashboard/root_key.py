"""The page of a tenant's root key, read with the tenant's own rights, and what is to be done next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from openkcm.activation.means import Deciding
from openkcm.catalog.registry import KeyStores
from openkcm.dashboard.key_actions import closed
from openkcm.dashboard.key_pages import NO_STEP_UP, under_way
from openkcm.dashboard.keys import KeysPage, shown_keys
from openkcm.dashboard.overview import home_state
from openkcm.dashboard.root_state import alarm_of
from openkcm.dashboard.root_view import ConnectionCard, RootKeyView, RootNext
from openkcm.dashboard.view import ChainLink, HomeState, KeyState, RootState
from openkcm.kernel.db import Role
from openkcm.keychain.states import KeyVerb
from openkcm.keystores.view import ConnectionLine, HealthLine, KeyStoresPage, shown_key_stores
from openkcm.web import paths
from openkcm.web.figures import joined
from openkcm.web.shell import Account

KINDS: Final = {
    "byok": "Your key in your cloud. BYOK: bring your own key.",
    "hyok": "Your key in your own place. HYOK: hold your own key.",
}


async def root_key_view(
    account: Account, stores: KeyStores, deciding: Deciding, *, now: datetime
) -> RootKeyView:
    """The tenant's root key as the database has it now.

    Raises:
        Temporary: DATABASE_UNAVAILABLE.
    """
    keys = await shown_keys(account.id, role=Role.APP)
    found = await shown_key_stores(account.id, stores, role=Role.APP)
    state = home_state(keys.presence, keys.ends_at, now=now)
    change = await under_way(account, keys)
    root, regions = in_force(found)
    off = account_off(keys)
    cards = tuple(_card(line, found, keys, deciding, off) for line in found.connections)
    return RootKeyView(
        account=account,
        state=state,
        root=root,
        found=found,
        chain=_chain(root, keys, state),
        regions=regions,
        silent=tuple(name for name in found.regions if name not in {line.region for line in regions})
        if root.connection
        else (),
        cards=cards,
        next=next_of(account, root, regions, cards, off=off, change=change.request if change else ""),
        under_way=change,
        off=off,
        platform_off=relink_off(found, keys, deciding, ""),
        unsafe=deciding.without_step_up,
        now=now,
    )


def in_force(found: KeyStoresPage) -> tuple[RootState, tuple[HealthLine, ...]]:
    """The root key that is in force, and how it answers each region."""
    line = next((each for each in found.connections if each.in_force), None)
    if line is None:
        return RootState(), ()
    by_region = {way.region: way for way in line.health if way.active}
    told = tuple(by_region[name] for name in found.regions if name in by_region)
    return RootState(connection=line.id, title=line.title, alarm=alarm_of(told)), told


def account_off(keys: KeysPage) -> str:
    """Why nothing may be asked of the account's root key at all, or empty."""
    return "" if keys.presence in ("present", "uninstalled") else closed(keys.presence)


def relink_off(found: KeyStoresPage, keys: KeysPage, deciding: Deciding, connection: str) -> str:
    """Why the keys cannot be put under that connection's root key now (empty: the platform's), or empty."""
    making = next(each for each in keys.keys[0].actions if each.verb in (KeyVerb.ROTATE, KeyVerb.CREATE))
    if making.why_not:
        return making.why_not
    line = next((each for each in found.connections if each.id == connection), None)
    if line.in_force if line is not None else found.platform:
        return "Your keys are under it already."
    if line is not None and (why := not_usable(line, found.regions)):
        return why
    return "" if deciding.without_step_up else NO_STEP_UP


def not_usable(line: ConnectionLine, regions: Sequence[str]) -> str:
    """Why nothing can be put under a connection's root key yet, or empty."""
    if line.checking:
        return "It is being checked: wait until every region has said what it finds."
    by_region = {check.region: check for check in line.checks if check.version == line.newest}
    if missing := tuple(name for name in regions if name not in by_region):
        return f"It was not checked yet by {joined(missing)}: check it first."
    if bad := tuple(name for name in regions if not by_region[name].good):
        return f"Found faulty by {joined(bad)}: mend what the findings name, then check it again."
    return "" if line.version == line.newest else "Its newest version does not count yet: check it again."


def disconnect_off(line: ConnectionLine) -> str:
    """Why a connection cannot be removed now, or empty."""
    if line.used_by:
        which = joined(tuple(map(str, line.used_by)))
        return f"Its root key is needed for tenant key version {which}. It can go when those are destroyed."
    return "A change that is under way leads to it." if line.relinking else ""


def next_of(
    account: Account,
    root: RootState,
    regions: Sequence[HealthLine],
    cards: Sequence[ConnectionCard],
    *,
    off: str,
    change: str,
) -> RootNext:
    """The one thing to do next; from what is most urgent to what is only good to have."""
    if off:
        return RootNext(text=f"{off} Nothing about its root key can be changed.")
    if root.alarm is not None:
        worst = next(line for line in regions if line.condition == root.alarm.condition)
        told = f"{worst.said} " if worst.said else ""
        return RootNext(
            text=f"{told}{worst.action} Who can do it: {_whose(worst.who)}.",
            label="Check again",
            check=root.connection,
        )
    if change:
        return RootNext(
            text="A change is under way. Nothing for you to do.",
            label="Follow it",
            to=paths.key_change(account.id, change),
        )
    for card in cards:
        line = card.line
        if line.in_force and line.newest != line.version and not line.checking:
            return RootNext(
                text=f"New secrets of {line.title} wait: they count when every region finds them good.",
                label=f"Check {line.title}",
                check=line.id,
            )
    others = [card for card in cards if not card.line.in_force]
    ready = next((card for card in others if not card.relink_off and not root.connection), None)
    if ready is not None:
        return RootNext(
            text=f"Every region has found {ready.line.title} good: your keys can be put under it.",
            label="Use this root key…",
            to=paths.root_key_action(account.id, KeyVerb.RELINK, ready.line.id),
        )
    unchecked = next((card for card in others if card.tone in ("off", "bad")), None)
    if unchecked is not None and not root.connection:
        text = f"{unchecked.line.title} was not checked yet by every region."
        if unchecked.tone == "bad":
            text = (
                f"{unchecked.line.title} is faulty: mend what the findings below name, then check it again."
            )
        return RootNext(text=text, label=f"Check {unchecked.line.title}", check=unchecked.line.id)
    return RootNext(text="Nothing for you to do.")


def _whose(who: str) -> str:
    return "you" if who.lower() in ("owner", "you") else who or "whoever runs this installation"


def _card(
    line: ConnectionLine, found: KeyStoresPage, keys: KeysPage, deciding: Deciding, off: str
) -> ConnectionCard:
    return ConnectionCard(
        line=line,
        kind=KINDS.get(line.kind, line.kind),
        relink_off=relink_off(found, keys, deciding, line.id),
        disconnect_off=off or disconnect_off(line),
    )


def _chain(root: RootState, keys: KeysPage, state: HomeState) -> tuple[ChainLink, ...]:
    whole, services = keys.keys[0], keys.keys[1:]
    active = whole.active
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
            detail=f"Version {active.version}" if active else "One for your account",
            key_id=active.key_id if active else None,
            state=_works(whole.access, state, halted=root.halted) if active else KeyState.PRE_ACTIVE,
        ),
        ChainLink(level="L3", name="Service keys", detail="One for each service", aside=str(len(services))),
        ChainLink(
            level="L4", name="Data keys", detail="One for each piece of data, kept by your applications"
        ),
    )


def _works(access: str, state: HomeState, *, halted: bool) -> KeyState:
    if state is HomeState.GONE:
        return KeyState.DESTROYED
    if halted or access == "revoked" or state in (HomeState.DELETING, HomeState.UNINSTALLED_OVER):
        return KeyState.BLOCKED
    limited = access == "read-only" or state is HomeState.UNINSTALLED
    return KeyState.READ_ONLY if limited else KeyState.ACTIVE
