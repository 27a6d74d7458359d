"""A key store's declaration, from the plugins that are installed: all that control knows of one."""

from __future__ import annotations

from openkcm.catalog.registry import KeyStores
from openkcm.sdk.key_store import Declaration
from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Permanent, Refusal, Remedy


def declared(stores: KeyStores, name: str) -> Declaration:
    """What the key store of this name declares.

    Raises:
        Permanent: PLUGIN_MISSING; PLUGIN_BROKEN, there are plugins that are not whole and it may be one of them.
    """
    if (plugin := stores.plugins.get(name)) is not None:
        return plugin.declaration
    shown = display_text(name, max_characters=32)
    if stores.broken:
        reasons = " ".join(f"{broken.name} is left out: {broken.reason}" for broken in stores.broken)
        raise Permanent(
            Refusal.PLUGIN_BROKEN,
            f"No key store that is whole is called '{shown}'. {reasons}",
            remedy=Remedy(
                "Install the plugin again, or another version of it.", "operator", "reference/hooks"
            ),
        )
    known = ", ".join(sorted(stores.plugins)) or "none"
    raise Permanent(
        Refusal.PLUGIN_MISSING,
        f"No installed key store is called '{shown}' (installed: {known}).",
        remedy=Remedy(
            "Install its distribution, for control and every region.", "operator", "reference/key-stores"
        ),
    )
