"""A small drawing of a key whose teeth follow its id, so that two ids that differ look different."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

_TEETH: Final = 7
_LEFT: Final = 20
_PITCH: Final = 5
_TOP: Final = 8
_DEPTHS: Final = (0, 2, 4, 6)


@lru_cache(maxsize=4096)
def key_shape(key_id: str) -> str:
    """The outline as SVG path data in a box of 58 by 14: a bow, a shaft and seven teeth.

    A tooth is as deep as its byte of SHA-256(id) modulo four says. Decoration only: the id stands beside it.
    """
    digest = hashlib.sha256(key_id.encode()).digest()
    path = ["M.5 7a6.5 6.5 0 0 1 12.68-2H55l2 1.5L55.5 8H"]
    right = _LEFT + _TEETH * _PITCH
    path.append(f"{right}")
    for tooth in reversed(range(_TEETH)):
        depth = _DEPTHS[digest[tooth] % 4]
        left = _LEFT + tooth * _PITCH
        if depth:
            path.append(f"V{_TOP + depth}H{left + 2}V{_TOP}")
        path.append(f"H{left}")
    path.append("H13.42A6.5 6.5 0 0 1 .5 7zM2.6 7a4.4 4.4 0 1 0 8.8 0a4.4 4.4 0 1 0-8.8 0z")
    return "".join(path)
