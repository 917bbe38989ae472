"""How models of buying till dying are fitted: distinct rows, slopes by hand, one search unless it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patron.errors import DataError

Numbers = NDArray[np.float64]
Sloped = tuple[Numbers, Numbers]
"""A number for each row, shape (rows,), and its derivatives by the parameters, shape (parameters, rows)."""

WIDEST = 14.0
"""Bound on the logarithm of a parameter; a fit that ends there found no optimum."""

SMALL = 2e-8
"""What a parameter costs of the mean log-likelihood, times the square of its logarithm in the data's units.
It moves what the data tell by less than a ten-thousandth; where they tell only a ratio of two, as where all
customers leave at one rate, or nobody does, it picks one of the equals instead of infinity."""

STEEPEST = 1e-4
"""Derivative of the mean log-likelihood by a parameter's logarithm at which a search has not arrived."""


@dataclass(frozen=True)
class Fitted:
    """Parameters as fields, the maximised log-likelihood last."""

    def document(self) -> dict[str, float]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of(cls, document: dict[str, float]) -> Self:
        """What `document` wrote."""
        return cls(**document)


class FittedToPurchases(Fitted):
    """What is fitted to x, t_x and T. The likelihood is told in two parts: x has few distinct values."""

    STARTS: ClassVar[tuple[tuple[float, ...], ...]]
    UNITS: ClassVar[tuple[bool, ...]]
    """Which parameters, and their starts, are in units of the mean age."""

    @classmethod
    def fit(cls, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Self:
        """Maximum likelihood. Raises DataError when nobody bought twice or no optimum is found."""
        found = Purchases.of(x, t_x, T)

        def likelihood(parameters: Numbers) -> tuple[float, Numbers]:
            model = cls(*parameters)
            value, slopes = model._by_count(found.times)
            more, steeper = model._by_age(found.x, found.t_x, found.T)
            return (
                float(found.had @ value + found.customers @ more),
                slopes @ found.had + steeper @ found.customers,
            )

        scale = np.where(cls.UNITS, found.unit, 1.0)
        return cls(*maximised(likelihood, cls.STARTS, scale, found.had.sum(), cls.__name__))

    def log_likelihoods(self, x: Numbers, t_x: Numbers, T: Numbers) -> Numbers:
        """Of each customer, shape (customers,)."""
        return self._by_count(x)[0] + self._by_age(x, t_x, T)[0]

    def _by_count(self, x: Numbers) -> Sloped:
        raise NotImplementedError

    def _by_age(self, x: Numbers, t_x: Numbers, T: Numbers) -> Sloped:
        raise NotImplementedError


@dataclass(frozen=True)
class Purchases:
    """Distinct x, t_x, T, how many customers have each; distinct x alone, and how many had it."""

    x: Numbers
    t_x: Numbers
    T: Numbers
    customers: Numbers
    times: Numbers
    had: Numbers
    unit: float
    """The mean age."""

    @classmethod
    def of(cls, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Self:
        """Raises DataError where that cannot be, or nobody bought twice."""
        found = np.stack([np.asarray(each, dtype=np.float64) for each in (x, t_x, T)])
        if not (found[0] > 0).any():
            raise DataError(f"None of {found.shape[1]} customers bought twice: purchases cannot be modelled.")
        if not np.isfinite(found).all() or (found < 0).any() or (found[1] > found[2]).any():
            raise DataError("Purchase summaries need 0 <= t_x <= T and x >= 0, all finite.")
        rows = found[:, np.lexsort(found[::-1])]
        first = np.flatnonzero(np.append(True, (rows[:, 1:] != rows[:, :-1]).any(axis=0)))
        customers = np.diff(first, append=rows.shape[1]).astype(np.float64)
        times, had = np.unique(found[0], return_counts=True)
        own, last, age = rows[:, first]
        unit = max(float(found[2].mean()), 1e-3)
        return cls(own, last, age, customers, times, had.astype(np.float64), unit)


def maximised(
    likelihood: Callable[[Numbers], tuple[float, Numbers]],
    starts: Iterable[Sequence[float]],
    scale: Numbers,
    customers: float,
    name: str,
    lowest: Sequence[float] | None = None,
) -> list[float]:
    """Best parameters, the log-likelihood last: of the first start from which the search arrives, else of
    all. Searches the parameters' logarithms.

    likelihood: gives its derivatives by the parameters too. scale: the unit of each parameter and its starts;
    lowest: the least of each over its unit. Raises DataError when the best fit stands on a bound: the data do
    not hold the model.
    """
    best: Any = None
    for start in starts:
        found = searched(likelihood, np.log(start), scale, customers, lowest)
        best = found if best is None or found.fun < best.fun else best
        if arrived(found):
            break
    if best.fun >= 1e6 or (np.abs(best.x) > WIDEST - 1e-3).any():
        raise DataError(f"{name} has no optimum on {customers:,.0f} customers: too few repeat purchases.")
    parameters = np.exp(best.x) * scale
    return [*parameters.tolist(), likelihood(parameters)[0]]


def searched(
    likelihood: Callable[[Numbers], tuple[float, Numbers]],
    start: Numbers,
    scale: Numbers,
    customers: float,
    lowest: Sequence[float] | None,
) -> Any:
    """Where L-BFGS-B ends. Source: Byrd et al. 1995."""
    from scipy.optimize import minimize

    def loss(logs: Numbers) -> tuple[float, Numbers]:
        parameters = np.exp(logs) * scale
        value, slopes = likelihood(parameters)
        if not np.isfinite(value):
            return 1e6, np.zeros(len(logs))
        cost = float(SMALL * (logs @ logs))
        return cost - value / customers, 2 * SMALL * logs - slopes * parameters / customers

    lows = [-WIDEST] * len(start) if lowest is None else np.log(lowest).tolist()
    bounds = [(low, WIDEST) for low in lows]
    options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7}
    return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)


def arrived(found: Any) -> bool:
    """Whether a search ended on a summit within the bounds."""
    inside = bool((np.abs(found.x) < WIDEST - 1e-3).all())
    return found.fun < 1e6 and inside and bool(np.abs(found.jac).max() < STEEPEST)
