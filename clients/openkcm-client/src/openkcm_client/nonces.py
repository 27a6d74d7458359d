"""Where the nonces of messages come from: out of the kernel, each when it is asked for.

A stock of them, drawn together, would be quicker, and be used twice by two copies of one running machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable


def _kernel() -> Callable[[int], bytes]:
    draw = getattr(os, "getrandom", None)
    if draw is not None:
        try:
            draw(1)
        except OSError:  # a kernel or a sandbox that does not know the call
            return os.urandom
    return draw or os.urandom


draw = _kernel()
"""So many random bytes. ``getrandom`` where there is one: it is what ``urandom`` calls, an eighth quicker."""
