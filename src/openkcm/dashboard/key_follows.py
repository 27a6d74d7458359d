"""What follows from each action on keys, in plain words before the click: for applications, in the regions. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from openkcm.dashboard.key_words import Meant
from openkcm.keychain.states import KeyVerb
from openkcm.web.figures import counted, duration, joined

_BACK: Final = {KeyVerb.READ_ONLY: "Enable it again", KeyVerb.REVOKE: "Restore it"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequence:
    """One thing that follows from an action: for whom, what they see, and how soon. ``code`` is what programs see."""

    tone: str
    icon: str
    title: str
    text: str
    soon: str = ""
    code: str = ""


def consequences(verb: KeyVerb, meant: Meant) -> tuple[Consequence, ...]:
    """What follows: for applications, in the regions, and whether it can be taken back."""
    nothing = meant.gone and verb in (
        KeyVerb.ENABLE,
        KeyVerb.RESTORE,
    )  # its question says that it stays destroyed
    found = [] if nothing else list(_EFFECTS[verb](meant))
    if verb not in (KeyVerb.SCHEDULE, KeyVerb.CREATE, KeyVerb.ROTATE, KeyVerb.RELINK):
        found.append(_regions(meant))
    return (*found, _way_back(verb, meant))


def _read_only(meant: Meant) -> Sequence[Consequence]:
    return (
        Consequence(tone="ok", icon="read", title="Existing data still decrypts", text=_who(meant)),
        Consequence(
            tone="warn",
            icon="lock",
            title="Nothing new is encrypted",
            text="Applications that try are refused with",
            code="key-read-only",
            soon="within seconds",
        ),
    )


def _enable(meant: Meant) -> Sequence[Consequence]:
    return (
        Consequence(
            tone="ok", icon="ok", title="Applications encrypt again", text=_who(meant), soon="within seconds"
        ),
    )


def _revoke(meant: Meant) -> Sequence[Consequence]:
    stops = (
        f"{counted(len(meant.services), 'service', 'services')} stop{'s' if len(meant.services) == 1 else ''}"
        if not meant.service
        else f"{meant.service} stops"
    )
    return (
        Consequence(
            tone="bad",
            icon="off",
            title=stops,
            text="Applications can neither encrypt nor decrypt. They are refused with",
            code="key-revoked",
            soon="within seconds",
        ),
        Consequence(tone="bad", icon="read", title="Data becomes unreadable, for you too", text=_who(meant)),
        Consequence(
            tone="warn",
            icon="lease",
            title="Data keys that applications hold",
            text="One that is in an application’s memory already works until the application lets go of it.",
        ),
    )


def _restore(meant: Meant) -> Sequence[Consequence]:
    comes = (
        "It was read-only before it was revoked, and is so again."
        if meant.restores_to == "read-only"
        else "Applications encrypt and decrypt as before."
    )
    return (
        Consequence(
            tone="ok", icon="ok", title="What worked before works again", text=comes, soon="within seconds"
        ),
    )


def _rotate(meant: Meant) -> Sequence[Consequence]:
    if not meant.service:
        return (
            Consequence(
                tone="ok",
                icon="ok",
                title="Applications notice nothing",
                text="No service key changes and no data is touched.",
            ),
            Consequence(
                tone="run",
                icon="key",
                title="Every service key is wrapped anew",
                text=f"Under version {meant.active + 1} of the tenant key, in {_places(meant)}.",
                soon="a few seconds",
            ),
            Consequence(
                tone="warn",
                icon="gone",
                title="The old version goes by itself",
                text=f"It is destroyed after {duration(meant.wait_s)}, unless anything uses it meanwhile.",
            ),
        )
    return (
        Consequence(
            tone="ok",
            icon="ok",
            title="Applications notice nothing",
            text=f"New data is encrypted with version {meant.active + 1}. "
            "Data of older versions decrypts as before; none is touched.",
        ),
        Consequence(
            tone="run",
            icon="key",
            title="Made in one region, checked in every one",
            text=f"It takes over when {_places(meant)} can open it. A region that does not answer is waited for.",
            soon="a few seconds",
        ),
    )


def _create(meant: Meant) -> Sequence[Consequence]:
    return (
        Consequence(
            tone="run",
            icon="key",
            title="It gets a key of its own",
            text=f"Under your tenant key, in {_places(meant)}. The other services are not touched.",
            soon="a few seconds",
        ),
    )


def _destroy(meant: Meant) -> Sequence[Consequence]:
    return (
        Consequence(
            tone="warn",
            icon="lease",
            title=f"First it waits for {duration(meant.wait_s)}",
            text="Every region counts that by its own clock. Any use of the key meanwhile, anywhere, stops it, "
            "and you are told.",
        ),
        Consequence(
            tone="bad",
            icon="off",
            title="Then it is gone for ever",
            text="What it alone encrypted cannot be read again: not by you, not by the platform. "
            "Applications are refused with",
            code="ciphertext-invalid",
        ),
        Consequence(
            tone="off",
            icon="info",
            title="You get a certificate",
            text="Signed by every region, with two dates: since when no running system holds it, "
            "and after when no backup does.",
        ),
    )


def _keep(meant: Meant) -> Sequence[Consequence]:
    return (
        Consequence(
            tone="ok",
            icon="shield",
            title="The key stays",
            text=f"What {meant.key} encrypted stays readable by whoever may use it.",
            soon="within seconds",
        ),
    )


def _schedule(_meant: Meant) -> Sequence[Consequence]:
    return (
        Consequence(
            tone="ok",
            icon="ok",
            title="Applications notice nothing",
            text="Older versions decrypt as before; no data is touched. A time that is missed is made good once.",
        ),
    )


def _relink(meant: Meant) -> Sequence[Consequence]:
    return (
        Consequence(
            tone="ok",
            icon="ok",
            title="Applications notice nothing",
            text="No service key changes and no data is touched.",
        ),
        Consequence(
            tone="run",
            icon="key",
            title="The other root key decides from then on",
            text=f"Every service key is wrapped anew by a tenant key under it, in {_places(meant)}. "
            "Whoever may use that root key decides whether your data can be read.",
            soon="a few seconds",
        ),
        Consequence(
            tone="warn",
            icon="gone",
            title="The old tenant key goes by itself",
            text=f"It is destroyed after {duration(meant.wait_s)}, unless anything uses it meanwhile. Until then "
            "the root key before is needed for it.",
        ),
    )


def _outage(_meant: Meant) -> Sequence[Consequence]:
    return (
        Consequence(
            tone="ok",
            icon="ok",
            title="Applications notice nothing while the key store answers",
            text="The choice counts from the next time that it does not, and stays whatever root key comes next.",
            soon="within seconds",
        ),
    )


_EFFECTS: Final = {
    KeyVerb.READ_ONLY: _read_only,
    KeyVerb.ENABLE: _enable,
    KeyVerb.REVOKE: _revoke,
    KeyVerb.RESTORE: _restore,
    KeyVerb.ROTATE: _rotate,
    KeyVerb.CREATE: _create,
    KeyVerb.DESTROY: _destroy,
    KeyVerb.KEEP: _keep,
    KeyVerb.SCHEDULE: _schedule,
    KeyVerb.RELINK: _relink,
    KeyVerb.OUTAGE: _outage,
}


def _who(meant: Meant) -> str:
    if meant.service:
        return f"All that the service {meant.service} encrypted. Other services go on."
    return f"Services: {joined(tuple(meant.services))}." if meant.services else "There is no service yet."


def _places(meant: Meant) -> str:
    return joined(tuple(meant.regions)) or "every region"


def _regions(meant: Meant) -> Consequence:
    return Consequence(
        tone="run",
        icon="platform",
        title=_places(meant),
        text="The next page shows when each region has confirmed. One that does not answer goes on as it was "
        "told last, and follows as soon as it answers.",
        soon="usually 2 s",
    )


def _way_back(verb: KeyVerb, meant: Meant) -> Consequence:
    if verb in _BACK:
        text, title = f"{_BACK[verb]} at any time: nothing is lost.", "You can take it back"
    elif verb is KeyVerb.DESTROY:
        title = "You can take it back while it waits"
        text = "Keep it at any time before the waiting period is over. After that there is no way back."
    elif verb is KeyVerb.ROTATE:
        title = "There is no way back, and no need of one"
        text = (
            "Older versions stay until somebody destroys them."
            if meant.service
            else "A tenant key can be rotated again at any time."
        )
    elif verb is KeyVerb.RELINK:
        title, text = "You can relink at any time", "To another root key, or back to the platform’s own."
    elif verb is KeyVerb.CREATE:
        title, text = "It stays", "A service’s name is for ever. Its key can be revoked or destroyed."
    else:
        title, text = "You can take it back", "Ask for the opposite at any time."
    return Consequence(tone="off", icon="undo", title=title, text=text)
