"""The pages of a tenant's keys, read with the tenant's own rights: all keys, one key, the question before an action."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from openkcm.activation.change import STEPS_UP
from openkcm.activation.means import Deciding
from openkcm.dashboard.change_view import ChangePage
from openkcm.dashboard.key_actions import Action, closed
from openkcm.dashboard.key_change import key_change, recent_changes
from openkcm.dashboard.key_follows import consequences
from openkcm.dashboard.key_words import BUTTONS, TYPED, Meant, question
from openkcm.dashboard.keys import KeyLine, KeysPage, VersionLine, shown_keys
from openkcm.dashboard.keys_view import AskPage, KeysView, KeyView, Next
from openkcm.dashboard.overview import home_state
from openkcm.dashboard.root_state import root_state
from openkcm.kernel.db import Role, transaction
from openkcm.keychain.states import KeyVerb
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.services.page_caller import page_caller
from openkcm.web.shell import Account

_CALLER = "select exists (select from callers where tenant = $1 and name = $2)"
NO_STEP_UP = "It wants a fresh proof of who you are, which this release cannot take yet."


async def keys_view(account: Account, deciding: Deciding, *, now: datetime) -> KeysView:
    """All keys of the account as they stand now.

    Raises:
        Temporary: DATABASE_UNAVAILABLE.
    """
    found = await shown_keys(account.id, role=Role.APP)
    async with transaction(Role.APP, account.id) as tx:
        recent = await recent_changes(tx, account)
        root = await root_state(tx, account.id)
    change = await under_way(account, found)
    return KeysView(
        account=account,
        state=home_state(found.presence, found.ends_at, now=now),
        found=found,
        next=next_of(found),
        under_way=change,
        recent=recent,
        unsafe=deciding.without_step_up,
        root=root,
    )


async def key_view(account: Account, service: str, deciding: Deciding, *, now: datetime) -> KeyView:
    """One key with its versions; an empty ``service`` is the tenant key.

    Raises:
        Permanent: NOT_FOUND; the account has no such service.
        Temporary: DATABASE_UNAVAILABLE.
    """
    found = await shown_keys(account.id, role=Role.APP)
    line = line_of(found, service)
    async with transaction(Role.APP, account.id) as tx:
        recent = await recent_changes(tx, account, service)
        may_try = bool(service) and await tx.fetchval(_CALLER, account.id, page_caller(service))
        root = await root_state(tx, account.id)
    change = await under_way(account, found)
    return KeyView(
        account=account,
        state=home_state(found.presence, found.ends_at, now=now),
        all_access=found.keys[0].access,
        line=line,
        actions=shown_actions(line, deciding),
        may_try=bool(may_try),
        destroys={
            each.version: _version_why_not(each, KeyVerb.DESTROY, found, deciding) for each in line.versions
        },
        under_way=change if change and change.service == service else None,
        recent=recent,
        unsafe=deciding.without_step_up,
        root=root,
    )


async def ask_page(
    account: Account,
    service: str,
    verb: KeyVerb,
    deciding: Deciding,
    *,
    request: str,
    version: int | None = None,
) -> AskPage:
    """The question before an action, with what follows from it and, where it is refused now, why.

    Raises:
        Permanent: NOT_FOUND; the account has no such service, the key no such version or action.
        Temporary: DATABASE_UNAVAILABLE.
    """
    found = await shown_keys(account.id, role=Role.APP)
    line = line_of(found, service)
    meant = _meant(account, found, line, version, deciding)
    title, lead, stay = question(verb, meant)
    return AskPage(
        account=account,
        service=service,
        verb=verb.value,
        version=version,
        title=title,
        lead=lead,
        button=BUTTONS[verb],
        stay=stay,
        consequences=consequences(verb, meant),
        request=request,
        phrase=meant.name if verb in TYPED else "",
        given=str(line.rotate_every_days or 90) if verb is KeyVerb.SCHEDULE else "",
        why_not=_why_not(found, line, verb, version, deciding),
        unsafe=deciding.without_step_up and verb in STEPS_UP,
    )


def line_of(found: KeysPage, service: str) -> KeyLine:
    """The service's line. Raises ``Permanent`` (NOT_FOUND)."""
    line = next((each for each in found.keys if each.service == service), None)
    if line is None:
        raise Permanent(
            Refusal.NOT_FOUND,
            "This account has no service of that name.",
            remedy=Remedy("Compare the name with the list of keys, or create the service there.", "You"),
        )
    return line


def version_of(line: KeyLine, version: int) -> VersionLine:
    """That version. Raises ``Permanent`` (NOT_FOUND)."""
    found = next((each for each in line.versions if each.version == version), None)
    if found is None:
        raise Permanent(
            Refusal.NOT_FOUND,
            "This key has no such version.",
            remedy=Remedy("Compare it with the key’s page.", "You"),
        )
    return found


def shown_actions(line: KeyLine, deciding: Deciding) -> tuple[Action, ...]:
    """The actions with what this installation refuses beside what the key's state does."""
    return tuple(_gated(each, deciding) for each in line.actions)


