"""What the operator grants the hosts of one plugin, beside what every host may: read from the plugin's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from openkcm.catalog.load import HOST_SETTINGS
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_KNOWN: Final = frozenset({"host_reads", "host_writes", "host_ports"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """More paths to read, folders to write in, the only TCP ports to connect to (none: any); the plugin's own rest."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    settings: Mapping[str, str]


def read_grants(plugin: str, settings: Mapping[str, str]) -> Grants:
    """The grants among a plugin's settings, and the settings that are left for the plugin.

    Raises:
        Permanent: SETTING_INVALID; an unknown grant, a path that is not absolute, or no port.
    """
    given = {name: value for name, value in settings.items() if name.startswith(HOST_SETTINGS)}
    for name in given.keys() - _KNOWN:
        raise _invalid(plugin, name, "there is no such setting")
    return Grants(
        reads=_paths(plugin, "host_reads", given),
        writes=_paths(plugin, "host_writes", given),
        ports=_ports(plugin, given.get("host_ports", "")),
        settings={name: value for name, value in settings.items() if name not in given},
    )


def _paths(plugin: str, name: str, given: Mapping[str, str]) -> tuple[str, ...]:
    paths = tuple(each for each in given.get(name, "").split(":") if each)
    if not all(each.startswith("/") for each in paths):
        raise _invalid(plugin, name, "every path begins with /")
    return paths


def _ports(plugin: str, value: str) -> tuple[int, ...]:
    ports = tuple(each.strip() for each in value.split(",") if each.strip())
    if not all(each.isascii() and each.isdigit() and 0 < int(each) < 65_536 for each in ports):
        raise _invalid(plugin, "host_ports", "it is numbers of TCP ports with commas between")
    return tuple(int(each) for each in ports)


def _invalid(plugin: str, name: str, why: str) -> Permanent:
    return Permanent(
        Refusal.SETTING_INVALID,
        f"plugins.{plugin}.{name} cannot be used: {why}.",
        remedy=Remedy("Correct it.", "operator", "how-it-works/key-store-hosts#what-a-host-can-reach"),
    )
