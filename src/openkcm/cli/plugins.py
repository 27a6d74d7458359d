"""``openkcm plugins``: what is installed, what works, and why the rest does not."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from openkcm.catalog.load import check, installed, load_key_stores
from openkcm.cli._operator import json_option, plugin_settings, print_json, print_table


class ShownPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """One installed plugin; ``reason`` says why it is left out, ``key_stores`` which kinds it gives."""

    name: str
    distribution: str
    version: str
    works: bool
    reason: str = ""
    key_stores: tuple[str, ...] = ()


@click.group("plugins")
def command() -> None:
    """The installed plugins."""


@command.command("list")
@json_option
@click.option("--state", type=click.Path(path_type=Path), hidden=True)
def list_(*, as_json: bool, state: Path | None) -> None:
    """Every installed plugin; a broken one with its reason, and then the status is 1."""
    stores = load_key_stores(plugin_settings(state))
    wrong = {each.name: each.reason for each in (*stores.broken, *check())}
    found = [
        ShownPlugin(
            name=each.name,
            distribution=each.distribution,
            version=each.version,
            works=each.name not in wrong,
            reason=wrong.get(each.name, ""),
            key_stores=tuple(name for name, plugin in stores.given_by.items() if plugin == each.name),
        )
        for each in installed()
    ]
    if as_json:
        print_json(found)
    elif not found:
        click.echo(
            "No plugin is installed. Tenant sources and notifiers are: pip install openkcm-tenants-directory …"
        )
    else:
        rows = [(each.name, each.version, "works" if each.works else "broken", _said(each)) for each in found]
        print_table(("NAME", "VERSION", "STATE", "REASON"), rows)
    if wrong:
        raise SystemExit(1)


def _said(shown: ShownPlugin) -> str:
    return shown.reason or ", ".join(f"key store {name}" for name in shown.key_stores)
