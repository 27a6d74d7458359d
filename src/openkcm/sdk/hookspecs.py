"""The hooks that a plugin may implement. Each returns an object; the object's methods are async.

A distribution registers a module under the entry point group ``openkcm``. Plugins are loaded one by one: one that
raises, or has a hook of a name unknown here, is listed with its reason and left out; the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping

import pluggy

from openkcm.sdk.key_store import KeyStorePlugin
from openkcm.sdk.notifier import Notifier
from openkcm.sdk.tenant_source import TenantSource

GROUP = "openkcm"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def openkcm_tenant_source(settings: Mapping[str, str]) -> TenantSource | None:
    """Return the source of tenants that ``settings`` ask for, or None when they ask for none.

    Called once at start of the worker, with the settings under the plugin's own name (``[plugins.NAME]`` or
    ``OPENKCM_PLUGINS__NAME__*``). Raise ``Refused`` for settings that cannot work.
    """


@hookspec
def openkcm_notifier(settings: Mapping[str, str]) -> Notifier | None:
    """Return the notifier that ``settings`` ask for, or None when they ask for none.

    Called once at start of the worker, with the settings under the plugin's own name. Raise ``Refused`` for settings
    that cannot work.
    """


@hookspec
def openkcm_key_store(settings: Mapping[str, str]) -> KeyStorePlugin | None:
    """Return the key store that this plugin gives, or None when ``settings`` switch it off.

    Called with the settings under the plugin's own name, which are the operator's (a module's path, an egress proxy):
    once at start of the web and worker processes, which read the declaration alone and never call ``open``; and once
    in each key-store host, which does. Importing the module must not import the vendor's SDK. Raise ``Refused`` for
    settings that cannot work.
    """
