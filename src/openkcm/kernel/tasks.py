"""Ending a task that one has begun, without losing the wish that one should end oneself."""

from __future__ import annotations

import asyncio
from typing import Any

from openkcm.kernel.log import get_logger

log = get_logger(__name__)


async def ended(task: asyncio.Future[Any]) -> None:
    """The task is over. Were it awaited, a cancellation that is meant for the caller would pass for the task's own."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and (defect := task.exception()) is not None:
        log.warning("task.failed", error=type(defect).__name__)
