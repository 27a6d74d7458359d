"""What keeps a step from its end: the refusal as it is stored, shown and waited for."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from openkcm.kernel.backoff import backoff_s
from openkcm.kernel.commands import command
from openkcm.kernel.log import get_logger
from openkcm.saga.journal import Held, Trouble
from openkcm.saga.step import Made
from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy, Temporary

log = get_logger(__name__)


def trouble_of(held: Held, step: str, refused: Refused) -> Trouble:
    """The refusal with its history: since when, how often, and when it is tried again."""
    before = held.trouble.get(step)
    attempts = before.attempts + 1 if before else 1
    wait_s = max(backoff_s(attempts), refused.retry_after_s or 0.0)
    if isinstance(refused, Permanent):
        wait_s = max(wait_s, 30.0)
    remedy = refused.remedy or Remedy("", "")
    return Trouble(
        refusal=refused.refusal.value,
        # Some of it a plugin or a region wrote, and what the database does not take would be stored nowhere.
        message=display_text(refused.message, max_characters=1024),
        temporary=not isinstance(refused, Permanent),
        attempts=attempts,
        since=before.since if before else held.now,
        next_at=held.now + timedelta(seconds=wait_s),
        action=remedy.action,
        who=remedy.who,
        reference=remedy.reference,
    )


def cancelled(held: Held) -> Trouble:
    """The operator's own word, as a reason to turn back."""
    return Trouble(
        refusal=Refusal.CANCELLED.value,
        message="Setting up was cancelled by the operator.",
        temporary=False,
        attempts=1,
        since=held.now,
        next_at=held.now,
        action=f"Start it again with: {command(f'tenants retry {held.tenant}')}",
        who="operator",
        reference="operate/tenants",
    )


async def within(budget_s: float, work: object, step: str) -> Made:
    """What ``work`` made within its budget; a defect of ours is shown as one and tried again, never undone for."""
    try:
        async with asyncio.timeout(budget_s):
            return await work  # type: ignore[misc,no-any-return]  # the coroutine of Step.do or Step.undo
    except Refused:
        raise
    except TimeoutError as late:
        raise Temporary(Refusal.UNAVAILABLE, f"No answer within {budget_s:.0f} s.") from late
    except Exception as defect:
        raise defect_at(step, defect) from defect


def defect_at(step: str, defect: Exception) -> Temporary:
    """What is stored and shown of an exception that nobody foresaw; the log has it whole."""
    log.error("saga.step_failed", step=step, exc_info=defect)
    return Temporary(Refusal.INTERNAL, "OpenKCM failed at this step; the operator's log says where.")
