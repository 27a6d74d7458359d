"""The page of the outage choice, read with the tenant's own rights, and what its form picks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from openkcm.catalog.registry import KeyStores
from openkcm.crypto.contract import GOVERNANCE_S, Choice, DesiredPolicy, worst_case
from openkcm.dashboard.key_asked import Wrong
from openkcm.dashboard.keys import shown_keys
from openkcm.dashboard.outage_view import Option, OutagePage, Window
from openkcm.dashboard.overview import home_state
from openkcm.dashboard.root_key import account_off, in_force
from openkcm.kernel.db import Role
from openkcm.keystores.view import shown_key_stores
from openkcm.sdk.refusals import Permanent
from openkcm.web.shell import Account

_OUTAGE_S: Final = (900.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 86_400.0)
_ENCRYPTING_S: Final = (5.0, 30.0, 300.0, 900.0, 3600.0)
_DECRYPTING_S: Final = (60.0, 300.0, 900.0, 3600.0)
_DOUBTFUL_S: Final = (300.0, 900.0, 3600.0, 4 * 3600.0, 86_400.0)


class Picked(msgspec.Struct, frozen=True, kw_only=True):
    """The fields as they were sent, seconds as text; an empty ``outage`` is the choice's own window.

    ``look`` asks for what it comes to, and saves nothing.
    """

    request: str = ""
    choice: str = ""
    outage: str = ""
    doubtful: str = ""
    governance: str = ""
    encrypting: str = ""
    decrypting: str = ""
    look: str = ""


def policy_of(picked: Picked, before: DesiredPolicy) -> DesiredPolicy:
    """What was picked; lives of leases that a form did not have stay as they are. Raises ``Wrong``."""
    if picked.choice not in set(Choice):
        raise Wrong("Nothing was changed. Choose one of the three.")
    choice = Choice(picked.choice)
    # Who stops at once has no window: whatever is picked in that list counts for nothing.
    outage_s = _seconds(picked.outage) if picked.outage and choice is not Choice.FAIL_CLOSED else None
    wanted = msgspec.structs.replace(
        before,
        choice=choice,
        outage_s=outage_s,
        doubtful_s=_seconds(picked.doubtful),
        governance_s=_seconds(picked.governance),
        encrypting_s=_seconds(picked.encrypting) if picked.encrypting else before.encrypting_s,
        decrypting_s=_seconds(picked.decrypting) if picked.decrypting else before.decrypting_s,
    )
    try:
        wanted.policy()
    except Permanent as refused:
        raise Wrong(f"Nothing was changed. {refused.message}") from refused
    return wanted


async def outage_page(
    account: Account, stores: KeyStores, *, now: datetime, request: str, picked: Picked | None = None
) -> tuple[OutagePage, DesiredPolicy]:
    """The page, with what is picked (at first: what is in force) and what that comes to; and the choice itself.

    What cannot be picked is said on the page, which then shows what is in force.

    Raises:
        Temporary: DATABASE_UNAVAILABLE.
    """
    keys = await shown_keys(account.id, role=Role.APP)
    found = await shown_key_stores(account.id, stores, role=Role.APP)
    before, wrong = found.outage.policy, ""
    wanted = before
    if picked is not None:
        try:
            wanted = policy_of(picked, before)
        except Wrong as why:
            wrong = str(why)
    root, _ = in_force(found)
    page = OutagePage(
        account=account,
        state=home_state(keys.presence, keys.ends_at, now=now),
        root=root,
        in_force=found.outage,
        choice=wanted.choice.value,
        windows=windows(wanted),
        lives=lives(wanted),
        worst=worst_case(wanted.policy()),
        request=request,
        wrong=wrong,
        why_not=account_off(keys),
    )
    return page, wanted


def windows(wanted: DesiredPolicy) -> tuple[Window, ...]:
    """The lists of the page, with what is picked; a value that a command gave is one of them too."""
    return (
        Window(
            name="outage",
            label="Outage window",
            hint="For how long it goes on without an answer, counted from the last one.",
            options=(
                Option(value="", seconds=None, picked=wanted.outage_s is None),
                *_options(_OUTAGE_S, wanted.outage_s),
            ),
        ),
        Window(
            name="doubtful",
            label="Doubtful window",
            hint="For how long after an answer that a mistake of ours would look like too. "
            "Never longer than the outage window.",
            options=tuple(_options(_DOUBTFUL_S, wanted.doubtful_s)),
        ),
        Window(
            name="governance",
            label="Governance window",
            hint="For how long a region goes on that does not hear from control, where you revoke. Then it stops.",
            options=tuple(_options(GOVERNANCE_S, wanted.governance_s)),
        ),
    )


def lives(wanted: DesiredPolicy) -> tuple[Window, ...]:
    """For how long applications may use a data key that they hold, without asking again."""
    return (
        Window(
            name="encrypting",
            label="To encrypt",
            hint="Read-only and revoke reach an application that encrypts within this time. "
            "While OpenKCM cannot be reached it encrypts for no longer. Never longer than to decrypt: the same key "
            "opens.",
            options=tuple(_options(_ENCRYPTING_S, wanted.encrypting_s)),
        ),
        Window(
            name="decrypting",
            label="To decrypt",
            hint="A revoke reaches an application that decrypts within this time. "
            "While OpenKCM cannot be reached it decrypts for no longer.",
            options=tuple(_options(_DECRYPTING_S, wanted.decrypting_s)),
        ),
    )


def _options(usual: Sequence[float], picked: float | None) -> Sequence[Option]:
    values = sorted({*usual, *(() if picked is None else (picked,))})
    return [Option(value=f"{value:g}", seconds=value, picked=value == picked) for value in values]


def _seconds(given: str) -> float:
    if not (given.isascii() and given.isdigit() and len(given) <= 6):
        raise Wrong("Nothing was changed. A window is picked from its list.")
    return float(given)
