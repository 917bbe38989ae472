"""What is counted: requests by operation and status, and their time. Labels come from our own lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
)

from serving.problems import Reply

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Counters of one process; with several workers they meet in PROMETHEUS_MULTIPROC_DIR."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "patron_requests",
            "Requests by operation and status.",
            ["operation", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "patron_request_seconds",
            "Time to an answer by operation.",
            ["operation"],
            buckets=BUCKETS,
            registry=self.registry,
        )

        self.known: dict[tuple[str, int], tuple[Any, Any]] = {}

    def observe(self, operation: str, status: int, seconds: float) -> None:
        found = self.known.get((operation, status))
        if found is None:
            found = self.requests.labels(operation, str(status)), self.seconds.labels(operation)
            self.known[operation, status] = found
        requests, took = found
        requests.inc()
        took.observe(seconds)

    def page(self, workers: int) -> Reply:
        """The Prometheus text format, summed over all workers."""
        registry = self.registry
        if workers > 1:
            registry = CollectorRegistry()
            registry.register(OfAllWorkers())
        return Reply(200, generate_latest(registry), {"content-type": CONTENT_TYPE_LATEST})


class OfAllWorkers:
    """Our counters of every worker. Other libraries count in the same folder; theirs are left out."""

    def collect(self) -> Iterable[Any]:
        found = multiprocess.MultiProcessCollector(CollectorRegistry()).collect()
        return [each for each in found if each.name.startswith("patron_")]
