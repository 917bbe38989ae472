"""What churn and lifetime value share: customers at rolling cutoffs, read once, with what they did next."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from features.build import built_cutoffs
from features.offline import historical, snapshot
from features.rows import Rows
from patron.settings import Settings
from training.bootstrap import Indices
from training.consent import withheld
from training.job import Job
from training.labels import Orders
from training.windows import split


@dataclass(frozen=True)
class Followed:
    """Customers at one cutoff, with their orders and their revenue (net of returns) within the horizon."""

    rows: Rows
    orders: NDArray[np.float64]
    revenue: NDArray[np.float64]

    def take(self, at: NDArray[Any]) -> Followed:
        return Followed(self.rows.take(at), self.orders[at], self.revenue[at])


class CustomerJob(Job):
    """A job over customers at cutoffs. Subclasses name the features and may leave customers out."""

    def __init__(self, settings: Settings, overrides: dict[str, Any] | None = None) -> None:
        super().__init__(settings, overrides)
        self.orders = Orders(settings)
        self.horizon_days = self.horizon()
        self.judged, self.shipped = split(built_cutoffs(settings), self.horizon_days)
        self.test, self.cutoff = self.judged.test, self.shipped.test

    @abstractmethod
    def horizon(self) -> int:
        """Days that a label covers."""

    @abstractmethod
    def inputs(self) -> list[str]:
        """Feast references that the rows hold."""

    def cutoffs(self) -> list[datetime]:
        """Every cutoff that a fit, a calibration or the test needs."""
        windows = (self.judged, self.shipped)
        return sorted({self.test, *(c for each in windows for c in (*each.fit, each.calibrate))})

    def eligible(self, rows: Rows, cutoff: datetime) -> NDArray[np.bool_]:
        """Who is judged and learned from."""
        return np.ones(len(rows), dtype=bool)

    def with_overrides(self, overrides: dict[str, Any]) -> Self:
        _ = self.data  # read once, for all copies
        return super().with_overrides(overrides)

    @cached_property
    def data(self) -> dict[datetime, Followed]:
        """Customers of every cutoff, read once through Feast."""
        cutoffs = self.cutoffs()
        references = self.inputs()
        refused = withheld(self.settings)
        people = [
            [each for each in snapshot(self.settings, references[:1], cutoff).ids if each not in refused]
            for cutoff in cutoffs
        ]
        ids = [each for group in people for each in group]
        moments = [cutoff for cutoff, group in zip(cutoffs, people, strict=True) for _ in group]
        rows = historical(self.settings, ids, moments, references)
        found, start = {}, 0
        for cutoff, group in zip(cutoffs, people, strict=True):
            found[cutoff] = self.followed(rows.take(np.arange(start, start + len(group))), cutoff)
            start += len(group)
        return found

    def followed(self, rows: Rows, cutoff: datetime) -> Followed:
        rows = rows.take(self.eligible(rows, cutoff))
        return Followed(rows, *self.orders.after(rows.ids, cutoff, self.horizon_days))

    def slices(self) -> dict[str, Indices]:
        """Groups of the test's customers in which a challenger may not get much worse."""
        columns = self.data[self.test].rows.columns
        orders, tenure = columns["orders_total"], columns["tenure_days"]
        return {
            "one order": np.flatnonzero(orders == 1),
            "2 to 5 orders": np.flatnonzero((orders > 1) & (orders <= 5)),
            "over 5 orders": np.flatnonzero(orders > 5),
            "new within 90 days": np.flatnonzero(tenure <= 90),
        }

    def window_facts(self) -> dict[str, Any]:
        return {
            "horizon_days": self.horizon_days,
            "fit_cutoffs": f"{self.judged.fit[0]:%Y-%m-%d} .. {self.judged.fit[-1]:%Y-%m-%d} "
            f"({len(self.judged.fit)})",
            "calibration_cutoff": f"{self.judged.calibrate:%Y-%m-%d}",
            "test_cutoff": f"{self.test:%Y-%m-%d}",
            "fit_rows": sum(len(self.data[each].rows) for each in self.judged.fit),
            "test_customers": len(self.data[self.test].rows),
        }


def stacked(parts: Sequence[Followed]) -> Followed:
    """Several cutoffs as one; `as_of` is the last one's."""
    names = parts[0].rows.columns
    rows = Rows(
        ids=[each for part in parts for each in part.rows.ids],
        columns={name: np.concatenate([part.rows.columns[name] for part in parts]) for name in names},
        known=np.concatenate([part.rows.known for part in parts]),
        as_of=parts[-1].rows.as_of,
    )
    return Followed(
        rows,
        np.concatenate([part.orders for part in parts]),
        np.concatenate([part.revenue for part in parts]),
    )
