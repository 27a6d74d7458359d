"""Commands that plugins add to ``openkcm``: announced as entry points, read when they are asked for."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

import click

from openkcm.sdk.refusals import Permanent, Refusal, Remedy

GROUP = "openkcm.commands"


def announced() -> dict[str, str]:
    """The module of each command by its name; none is imported."""
    return {point.name: point.value for point in entry_points(group=GROUP)}


def load_command(name: str, module: str) -> click.Command:
    """The command, which is called ``command`` in its module.

    Raises:
        Permanent: PLUGIN_BROKEN; the module cannot be imported or has no command.
    """
    try:
        found = getattr(importlib.import_module(module), "command", None)
    except Exception as failed:  # noqa: BLE001 - whatever a plugin's module raises
        raise _broken(name, f"its module cannot be imported ({type(failed).__name__})") from None
    if not isinstance(found, click.Command):
        raise _broken(name, "its module has no command")
    return found


def _broken(name: str, why: str) -> Permanent:
    return Permanent(
        Refusal.PLUGIN_BROKEN,
        f"The command {name} comes from a plugin that does not work: {why}.",
        remedy=Remedy("Install the plugin again, or another version of it.", "operator", "reference/hooks"),
    )
