"""How often tokens may be asked for: by an address that proves nothing, and by a tenant's own callers. In memory.

Nobody's failures count for a tenant: whoever knows its name could lock its applications out so.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from openkcm.sdk.refusals import Refusal, Remedy, Temporary

PER_S: Final = 20.0
"""Failed exchanges of one address (of IPv6: of one /64), on the long run."""
BURST: Final = 200.0
TENANT_PER_S: Final = 100.0
"""Tokens of one tenant, on the long run."""
TENANT_BURST: Final = 1000.0
MOST: Final = 10_000
"""Addresses and tenants that are remembered; whoever was idle for longest is forgotten."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Buckets:
    """Each name has ``burst`` at once and ``per_s`` on the long run. ``now`` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float], *, per_s: float, burst: float, most: int = MOST) -> None:
        self._now = now
        self._per_s = per_s
        self._burst = burst
        self._most = most
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_s(self, name: str) -> float:
        """In how many seconds there is one more for this name; 0 for now."""
        bucket = self._buckets.get(name)
        if bucket is None:
            return 0.0
        return max(0.0, (1.0 - self._left(bucket)) / self._per_s)

    def take(self, name: str) -> None:
        """One is gone."""
        now = self._now()
        bucket = self._buckets.get(name)
        left = self._burst if bucket is None else self._left(bucket)
        self._buckets[name] = _Bucket(max(0.0, left - 1.0), now)
        self._buckets.move_to_end(name)
        while len(self._buckets) > self._most:
            self._buckets.popitem(last=False)

    def _left(self, bucket: _Bucket) -> float:
        return min(self._burst, bucket.left + (self._now() - bucket.at) * self._per_s)


class Limits:
    """Those of one process."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._failed = Buckets(now, per_s=PER_S, burst=BURST)
        self._issued = Buckets(now, per_s=TENANT_PER_S, burst=TENANT_BURST)

    def check_address(self, address: str) -> None:
        """This address has not failed too often. Costs less than reading what it sends.

        Raises:
            Temporary: TOO_MANY.
        """
        if (wait_s := self._failed.wait_s(_network(address))) > 0:
            raise _too_many("From this address too many exchanges have failed.", wait_s)

    def failed(self, address: str) -> None:
        """It has sent what proves nothing."""
        self._failed.take(_network(address))

    def issue(self, tenant: str) -> None:
        """One of the tenant's callers, who has proven to be one, gets a token.

        Raises:
            Temporary: TOO_MANY.
        """
        if (wait_s := self._issued.wait_s(tenant)) > 0:
            raise _too_many(f"Tenant '{tenant}' asks for too many tokens.", wait_s)
        self._issued.take(tenant)


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))


def _too_many(message: str, wait_s: float) -> Temporary:
    return Temporary(
        Refusal.TOO_MANY,
        message,
        remedy=Remedy(
            "Wait; a token is good for 15 minutes, keep it so long.", "caller", "reference/callers#limits"
        ),
        retry_after_s=wait_s,
    )
