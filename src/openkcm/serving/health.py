"""``/healthz`` (the process answers), ``/readyz`` (it can do its work) and ``/metrics``, the same in every process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from openkcm.serving.connections import CONNECTIONS

_ROLLUP: Final = Path("/proc/self/smaps_rollup")


class Health(msgspec.Struct, frozen=True):
    """``ready`` says whether requests are answered as they should be, ``reasons`` why not."""

    ready: bool
    reasons: tuple[str, ...] = ()


def health_routes(ready: Callable[[], Health], registry: CollectorRegistry) -> list[HTTPRouteHandler]:
    """The three handlers. ``ready`` is asked at each request and must not wait for anything."""
    registry.register(_Memory())
    registry.register(CONNECTIONS)

    @get("/healthz", sync_to_thread=False, summary="The process answers")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @get("/readyz", sync_to_thread=False, summary="The process can do its work, or why not (503)")
    def readyz() -> Response[Health]:
        health = ready()
        return Response(health, status_code=200 if health.ready else 503)

    @get("/metrics", sync_to_thread=False, summary="Prometheus metrics", media_type="text/plain")
    def metrics() -> Response[bytes]:
        return Response(
            generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    return [healthz, readyz, metrics]


class _Memory(Collector):
    """A process that is not dumpable hides its memory from others, so it reports its own."""

    def collect(self) -> list[GaugeMetricFamily]:
        try:
            pairs = (line.split() for line in _ROLLUP.read_text("ascii").splitlines()[1:])
            sizes = {pair[0]: float(pair[1]) * 1024 for pair in pairs}
        except OSError:
            return []
        words = "Proportional share of memory (PSS) of this process."
        return [GaugeMetricFamily("openkcm_memory_pss_bytes", words, value=sizes.get("Pss:", 0.0))]
