"""What churn and lifetime value share: customers at rolling cutoffs, read once, with what they did next."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from features.build import built_cutoffs
from features.offline import historical, snapshot
from features.rows import Rows
from patron.errors import DataError
from patron.settings import Settings
from training.bootstrap import Indices
from training.consent import withheld
from training.job import Job
from training.labels import Orders
from training.windows import Windows, ending_at, last_test


@dataclass(frozen=True)
class Followed:
    """Customers at one cutoff, with their orders and their revenue (net of returns) within the horizon."""

    rows: Rows
    orders: NDArray[np.float64]
    revenue: NDArray[np.float64]

    def take(self, at: NDArray[Any]) -> Followed:
        return Followed(self.rows.take(at), self.orders[at], self.revenue[at])


class CustomerJob(Job):
    """A job over customers at cutoffs. Subclasses name the features and may leave customers out.

    `rivals` are the kinds that a backtest holds every other one against.
    """

    rivals: ClassVar[tuple[str, ...]]

    def __init__(self, settings: Settings, overrides: dict[str, Any] | None = None) -> None:
        super().__init__(settings, overrides)
        self.orders = Orders(settings)
        self.horizon_days = self.horizon()
        self.built = built_cutoffs(settings)
        self.left_out: dict[str, int] = {}
        self.pool: dict[tuple[datetime, tuple[str, ...]], Rows] = {}
        self.test, self.cutoff = last_test(self.built, self.horizon_days), max(self.built)
        self.judged, self.shipped = self.windows(self.test), self.windows(self.cutoff)

    @abstractmethod
    def horizon(self) -> int:
        """Days that a label covers."""

    @abstractmethod
    def inputs(self) -> list[str]:
        """Feast references that the rows hold."""

    def windows(self, test: datetime) -> Windows:
        """What fits and calibrates a model that sees nothing from `test` on. Raises DataError."""
        return ending_at(self.built, test, self.horizon_days)

    def learns(self, windows: Windows) -> list[datetime]:
        """The cutoffs that a model of these windows is fitted and calibrated on."""
        return [*windows.fit, windows.calibrate]

    def tests(self) -> list[datetime]:
        """Every cutoff that a model can be judged from: labels are known, and a history lies before it."""
        return [
            each
            for each in self.built
            if each <= last_test(self.built, self.horizon_days) and self.fits(each)
        ]

    def fits(self, test: datetime) -> bool:
        try:
            self.windows(test)
        except DataError:
            return False
        return True

    def at(self, test: datetime) -> Self:
        """The same job judged from an earlier cutoff on, with nothing to ship; rows are read once for all."""
        other = copy(self)
        for made in ("data", "browsing"):
            vars(other).pop(made, None)
        other.judged = other.shipped = self.windows(test)
        other.test = other.cutoff = test
        other.left_out = {}
        other.forget()
        return other

    def cutoffs(self) -> list[datetime]:
        """Every cutoff that a fit, a calibration or the test needs."""
        windows = (self.judged, self.shipped)
        return sorted({self.test, *(c for each in windows for c in (*each.fit, *self.learns(each)))})

    def eligible(self, rows: Rows, cutoff: datetime) -> NDArray[np.bool_]:
        """Who is judged and learned from."""
        return np.ones(len(rows), dtype=bool)

    def with_overrides(self, overrides: dict[str, Any]) -> Self:
        _ = self.data  # read once, for all copies
        return super().with_overrides(overrides)

    @cached_property
    def data(self) -> dict[datetime, Followed]:
        """Customers of every cutoff, with what they did next."""
        cutoffs, references = self.cutoffs(), tuple(self.inputs())
        self.read([each for each in cutoffs if (each, references) not in self.pool], references)
        return {cutoff: self.followed(self.pool[cutoff, references], cutoff) for cutoff in cutoffs}

    def read(self, cutoffs: list[datetime], references: tuple[str, ...]) -> None:
        """Customers at these cutoffs into the pool, read once through Feast."""
        if not cutoffs:
            return
        refused = withheld(self.settings)
        people = [
            [each for each in snapshot(self.settings, references[:1], cutoff).ids if each not in refused]
            for cutoff in cutoffs
        ]
        ids = [each for group in people for each in group]
        moments = [cutoff for cutoff, group in zip(cutoffs, people, strict=True) for _ in group]
        rows, start = historical(self.settings, ids, moments, references), 0
        for cutoff, group in zip(cutoffs, people, strict=True):
            self.pool[cutoff, references] = rows.take(np.arange(start, start + len(group)))
            start += len(group)

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
            "learned_cutoffs": len(self.learns(self.judged)),
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
