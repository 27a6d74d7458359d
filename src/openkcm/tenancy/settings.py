"""What holds for every tenant, whatever source it came from."""

from __future__ import annotations

import msgspec

LEAST_GRACE_S = 7 * 24 * 3600.0


class TenantsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tenants begin and end."""

    regions: tuple[str, ...] = ()
    """The region set of a new tenant, first the one that makes its keys; empty: every region that control dials."""
    grace_s: float = 30 * 24 * 3600.0
    """How long an uninstalled or deleted tenant's keys are kept; at least 604800 (7 days)."""
    owner_wait_s: float = 30.0
    """How long a source may take to say who made an account before the operator is asked to name its owner."""
    key_wait_s: float = 30 * 24 * 3600.0
    """How long a single key that is to be destroyed is kept, unless somebody uses it; at least 604800 (7 days)."""
    short_grace: bool = False
    """Allow ``grace_s`` and ``key_wait_s`` below 7 days. For development only; ``doctor`` shows it in red."""

    def __post_init__(self) -> None:
        if self.grace_s < LEAST_GRACE_S and not self.short_grace:
            raise ValueError("grace_s is below 604800 (7 days), which short_grace alone allows")
        if self.key_wait_s < LEAST_GRACE_S and not self.short_grace:
            raise ValueError("key_wait_s is below 604800 (7 days), which short_grace alone allows")
        if self.key_wait_s < 0:
            raise ValueError("key_wait_s is 0 or more")
        if self.owner_wait_s < 0:
            raise ValueError("owner_wait_s is 0 or more")
        if self.grace_s <= 0:
            raise ValueError("grace_s is more than 0")
        if len(set(self.regions)) != len(self.regions):
            raise ValueError("regions names a region twice")
