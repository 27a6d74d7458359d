"""How long to wait before the next try: doubling, jittered so that many do not come back at once, capped."""

from __future__ import annotations

import random

FIRST_S = 0.25
CAP_S = 30.0


def backoff_s(attempt: int, *, draw: float | None = None) -> float:
    """Seconds before try ``attempt + 1``: half of min(30, 0.25 * 2^(attempt-1)) for certain, the other half by chance.

    ``draw`` in [0, 1) replaces chance in tests.
    """
    ceiling = min(CAP_S, FIRST_S * 2.0 ** min(max(attempt - 1, 0), 16))
    chance = random.random() if draw is None else draw  # noqa: S311  # spreads load, guards nothing
    return ceiling / 2 + chance * ceiling / 2
