"""From entry points to a registry, one plugin at a time: what one does wrong is its own loss, never the others'."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from openkcm.catalog.hooks import GROUP, PluginBroken, hooks_of, the_one
from openkcm.catalog.registry import Broken, Installed, KeyStores, Registry
from openkcm.sdk.key_store import KeyStorePlugin
from openkcm.sdk.notifier import Notifier
from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Refusal
from openkcm.sdk.tenant_source import TenantSource

KEY_STORE_PREFIX = "keystore-"
"""A plugin of such a name is a key store, and offered without any settings."""
HOST_SETTINGS = "host_"
"""What the operator grants a key store's host begins so; the plugin itself is not given it."""
_log = logging.getLogger(__name__)


def installed(announced: Iterable[EntryPoint] | None = None) -> tuple[Installed, ...]:
    """Every plugin that a distribution announces, by name; none is imported.

    ``announced`` is what the environment has (group ``openkcm``), unless a test says otherwise.
    """
    points = entry_points(group=GROUP) if announced is None else announced
    return tuple(
        sorted(
            (
                Installed(
                    name=point.name,
                    module=point.value,
                    distribution=point.dist.name if point.dist else "",
                    version=point.dist.version if point.dist else "",
                )
                for point in points
            ),
            key=lambda each: (each.name, each.distribution),
        )
    )


def load(
    settings: Mapping[str, Mapping[str, str]], *, plugins: tuple[Installed, ...] | None = None
) -> Registry:
    """Every plugin that has settings is asked what it gives; one that fails is in ``broken`` with its reason.

    A plugin without settings is not imported, unless it is a key store: it would give nothing, and its system's SDK may
    be large. Settings under a name that is not installed are in ``broken`` too.
    """
    present = installed() if plugins is None else plugins
    settings = by_plugin_name(settings)
    sources: dict[str, TenantSource] = {}
    notifiers: dict[str, Notifier] = {}
    broken = [_missing(name, present) for name in settings if name not in {each.name for each in present}]
    for name in sorted({each.name for each in present} & set(settings)):
        try:
            hooks = hooks_of(the_one(name, present))
            source, notifier = hooks.tenant_source(settings[name]), hooks.notifier(settings[name])
        except PluginBroken as why:
            broken.append(_left_out(name, why))
            continue
        if source is not None:
            sources[name] = source
        if notifier is not None:
            notifiers[name] = notifier
    seen = {each.name for each in broken}
    stores = load_key_stores(settings, plugins=tuple(each for each in present if each.name not in seen))
    broken += stores.broken
    return Registry(
        tenant_sources=sources,
        notifiers=notifiers,
        key_stores=stores.plugins,
        installed=present,
        broken=tuple(sorted(broken, key=_name)),
    )


def load_key_stores(
    settings: Mapping[str, Mapping[str, str]], *, plugins: tuple[Installed, ...] | None = None
) -> KeyStores:
    """Every installed key store by the name that it declares; one that is not whole is in ``broken`` with its reason.

    A key store's plugin is called ``keystore-NAME`` for the NAME that it declares, and needs no settings: a region,
    which never imports a plugin, finds it by that. A plugin of another name is asked when it has settings, so that it
    is told. No other hook is called and no store is opened, so that no vendor's SDK is imported.
    """
    present = installed() if plugins is None else plugins
    settings = by_plugin_name(settings)
    names = {each.name for each in present}
    given: dict[str, KeyStorePlugin] = {}
    broken: list[Broken] = []
    for name in sorted(each for each in names if each in settings or each.startswith(KEY_STORE_PREFIX)):
        try:
            found = hooks_of(the_one(name, present)).key_store(_own(settings.get(name, {})))
        except PluginBroken as why:
            broken.append(_left_out(name, why))
            continue
        if found is not None and not _is_named(name, found):
            broken.append(_left_out(name, _misnamed(found)))
        elif found is not None:
            given[name] = found
    return KeyStores(
        plugins={each.declaration.name: each for each in given.values()},
        given_by={each.declaration.name: name for name, each in given.items()},
        broken=tuple(broken),
    )


def key_store_plugin(declared: str) -> str:
    """The name of the plugin that gives the key store of this declared name."""
    return KEY_STORE_PREFIX + declared


def _is_named(name: str, plugin: KeyStorePlugin) -> bool:
    return name == key_store_plugin(plugin.declaration.name)


def _misnamed(plugin: KeyStorePlugin) -> PluginBroken:
    declared = plugin.declaration.name
    return PluginBroken(
        f"It declares the key store {declared}, so its plugin has to be called {key_store_plugin(declared)}."
    )


def _own(settings: Mapping[str, str]) -> dict[str, str]:
    """What is the plugin's own to read: the operator's grants to its host are not."""
    return {name: value for name, value in settings.items() if not name.startswith(HOST_SETTINGS)}


def check(plugins: tuple[Installed, ...] | None = None) -> tuple[Broken, ...]:
    """What would be left out if every installed plugin were set up: each is imported, none is asked for anything."""
    present = installed() if plugins is None else plugins
    broken = []
    for name in sorted({each.name for each in present}):
        try:
            hooks_of(the_one(name, present))
        except PluginBroken as why:
            broken.append(Broken(name=name, refusal=why.refusal, reason=str(why)))
    return tuple(broken)


def load_key_store(plugin: Installed, settings: Mapping[str, str]) -> KeyStorePlugin:
    """The key store that this plugin gives. Its module is imported: only for a process that runs plugin code.

    Raises:
        PluginBroken: it cannot be imported, or gives no key store with these settings.
    """
    store = hooks_of(plugin).key_store(settings)
    if store is None:
        raise PluginBroken("It gives no key store.")
    return store


def by_plugin_name(settings: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Settings under names with hyphens, as plugins have them.

    An environment variable cannot hold a hyphen, so ``OPENKCM_PLUGINS__NOTIFY_SMTP__HOST`` means ``notify-smtp``. Where
    a name is given in both spellings, the one that can come from the environment wins value by value.
    """
    merged: dict[str, dict[str, str]] = {}
    for name in sorted(settings, key=lambda name: "_" in name):
        merged.setdefault(name.replace("_", "-"), {}).update(settings[name])
    return merged


def _left_out(name: str, why: PluginBroken) -> Broken:
    _log.error("plugin left out", extra={"plugin": name, "reason": str(why)})
    return Broken(name=name, refusal=why.refusal, reason=str(why))


def _missing(name: str, present: tuple[Installed, ...]) -> Broken:
    known = ", ".join(each.name for each in present) or "none"
    reason = f"There are settings for {display_text(name)}, which is not installed (installed: {known}). "
    return Broken(
        name=name,
        refusal=Refusal.PLUGIN_MISSING,
        reason=reason + "Install it with pip, or remove the settings.",
    )


def _name(broken: Broken) -> str:
    return broken.name
