"""Nonces that this process gave out: good once, within 10 s by its own monotonic clock."""

from __future__ import annotations

from collections import OrderedDict
from os import urandom
from typing import Final

NONCE_BYTES: Final = 32
LIFE_S: Final = 10.0
MOST: Final = 10_000


class Nonces:
    """By tenant; none is ever stored, so that a restart forgets them all."""

    def __init__(self) -> None:
        self._given: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def give(self, tenant: str, *, now: float) -> bytes:
        """A new nonce for this tenant."""
        nonce = urandom(NONCE_BYTES)
        self._given[nonce] = (tenant, now + LIFE_S)
        while len(self._given) > MOST:
            self._given.popitem(last=False)
        return nonce

    def take(self, nonce: bytes, tenant: str, *, now: float) -> bool:
        """Whether it was given out for this tenant within 10 s and not taken before; it is no nonce any more."""
        whose, ends_at = self._given.pop(nonce, ("", 0.0))
        return whose == tenant and now <= ends_at
