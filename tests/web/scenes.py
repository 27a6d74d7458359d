"""Every page in every state: what the rendering and the browser tests look at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from openkcm.dashboard.view import (
    ChainLink,
    Holding,
    HomePage,
    HomeState,
    KeyState,
    MessageLine,
    MessagesPage,
    ServiceLine,
)
from openkcm.identity.view import LinkState, SignInPage
from openkcm.keychain.states import KeyAccess
from openkcm.provisioning.view import ProvisioningPage
from openkcm.sdk.refusals import Refusal, Remedy
from openkcm.web.failures import ErrorPage
from openkcm.web.help import HelpPage
from openkcm.web.shell import Account
from tests.web.callers import FORMS, HELD, LISTS, REMOVALS
from tests.web.content import (
    ACCOUNT,
    BEHIND,
    FOUND,
    HOSTILE,
    NOW,
    OWNER,
    TOKEN,
    home,
)
from tests.web.endings import ENDINGS
from tests.web.key_scenes import ASKED, CHANGES, KEY_LISTS, KEY_ONES
from tests.web.root_scenes import OUTAGES, ROOT_ASKED, ROOT_HOMES, ROOT_KEYS, ROOT_LISTS, ROOT_ONES
from tests.web.set_ups import SETUPS
from tests.web.uses_scenes import USES


def error(status: int, code: Refusal, title: str, **changes: object) -> ErrorPage:
    made = ErrorPage(
        status=status,
        code=code,
        title=title,
        why="The address may be mistyped, or what it showed is not yours to see.",
        remedy=Remedy("Go back to where you came from and start again there.", "You"),
        reference="7QK2-9F4D",
        at=NOW,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the names are checked by replace itself


@dataclass(frozen=True, slots=True)
class Scene:
    """One page in one state. ``account`` and ``user`` are the frame's."""

    template: str
    context: object
    account: Account | None = ACCOUNT
    user: str | None = "Mara Lindqvist"
    ready: bool = True


def _setup(context: ProvisioningPage) -> Scene:
    return Scene("provisioning/page.html", context, account=context.account, ready=False)


def _home(context: HomePage) -> Scene:
    return Scene("dashboard/home.html", context, account=context.account)


def _outside(template: str, context: object) -> Scene:
    return Scene(template, context, account=None, user=None)


