"""Who did something, as pages say it: the audit log's own words for an actor are for programs."""

from __future__ import annotations

from typing import Final

from openkcm.sdk.plain_text import display_name

_OURS: Final = {
    "schedule": "its schedule",
    "activation": "OpenKCM itself",  # as the old tenant key after a rotation or a relink
    "propagation": "OpenKCM itself",
}


def asker(actor: str) -> str:
    """``person:https://login.example#ada`` is ``ada``, ``operator:kim`` somebody who runs this installation."""
    kind, _, name = actor.partition(":")
    if kind == "person":
        return display_name(name.partition("#")[2]) or "a person"
    if kind == "operator":
        return f"{display_name(name)}, who runs this installation"
    return _OURS.get(actor) or display_name(actor)
