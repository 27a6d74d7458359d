"""What the pages of a tenant's keys show: the keys, one of them, and a question before an action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from openkcm.dashboard.change_view import ChangePage
from openkcm.dashboard.key_actions import Action
from openkcm.dashboard.key_follows import Consequence
from openkcm.dashboard.key_words import BUTTONS
from openkcm.dashboard.keys import KeyLine, KeysPage, VersionLine
from openkcm.dashboard.view import HomeState, RootState
from openkcm.web import paths
from openkcm.web.shell import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The one thing to do next. Without a ``verb`` there is nothing to press; ``request`` leads to a report."""

    text: str
    verb: str = ""
    service: str = ""
    label: str = ""
    request: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentLine:
    """A change that was asked for, with the name under which its report is found."""

    request: str
    title: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysView:
    """All keys. ``state`` is what the account's presence lets work; ``unsafe``: step-up is left out on this machine."""

    account: Account
    state: HomeState
    found: KeysPage
    next: Next
    under_way: ChangePage | None
    recent: tuple[RecentLine, ...]
    unsafe: bool
    root: RootState = field(default_factory=RootState)

    @property
    def tenant_key(self) -> KeyLine:
        """The line of the tenant key, which also says what people let all keys be used for."""
        return self.found.keys[0]

    @property
    def services(self) -> tuple[KeyLine, ...]:
        """The service keys."""
        return self.found.keys[1:]

    @property
    def limited(self) -> tuple[KeyLine, ...]:
        """The services that are restricted themselves, and could work if they were not."""
        return tuple(line for line in self.services if line.access != "active" and not line.gone)

    @property
    def none_left(self) -> bool:
        """Whether the key of every service that there is is destroyed."""
        return bool(self.services) and all(line.gone for line in self.services)

    def shown(self, line: KeyLine) -> str:
        """What works with the key: the strictest of presence, account and service."""
        return shown_state(self.state, self.tenant_key.access, line, halted=self.root.halted)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """One service's key, or the tenant key (``line.service`` is empty), with every version.

    ``actions`` and ``destroys`` (by version: why it cannot be destroyed now, or empty) say what this installation does.
    ``may_try``: the pages may get a token for it.
    """

    account: Account
    state: HomeState
    all_access: str
    line: KeyLine
    actions: tuple[Action, ...]
    destroys: Mapping[int, str]
    under_way: ChangePage | None
    recent: tuple[RecentLine, ...]
    unsafe: bool
    may_try: bool = False
    root: RootState = field(default_factory=RootState)

    @property
    def buttons(self) -> Mapping[str, str]:
        """What each action is called."""
        return BUTTONS

    @property
    def shown(self) -> str:
        """What works with the key."""
        return shown_state(self.state, self.all_access, self.line, halted=self.root.halted)

    def shown_version(self, version: VersionLine) -> str:
        """What works with that version: what its own state allows, as far as the whole key may be used."""
        if version.state not in ("active", "decrypt-only"):
            return version.state
        if self.shown in ("revoked", "blocked"):
            return self.shown
        return self.shown if version.state == "active" else version.state

    @property
    def leaving(self) -> tuple[VersionLine, ...]:
        """The versions that are on their way out."""
        return tuple(each for each in self.line.versions if each.destroy is not None and each.destroy.open)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPage:
    """The question before an action. ``phrase`` is what has to be typed, empty where nothing has to be.

    ``given`` is what was typed (the phrase, the days or the new service's name), ``wrong`` what is wrong with it;
    ``why_not`` says why it is refused now. ``connection`` is the root key that it is about, empty for the platform's,
    None where it is about a key. ``caller`` is the application that it is about, None where it is about none.
    """

    account: Account
    service: str
    verb: str
    version: int | None
    title: str
    lead: str
    button: str
    stay: str
    consequences: tuple[Consequence, ...]
    request: str
    phrase: str = ""
    given: str = ""
    wrong: str = ""
    why_not: str = ""
    unsafe: bool = False
    connection: str | None = None
    caller: str | None = None

    @property
    def dangerous(self) -> bool:
        """Whether its button is red."""
        return self.verb in ("revoke", "destroy", "disconnect", "remove-caller")

    @property
    def address(self) -> str:
        """Where the form is sent."""
        if self.caller is not None:
            return paths.caller_removal(self.account.id, self.caller)
        if self.connection is None:
            return paths.key_action(self.account.id, self.service, self.verb, self.version)
        return paths.root_key_action(self.account.id, self.verb, self.connection)

    @property
    def back(self) -> str:
        """Where the way out leads."""
        if self.caller is not None:
            return paths.callers(self.account.id)
        if self.connection is None:
            return paths.key(self.account.id, self.service)
        return paths.root_key(self.account.id)


def shown_state(state: HomeState, all_access: str, line: KeyLine, *, halted: bool = False) -> str:
    """What works with a key: the strictest of what the account's presence, its root key, its owners and the key's own
    state allow. ``halted``: the root key lets nothing work.
    """
    if state is HomeState.GONE or line.gone:
        return "destroyed"
    if state in (HomeState.DELETING, HomeState.UNINSTALLED_OVER):
        return "blocked"
    restricted = {all_access, line.access}
    if "revoked" in restricted:
        return "revoked"
    if line.active is None:
        return "pre-active"
    if halted:
        return "blocked"
    if "read-only" in restricted or state is HomeState.UNINSTALLED:
        return "read-only"
    return "active"
