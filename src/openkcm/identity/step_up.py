"""A fresh proof of who asks, where an action gives a key away or ends it."""

from __future__ import annotations

from openkcm.sdk.refusals import Permanent, Refusal, Remedy


def check_step_up(action: str, *, without_step_up: bool) -> None:
    """Who asks has just proven again who they are, or the operator has set this installation to do without.

    Raises:
        Permanent: STEP_UP_NEEDED.
    """
    if not without_step_up:
        raise Permanent(
            Refusal.STEP_UP_NEEDED,
            f"'{action}' wants a fresh proof of who asks, which this release cannot take yet.",
            remedy=Remedy(
                "On a machine for trials, set control.unsafe_without_step_up; doctor shows it in red.",
                "operator",
                "operate/keys#step-up",
            ),
        )
