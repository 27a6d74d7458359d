"""What a data door of a region inside the test process answers by."""

from __future__ import annotations

from openkcm.crypto.data.answer import Answers
from openkcm.crypto.data.counted import Operations
from openkcm.crypto.data.limits import Limits
from openkcm.crypto.here import Here
from openkcm.crypto.tokens import TokenMaker


def answers_of(
    here: Here, *, items_per_s: float = 0, bytes_per_s: float = 0, operations: Operations | None = None
) -> Answers:
    """Without limits, unless they are said."""
    limits = Limits(items_per_s=items_per_s, bytes_per_s=bytes_per_s)
    return Answers(here, TokenMaker(here.root), limits, operations or Operations())
