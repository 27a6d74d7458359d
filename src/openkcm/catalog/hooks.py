"""One plugin's hooks, each called by itself; whatever a plugin does wrong becomes one reason for the operator."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from types import ModuleType

import pluggy

from openkcm.catalog.registry import Installed
from openkcm.sdk import hookspecs
from openkcm.sdk.declared import declaration_faults
from openkcm.sdk.key_store import Declaration, KeyStorePlugin
from openkcm.sdk.notifier import Notifier
from openkcm.sdk.refusals import Refusal, Refused
from openkcm.sdk.tenant_source import TenantSource

GROUP = hookspecs.GROUP
_SHOWN_FAULTS = 5
_log = logging.getLogger(__name__)


class PluginBroken(Exception):
    """The plugin cannot be used; ``str()`` is the reason, for the operator."""

    def __init__(self, reason: str, refusal: Refusal = Refusal.PLUGIN_BROKEN) -> None:
        super().__init__(reason)
        self.refusal = refusal


class Hooks:
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
        """The source that these settings ask for."""
        given = self._call("openkcm_tenant_source", settings)
        _check_shape(given, ("list", "watch", "report", "aclose"), "a tenant source")
        return given  # type: ignore[return-value]  # its methods were just looked for

    def notifier(self, settings: Mapping[str, str]) -> Notifier | None:
        """The notifier that these settings ask for."""
        given = self._call("openkcm_notifier", settings)
        _check_shape(given, ("takes", "send", "aclose"), "a notifier")
        return given  # type: ignore[return-value]  # its methods were just looked for

    def key_store(self, settings: Mapping[str, str]) -> KeyStorePlugin | None:
        """What it gives, of which nothing but the declaration is looked at; nothing is opened."""
        given = self._call("openkcm_key_store", settings)
        if given is None:
            return None
        try:
            declaration = getattr(given, "declaration", None)
        except Exception as failed:  # noqa: BLE001 - whatever a plugin raises, the others go on
            raise PluginBroken(f"Its declaration failed with {type(failed).__name__}.") from None
        if not isinstance(declaration, Declaration) or not callable(getattr(given, "open", None)):
            raise PluginBroken("What it gives is not a key store: declaration or open is missing.")
        if faults := declaration_faults(declaration):
            more = f" And {len(faults) - _SHOWN_FAULTS} more." if len(faults) > _SHOWN_FAULTS else ""
            raise PluginBroken(f"Its declaration is not whole. {' '.join(faults[:_SHOWN_FAULTS])}{more}")
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


def hooks_of(plugin: Installed) -> Hooks:
    """The plugin's hooks; its module is imported now. Raises ``PluginBroken``."""
    try:
        module = importlib.import_module(plugin.module)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as failed:  # noqa: BLE001 - one that calls sys.exit at import is a broken plugin
        _log.debug("plugin's import failed", exc_info=failed)
        missing = f" (no module {failed.name})" if isinstance(failed, ModuleNotFoundError) else ""
        raise PluginBroken(f"It cannot be imported: {type(failed).__name__}{missing}.") from None
    return Hooks(plugin.name, module)


def the_one(name: str, present: tuple[Installed, ...]) -> Installed:
    """The plugin of this name. Raises ``PluginBroken`` where several distributions announce one."""
    found = [each for each in present if each.name == name]
    if len(found) > 1:
        announcing = ", ".join(each.distribution for each in found)
        raise PluginBroken(f"More than one distribution announces it: {announcing}. Uninstall all but one.")
    return found[0]


def _check_shape(given: object, methods: tuple[str, ...], what: str) -> None:
    if given is None:
        return
    lacking = [name for name in methods if not callable(getattr(given, name, None))]
    if lacking or not isinstance(getattr(given, "name", None), str):
        raise PluginBroken(f"What it gives is not {what}: {', '.join(lacking) or 'its name'} is missing.")


def _with_advice(refused: Refused) -> str:
    return f"{refused.message} {refused.remedy.action}" if refused.remedy else refused.message
