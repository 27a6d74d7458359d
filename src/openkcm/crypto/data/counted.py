"""The data plane's own numbers, kept as numbers: they are metrics only when somebody reads them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BOUNDS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Operations(Collector):
    """What was asked for, item by item, and how long whole requests took from their last byte to the answer."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Items by verb and outcome, but those that were asked for singly and done: their times count them."""
        # Of each the buckets' own counts, the last one's above all bounds; then the sum of seconds.
        self._took: defaultdict[tuple[str, str], list[float]] = defaultdict(
            lambda: [0.0] * (len(BOUNDS_S) + 2)
        )

    def took(self, verb: str, form: str, seconds: float) -> None:
        """A request of this verb (``form``: single or batch) was answered within ``seconds``, a single one with what it
        asked for.
        """
        took = self._took[verb, form]
        took[bisect_left(BOUNDS_S, seconds)] += 1
        took[-1] += seconds

    def _singly_done(self) -> Counter[tuple[str, str]]:
        return Counter(
            {
                (verb, "done"): round(sum(took[:-1]))
                for (verb, form), took in self._took.items()
                if form == "single"
            }
        )

    def collect(self) -> Iterator[Metric]:
        counted = CounterMetricFamily(
            "openkcm_data_operations",
            "Data-plane operations by verb and outcome (done, or the refusal's code).",
            labels=("verb", "outcome"),
        )
        for name, items in (self.outcomes + self._singly_done()).items():
            counted.add_metric(name, items)
        yield counted
        took = HistogramMetricFamily(
            "openkcm_data_seconds",
            "From a request's last byte to its answer, by verb and form (single, batch).",
            labels=("verb", "form"),
        )
        for name, (*counts, sum_s) in self._took.items():
            total, buckets = 0.0, []
            for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), counts, strict=True):
                total += count
                buckets.append((bound, total))
            took.add_metric(name, buckets, sum_value=sum_s)
        yield took
