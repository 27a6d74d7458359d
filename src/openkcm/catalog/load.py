"""From entry points to a registry, one plugin at a time: what one does wrong is its own loss, never the others'."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import pluggy

from openkcm.catalog.registry import Broken, Installed, Registry
from openkcm.sdk import hookspecs
from openkcm.sdk.key_store import KeyStorePlugin
from openkcm.sdk.notifier import Notifier
from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Refusal, Refused
from openkcm.sdk.tenant_source import TenantSource

GROUP = hookspecs.GROUP
_log = logging.getLogger(__name__)


class PluginBroken(Exception):
    """The plugin cannot be used; ``str()`` is the reason, for the operator."""

    def __init__(self, reason: str, refusal: Refusal = Refusal.PLUGIN_BROKEN) -> None:
        super().__init__(reason)
        self.refusal = refusal


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

    A plugin without settings is not imported: it would give nothing, and its system's SDK may be large. Settings under
    a name that is not installed are in ``broken`` too.
    """
    present = installed() if plugins is None else plugins
    settings = by_plugin_name(settings)
    sources: dict[str, TenantSource] = {}
    notifiers: dict[str, Notifier] = {}
    broken = [_missing(name, present) for name in settings if name not in {each.name for each in present}]
    for name in sorted({each.name for each in present} & set(settings)):
        try:
            hooks = _hooks(_one(name, present))
            source, notifier = hooks.tenant_source(settings[name]), hooks.notifier(settings[name])
        except PluginBroken as why:
            _log.error("plugin left out", extra={"plugin": name, "reason": str(why)})
            broken.append(Broken(name=name, refusal=why.refusal, reason=str(why)))
            continue
        if source is not None:
            sources[name] = source
        if notifier is not None:
            notifiers[name] = notifier
    return Registry(
        tenant_sources=sources,
        notifiers=notifiers,
        installed=present,
        broken=tuple(sorted(broken, key=_name)),
    )


def check(plugins: tuple[Installed, ...] | None = None) -> tuple[Broken, ...]:
    """What would be left out if every installed plugin were set up: each is imported, none is asked for anything."""
    present = installed() if plugins is None else plugins
    broken = []
    for name in sorted({each.name for each in present}):
        try:
            _hooks(_one(name, present))
        except PluginBroken as why:
            broken.append(Broken(name=name, refusal=why.refusal, reason=str(why)))
    return tuple(broken)


def load_key_store(plugin: Installed, settings: Mapping[str, str]) -> KeyStorePlugin:
    """The key store that this plugin gives. Its module is imported: only for a process that runs plugin code.

    Raises:
        PluginBroken: it cannot be imported, or gives no key store with these settings.
    """
    store = _hooks(plugin).key_store(settings)
    if store is None:
        raise PluginBroken("It gives no key store.")
    return store


class _Hooks:
    """One plugin's hooks, in a manager of its own, so that no other plugin's hook runs with them."""

    def __init__(self, name: str, module: ModuleType) -> None:
        self._name = name
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        try:
            self._manager.register(module, name)
            self._manager.check_pending()
        except pluggy.PluginValidationError as wrong:
            raise PluginBroken(
                f"It has a hook that is not known or takes other arguments: {wrong}."
            ) from None
        if not self._manager.get_hookcallers(module):
            raise PluginBroken("It has no hook: nothing in its module is marked as hookimpl.")

    def tenant_source(self, settings: Mapping[str, str]) -> TenantSource | None:
        given = self._call("openkcm_tenant_source", settings)
        _check_shape(given, ("list", "watch", "report", "aclose"), "a tenant source")
        return given  # type: ignore[return-value]  # its methods were just looked for

    def notifier(self, settings: Mapping[str, str]) -> Notifier | None:
        given = self._call("openkcm_notifier", settings)
        _check_shape(given, ("takes", "send", "aclose"), "a notifier")
        return given  # type: ignore[return-value]  # its methods were just looked for

    def key_store(self, settings: Mapping[str, str]) -> KeyStorePlugin | None:
        given = self._call("openkcm_key_store", settings)
        if given is not None and not (
            callable(getattr(given, "open", None)) and hasattr(given, "declaration")
        ):
            raise PluginBroken("What it gives is not a key store: its declaration or open is missing.")
        return given  # type: ignore[return-value]  # its parts were just looked for

    def _call(self, hook: str, settings: Mapping[str, str]) -> object:
        try:
            given: list[object] = getattr(self._manager.hook, hook)(settings=dict(settings))
        except Refused as refused:
            raise PluginBroken(_with_advice(refused), refused.refusal) from None
        except Exception as failed:  # noqa: BLE001 - whatever a plugin raises, the others go on
            _log.debug("plugin's hook raised", exc_info=failed)
            raise PluginBroken(f"Its hook {hook} failed with {type(failed).__name__}.") from None
        if len(given) > 1:
            raise PluginBroken(f"It gives more than one answer to {hook}.")
        return given[0] if given else None


def _hooks(plugin: Installed) -> _Hooks:
    try:
        module = importlib.import_module(plugin.module)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as failed:  # noqa: BLE001 - one that calls sys.exit at import is a broken plugin
        _log.debug("plugin's import failed", exc_info=failed)
        missing = f" (no module {failed.name})" if isinstance(failed, ModuleNotFoundError) else ""
        raise PluginBroken(f"It cannot be imported: {type(failed).__name__}{missing}.") from None
    return _Hooks(plugin.name, module)


def _one(name: str, present: tuple[Installed, ...]) -> Installed:
    found = [each for each in present if each.name == name]
    if len(found) > 1:
        announcing = ", ".join(each.distribution for each in found)
        raise PluginBroken(f"More than one distribution announces it: {announcing}. Uninstall all but one.")
    return found[0]


def by_plugin_name(settings: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Settings under names with hyphens, as plugins have them.

    An environment variable cannot hold a hyphen, so ``OPENKCM_PLUGINS__NOTIFY_SMTP__HOST`` means ``notify-smtp``. Where
    a name is given in both spellings, the one that can come from the environment wins value by value.
    """
    merged: dict[str, dict[str, str]] = {}
    for name in sorted(settings, key=lambda name: "_" in name):
        merged.setdefault(name.replace("_", "-"), {}).update(settings[name])
    return merged


def _missing(name: str, present: tuple[Installed, ...]) -> Broken:
    known = ", ".join(each.name for each in present) or "none"
    reason = f"There are settings for {display_text(name)}, which is not installed (installed: {known}). "
    return Broken(
        name=name,
        refusal=Refusal.PLUGIN_MISSING,
        reason=reason + "Install it with pip, or remove the settings.",
    )


def _check_shape(given: object, methods: tuple[str, ...], what: str) -> None:
    if given is None:
        return
    lacking = [name for name in methods if not callable(getattr(given, name, None))]
    if lacking or not isinstance(getattr(given, "name", None), str):
        raise PluginBroken(f"What it gives is not {what}: {', '.join(lacking) or 'its name'} is missing.")


def _with_advice(refused: Refused) -> str:
    return f"{refused.message} {refused.remedy.action}" if refused.remedy else refused.message


def _name(broken: Broken) -> str:
    return broken.name