SCENES: dict[str, Scene] = {
    **{name: _setup(context) for name, context in SETUPS.items()},
    **{name: Scene("dashboard/keys.html", page, account=page.account) for name, page in KEY_LISTS.items()},
    **{name: Scene("dashboard/key.html", page, account=page.account) for name, page in KEY_ONES.items()},
    **{name: Scene("dashboard/key_ask.html", page, account=page.account) for name, page in ASKED.items()},
    **{
        name: Scene("dashboard/key_change.html", page, account=page.account) for name, page in CHANGES.items()
    },
    **{name: Scene("dashboard/keys.html", page, account=page.account) for name, page in ROOT_LISTS.items()},
    **{name: Scene("dashboard/key.html", page, account=page.account) for name, page in ROOT_ONES.items()},
    **{
        name: Scene("dashboard/root_key.html", page, account=page.account) for name, page in ROOT_KEYS.items()
    },
    **{name: Scene("dashboard/outage.html", page, account=page.account) for name, page in OUTAGES.items()},
    **{
        name: Scene("dashboard/key_ask.html", page, account=page.account) for name, page in ROOT_ASKED.items()
    },
    **{name: Scene("dashboard/callers.html", page, account=page.account) for name, page in LISTS.items()},
    **{name: Scene("dashboard/caller_add.html", page, account=page.account) for name, page in FORMS.items()},
    **{name: Scene("dashboard/key_ask.html", page, account=page.account) for name, page in REMOVALS.items()},
    **{name: Scene("dashboard/key_change.html", page, account=page.account) for name, page in HELD.items()},
    **{name: _home(page) for name, page in ROOT_HOMES.items()},
    **{name: Scene("dashboard/uses.html", page, account=page.account) for name, page in USES.items()},
    "home": _home(home()),
    "home-first-day": _home(home(now=FOUND + timedelta(minutes=5), messages=())),
    "home-token": _home(home(token=TOKEN)),
    "home-behind": _home(home(regions=BEHIND)),
    "home-mail-waits": _home(home(mail_delivered=False)),
    "home-owner-unknown": _home(home(owner=None, owner_known=False, single_region_copy=True)),
    **{
        f"home-{access.value}": _home(
            home(
                access=access,
                restricted_at=NOW,
                restricted_by="person:#ada@example.org",
                services=(ServiceLine(name="default", key_id="sk-1", key_version=1, state=state),),
            )
        )
        for access, state in (
            (KeyAccess.REVOKED, KeyState.REVOKED),
            (KeyAccess.READ_ONLY, KeyState.READ_ONLY),
        )
    },
    "home-limited": _home(
        home(services=(ServiceLine(name="default", key_id="sk-1", key_version=1, state=KeyState.REVOKED),))
    ),
    "home-uninstalled": _home(
        home(state=HomeState.UNINSTALLED, began_at=NOW, ends_at=NOW + timedelta(days=30), regions=BEHIND)
    ),
    "home-uninstalled-over": _home(
        home(
            state=HomeState.UNINSTALLED_OVER,
            began_at=NOW - timedelta(days=31),
            ends_at=NOW - timedelta(days=1),
            services=(ServiceLine(name="default", key_id=None, key_version=None, state=KeyState.BLOCKED),),
        )
    ),
    "home-deleting": _home(
        home(
            state=HomeState.DELETING,
            began_at=NOW,
            ends_at=NOW + timedelta(days=30),
            services=(ServiceLine(name="default", key_id="sk-1", key_version=1, state=KeyState.BLOCKED),),
        )
    ),
    **{name: _home(page) for name, page in ENDINGS.items()},
    "home-own-key": _home(
        home(
            holding=Holding.YOU,
            chain=(ChainLink(level="L1", name="Root key", detail="AWS KMS", holder=Holding.YOU),),
            services=(
                ServiceLine(name="default", key_id="sk-1", key_version=1, state=KeyState.UNCONFIRMED),
                ServiceLine(name="next", key_id=None, key_version=None, state=KeyState.PRE_ACTIVE),
            ),
        )
    ),
    "home-empty": _home(home(regions=(), services=(), messages=())),
    "home-trouble": _home(
        home(
            trouble=Remedy("Wait: it is asked again every 10 s.", "Nobody has to do anything", "howto/doctor")
        )
    ),
    "home-hostile": _home(
        home(
            account=HOSTILE,
            mail_delivered=False,
            owner="<b>x@example.org</b>",
            messages=(MessageLine(at=NOW, title="<h1>x</h1>", text="<script>1</script>"),),
            services=(ServiceLine(name="<s>", key_id="<k>", key_version=1, state=KeyState.ACTIVE),),
        )
    ),
    "messages": Scene("dashboard/messages.html", MessagesPage(account=ACCOUNT, messages=home().messages)),
    "messages-empty": Scene("dashboard/messages.html", MessagesPage(account=ACCOUNT, messages=())),
    "sign-in": _outside("identity/sign_in.html", SignInPage(state=LinkState.NONE)),
    "sign-in-offered": _outside(
        "identity/sign_in.html",
        SignInPage(state=LinkState.OFFERED, account=ACCOUNT, owner=OWNER, token="t" * 43, expires_in_s=551),
    ),
    "sign-in-used": _outside("identity/sign_in.html", SignInPage(state=LinkState.USED, account=ACCOUNT)),
    "sign-in-expired": _outside(
        "identity/sign_in.html", SignInPage(state=LinkState.EXPIRED, account=ACCOUNT)
    ),
    "sign-in-unknown": _outside("identity/sign_in.html", SignInPage(state=LinkState.UNKNOWN)),
    "sign-in-signed-out": _outside("identity/sign_in.html", SignInPage(state=LinkState.SIGNED_OUT)),
    "sign-in-hostile": _outside(
        "identity/sign_in.html",
        SignInPage(state=LinkState.OFFERED, account=HOSTILE, owner='"><script>', token='"><script>'),
    ),
    "error-404": Scene("error.html", error(404, Refusal.NOT_FOUND, "There is nothing at this address")),
    "error-403": Scene("error.html", error(403, Refusal.NOT_PERMITTED, "You may not do this")),
    "error-form": _outside("error.html", error(403, Refusal.FORM_EXPIRED, "The form is no longer valid")),
    "error-500": Scene("error.html", error(500, Refusal.INTERNAL, "Something broke on our side")),
    "error-503": _outside(
        "error.html",
        error(
            503,
            Refusal.UNAVAILABLE,
            "OpenKCM cannot answer right now",
            retry_after_s=5,
            why="The region Stockholm does not answer. Applications in other regions go on.",
            remedy=Remedy("Wait a moment, then try again. Nothing else is needed.", "You"),
        ),
    ),
    "error-401": _outside(
        "error.html",
        error(
            401,
            Refusal.NOT_SIGNED_IN,
            "You are not signed in",
            remedy=Remedy("Sign in.", "You", "howto/sign-in"),
            why="<b>",
        ),
    ),
    "help": Scene("help.html", HelpPage()),
    "help-operator": _outside("help.html", HelpPage(operator="keys@fjordline.example")),
}
