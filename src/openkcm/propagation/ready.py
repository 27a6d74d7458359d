"""The mail that says that an account's encryption is on and its pages are open."""

from __future__ import annotations

from datetime import datetime

from openkcm.notices.letters import ReadyLetter
from openkcm.tenancy.model import Tenant


def ready_letter(
    tenant: Tenant, address: str, regions: tuple[str, ...], *, now: datetime, again_at: datetime | None = None
) -> ReadyLetter:
    """The letter to whoever owns the account, at once or when they become known. ``again_at``: a second try's start."""
    return ReadyLetter(
        tenant=tenant.id,
        account_name=tenant.label,
        address=address,
        protected_at=tenant.protected_at or now,
        took_s=tenant.ready_after_s(again_at),
        regions=regions,
    )