def _gated(action: Action, deciding: Deciding) -> Action:
    if action.step_up and not deciding.without_step_up and not action.why_not:
        return Action(verb=action.verb, does=action.does, why_not=NO_STEP_UP, step_up=True)
    return action


def next_of(found: KeysPage) -> Next:
    """The one thing to do next; from what is stricter to what is only good to have."""
    change = found.change
    whole, services = found.keys[0], found.keys[1:]
    if change is not None and change.state in ("running", "undoing"):
        return Next(text="A change is under way. Nothing for you to do.", request=change.request)
    if found.presence == "uninstalled":
        return Next(text="OpenKCM is uninstalled: what stops keys can be asked for, nothing new is made.")
    if found.presence != "present":
        return Next(text="No action on keys is open while the account is on its way out.")
    limited = next(
        (
            line
            for access in ("revoked", "read-only")
            for line in (whole, *services)
            if line.access == access and not line.gone
        ),
        None,
    )
    if limited is not None:
        verb = KeyVerb.RESTORE if limited.access == "revoked" else KeyVerb.ENABLE
        refused = next((each.why_not for each in limited.actions if each.verb == verb), "")
        what = f"The key of {limited.service} is" if limited.service else "All keys are"
        if refused:
            return _keep_first(f"{what} {limited.access}. {refused}", limited, services)
        return Next(
            text=f"{what} {limited.access}.",
            verb=verb,
            service=limited.service,
            label=f"{BUTTONS[verb]} {limited.service or 'all keys'}…",
        )
    if found.decision is not None and found.decision.missing:
        return Next(text="A region has not confirmed the last decision yet. It is tried again by itself.")
    unset = next((line for line in (*services, whole) if line.active and not line.rotates_at), None)
    if unset is not None:
        what = f"The key of {unset.service}" if unset.service else "The tenant key"
        return Next(
            text=f"{what} is rotated only when somebody asks for it.",
            verb=KeyVerb.SCHEDULE,
            service=unset.service,
            label="Set a schedule…",
        )
    return Next(text="Nothing for you to do: every key is rotated by itself.")


def _keep_first(text: str, limited: KeyLine, services: Sequence[KeyLine]) -> Next:
    """What encrypted last is on its way out: it is kept before it is used again."""
    leaving = [
        line
        for line in services
        if any(each.destroy and each.destroy.open and each.state == "active" for each in line.versions)
    ]
    chosen = next((line for line in leaving if limited.service in ("", line.service)), None)
    if chosen is None:
        return Next(text=text)
    return Next(text=text, verb=KeyVerb.KEEP, service=chosen.service, label=f"Keep {chosen.service}…")


def _meant(
    account: Account, found: KeysPage, line: KeyLine, version: int | None, deciding: Deciding
) -> Meant:
    if version is not None:
        version_of(line, version)
    return Meant(
        account=account.name,
        service=line.service,
        version=version,
        active=max((each.version for each in line.versions), default=0),
        services=[each.service for each in found.keys if each.service],
        regions=[each.region for each in found.decision.regions] if found.decision else [],
        wait_s=deciding.key_wait_s,
        restores_to=line.restores_to,
        gone=line.gone,
    )


def _why_not(found: KeysPage, line: KeyLine, verb: KeyVerb, version: int | None, deciding: Deciding) -> str:
    if version is not None:
        return _version_why_not(version_of(line, version), verb, found, deciding)
    if verb is KeyVerb.CREATE and not line.service:
        rotate = next(each for each in line.actions if each.verb in (KeyVerb.ROTATE, KeyVerb.CREATE))
        return rotate.why_not
    action = next((each for each in shown_actions(line, deciding) if each.verb == verb), None)
    if action is None:
        raise Permanent(
            Refusal.NOT_FOUND,
            "There is no such action on this key.",
            remedy=Remedy("Choose one on the key’s page.", "You"),
        )
    return action.why_not


def _version_why_not(each: VersionLine, verb: KeyVerb, found: KeysPage, deciding: Deciding) -> str:
    leaving = each.destroy is not None and each.destroy.open
    if verb is KeyVerb.KEEP:
        if not leaving:
            return "It is not to be destroyed."
        return "It is being destroyed: there is no way back." if each.destroy.state == "destroying" else ""  # type: ignore[union-attr]  # leaving says it is there
    if verb is not KeyVerb.DESTROY:
        raise Permanent(Refusal.NOT_FOUND, "There is no such action on a single version.")
    off = found.presence not in ("present", "uninstalled")
    why = closed(found.presence) if off else each.why_not
    return why or ("" if deciding.without_step_up else NO_STEP_UP)


async def under_way(account: Account, found: KeysPage) -> ChangePage | None:
    """The report of the newest rotation, as long as it goes on."""
    change = found.change
    if change is None or change.state not in ("running", "undoing"):
        return None
    return await key_change(account, change.request)
