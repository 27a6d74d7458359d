"""``openkcm keystores``: which kinds of key stores there are, what each can do, and which rights it needs."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from openkcm.catalog.load import load_key_stores
from openkcm.cli._operator import json_option, plugin_settings, print_json, print_table, state_option
from openkcm.sdk.key_store import Declaration


class ShownPermission(msgspec.Struct, frozen=True, kw_only=True):
    """One right that the runtime credential needs, by the provider's own name."""

    name: str
    needed_when: str
    why: str


class ShownKeyStore(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of key store. ``live_tested_on`` is empty where it never ran against the real provider."""

    name: str
    title: str
    kind: str
    plugin: str
    abilities: tuple[str, ...]
    wrappings: tuple[str, ...]
    permissions: tuple[ShownPermission, ...]
    live_tested_on: str


@click.group("keystores")
def command() -> None:
    """The kinds of key stores that a tenant's root key can be in."""


@command.command("list")
@json_option
@state_option
def list_(*, as_json: bool, state: Path | None) -> None:
    """Every installed kind; a plugin that is not whole is named with its reason, and then the status is 1."""
    stores = load_key_stores(plugin_settings(state))
    found = [
        _shown(each.declaration, plugin=stores.given_by[name])
        for name, each in sorted(stores.plugins.items())
    ]
    if as_json:
        print_json(found)
    elif not found:
        click.echo("No key store is installed: every tenant's root key is the platform's own.")
    else:
        print_table(("NAME", "KIND", "TITLE", "LIVE-TESTED", "ABILITIES"), [_row(each) for each in found])
        for each in found:
            _print_permissions(each)
    for broken in stores.broken:
        click.echo(f"{broken.name} is left out: {broken.reason}", err=True)
    if stores.broken:
        raise SystemExit(1)


def _shown(declaration: Declaration, *, plugin: str) -> ShownKeyStore:
    return ShownKeyStore(
        name=declaration.name,
        title=declaration.title,
        kind=declaration.kind,
        plugin=plugin,
        abilities=tuple(sorted(each.value for each in declaration.abilities)),
        wrappings=tuple(each.value for each in declaration.wrappings),
        permissions=tuple(
            ShownPermission(name=each.name, needed_when=each.needed_when, why=each.why)
            for each in declaration.permissions
        ),
        live_tested_on=declaration.live_tested_on,
    )


def _row(shown: ShownKeyStore) -> tuple[str, ...]:
    abilities = ", ".join(shown.abilities) or "none"
    return shown.name, shown.kind.upper(), shown.title, shown.live_tested_on or "never", abilities


def _print_permissions(shown: ShownKeyStore) -> None:
    if shown.permissions:
        click.echo(f"\nPermissions for {shown.title}")
        print_table(
            ("PERMISSION", "NEEDED WHEN", "WHY"),
            [(each.name, each.needed_when, each.why) for each in shown.permissions],
        )
