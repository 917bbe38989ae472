"""What a phase of load says: requests per second, latency percentiles, errors, CPU time a request."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

ANSWERED = range(200, 300)
LOST = 0
"""The status of a request whose connection broke before the answer."""
UNANSWERED = -1
"""The status of a request that had no answer when the phase ended."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all are not above (nearest rank); NaN of none.

    Raises ValueError unless 0 < share <= 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"A share is over 0 and at most 1. Found {share}")
    if not values:
        return math.nan
    # The rounding takes back what the product of binary fractions adds: 0.07 * 100 is just above 7.
    return sorted(values)[math.ceil(round(share * len(values), 9)) - 1]


@dataclass
class Phase:
    """One load on one server: what came back, and what it cost."""

    seconds: float = 0.0
    """From the first request to the last answer."""
    latencies: dict[str, list[float]] = field(default_factory=dict)
    """Kind of request -> seconds of each that was answered with 2xx."""
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    """Some answers of each kind, to look into."""
    cpu_seconds: float = 0.0
    """Of all the server's processes."""
    beside_seconds: float = 0.0
    """CPU time of the store that the server asks, where that is a process of its own."""
    own_seconds: float = 0.0
    """CPU time of the load generator: near `seconds`, it is what was measured."""

    def count(self, kind: str, status: int, latency: float) -> None:
        self.statuses.setdefault(kind, Counter())[status] += 1
        if status in ANSWERED:
            self.latencies.setdefault(kind, []).append(latency)

    def answered(self, kind: str | None = None) -> int:
        return sum(len(each) for name, each in self.latencies.items() if kind in (None, name))

    @property
    def ended(self) -> int:
        """All that the server worked on, errors among them."""
        return sum(n for each in self.statuses.values() for status, n in each.items() if status != UNANSWERED)

    @property
    def errors(self) -> Counter[int]:
        """Status -> how many, of all that are not 2xx."""
        total: Counter[int] = sum(self.statuses.values(), Counter())
        return Counter({status: n for status, n in total.items() if status not in ANSWERED})

    @property
    def rate(self) -> float:
        """Answered requests a second."""
        return self.answered() / self.seconds if self.seconds else math.nan

    @property
    def cpu_micros(self) -> float:
        """CPU microseconds of the server a request."""
        return 1e6 * self.cpu_seconds / self.ended if self.ended else math.nan

    @property
    def beside_micros(self) -> float:
        return 1e6 * self.beside_seconds / self.ended if self.ended else math.nan

    def millis(self, share: float, kind: str | None = None) -> float:
        """A latency percentile in milliseconds."""
        values = [each for name, found in self.latencies.items() if kind in (None, name) for each in found]
        return 1e3 * percentile(values, share)


def middle(phases: Sequence[Phase], what: str) -> float:
    """The median over rounds of one of a phase's numbers."""
    return median(getattr(each, what) for each in phases) if phases else math.nan
