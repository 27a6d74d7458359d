"""How much one tenant may ask of one process: items and bytes a second, in buckets that refill by themselves."""

from __future__ import annotations

from typing import Final

from openkcm.sdk.refusals import Refusal, Remedy, Temporary

BURST_S: Final = 1.0
"""So much of its rate may come at once. What is begun within it is finished, and paid for by waiting."""
_SWEEP_AT: Final = 10_000


class Limits:
    """Of each tenant two times: until when its rate of items, and of bytes, is used up. A rate of 0 is none."""

    __slots__ = ("_bytes_s", "_items_s", "_used_until")

    def __init__(self, *, items_per_s: float, bytes_per_s: float) -> None:
        self._items_s = 1 / items_per_s if items_per_s else 0.0
        self._bytes_s = 1 / bytes_per_s if bytes_per_s else 0.0
        self._used_until: dict[str, list[float]] = {}

    def check(self, tenant: str, now: float) -> None:
        """The tenant may ask for something at ``now`` (monotonic seconds).

        Raises:
            Temporary: TOO_MANY, with the time after which it may.
        """
        used = self._used_until.get(tenant)
        if used is not None and (over_s := max(used) - now - BURST_S) > 0:
            raise Temporary(
                Refusal.TOO_MANY,
                f"Tenant '{tenant}' asks for more than one process of this region gives it.",
                remedy=Remedy(
                    "Wait as long as Retry-After says; ask less often, or have the limit raised.",
                    "caller",
                    "reference/crypto-service#limits",
                ),
                retry_after_s=over_s,
            )

    def take(self, tenant: str, items: int, size: int, now: float) -> None:
        """The tenant asks for so many items, in so many bytes.

        Raises:
            Temporary: as ``check``; then nothing of it counts.
        """
        self.check(tenant, now)
        used = self._used_until.get(tenant)
        if used is None:
            if len(self._used_until) >= _SWEEP_AT:
                self._used_until = {name: both for name, both in self._used_until.items() if max(both) > now}
            used = self._used_until[tenant] = [now, now]
        by_items, by_bytes = used
        used[0] = (by_items if by_items > now else now) + items * self._items_s
        used[1] = (by_bytes if by_bytes > now else now) + size * self._bytes_s
