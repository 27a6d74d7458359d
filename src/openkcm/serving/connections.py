"""How many connections one process holds, and how many of them for one address: what is over it is closed at once."""

from __future__ import annotations

import ipaddress
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from openkcm.kernel.log import get_logger

log = get_logger(__name__)

MOST: Final = 10_000
"""The most connections, however many files the process may open."""
_SAY_EVERY_S: Final = 10.0


def most_connections() -> int:
    """10,000, or half of the files that this process may open: the rest is for the database, regions and logs."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(1, min(MOST, soft // 2))


class Connections(Collector):
    """The open connections of a process by address, and what was refused since its start, by reason.

    One address has at most half of them; those of this machine are not told apart, for they are a proxy's, or ours.
    """

    def __init__(self, most: Callable[[], int] = most_connections) -> None:
        self.most = most
        self.open = 0
        self.refused: Counter[str] = Counter()
        self._by_address: Counter[str] = Counter()
        self._said_at = float("-inf")
        self._unsaid = 0

    def admit(self, address: str) -> bool:
        """Whether one more of ``address`` is taken; who is taken is given back by ``release``."""
        most = self.most()
        if self.open >= most:
            self._refuse("connections", address)
            return False
        if self._by_address[address] >= max(1, most // 2) and not _of_this_machine(address):
            self._refuse("address", address)
            return False
        self.open += 1
        self._by_address[address] += 1
        return True

    def release(self, address: str) -> None:
        """One that was admitted is gone."""
        self.open -= 1
        self._by_address[address] -= 1
        if self._by_address[address] <= 0:
            del self._by_address[address]

    def collect(self) -> Iterable[Metric]:
        """The two metrics of every process that has doors."""
        yield GaugeMetricFamily("openkcm_connections", "Open connections of this process.", value=self.open)
        refused = CounterMetricFamily(
            "openkcm_connections_refused", "Connections closed for a limit, by the limit.", labels=["limit"]
        )
        for limit, count in sorted(self.refused.items()):
            refused.add_metric([limit], count)
        yield refused

    def _refuse(self, limit: str, address: str) -> None:
        self.refused[limit] += 1
        self._unsaid += 1
        if (now := time.monotonic()) - self._said_at >= _SAY_EVERY_S:
            log.warning(
                "serving.connections_refused",
                limit=limit,
                newest=address,
                refused=self._unsaid,
                open=self.open,
                most=self.most(),
            )
            self._said_at, self._unsaid = now, 0


CONNECTIONS: Final = Connections()
"""Those of this process, whichever of its doors they came through."""
HANDSHAKES: Final = Connections(lambda: most_connections() // 4)
"""TLS handshakes under way, at all doors: they come on top of the connections."""


@lru_cache(maxsize=1024)
def _of_this_machine(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:  # a local socket has no address
        return True
