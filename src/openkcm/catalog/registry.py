"""What the installed plugins gave, for whoever asks: a frozen record, made once at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from openkcm.sdk.key_store import KeyStorePlugin
from openkcm.sdk.notifier import Notifier
from openkcm.sdk.refusals import Refusal
from openkcm.sdk.tenant_source import TenantSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A plugin as its distribution announces it; nothing of it is imported yet. ``name`` is its settings' name."""

    name: str
    module: str
    distribution: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A plugin that was left out, and why, in words for the operator."""

    name: str
    refusal: Refusal
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStores:
    """Key stores by the name that they declare, and by it the plugin that gives each; what was left out."""

    plugins: Mapping[str, KeyStorePlugin] = field(default_factory=dict)
    given_by: Mapping[str, str] = field(default_factory=dict)
    broken: tuple[Broken, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Sources and notifiers by their plugin's name, key stores by their own; what is installed; what was left out."""

    tenant_sources: Mapping[str, TenantSource] = field(default_factory=dict)
    notifiers: Mapping[str, Notifier] = field(default_factory=dict)
    key_stores: Mapping[str, KeyStorePlugin] = field(default_factory=dict)
    installed: tuple[Installed, ...] = ()
    broken: tuple[Broken, ...] = ()
