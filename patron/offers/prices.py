"""What scarce money and places are worth: prices under which everyone choosing for themselves keeps limits.

The Lagrangian dual of the multiple-choice knapsack: for prices z >= 0 of limits b,
D(z) = sum over customers of max(0, max over arms of (value - use . z)) + z . b, an upper bound of any
allocation's value. Source: Sinha & Zoltners 1979 (the knapsack); Fisher 1981 (the relaxation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

SAMPLE = 30_000
"""Customers that prices are found on; the bound and the allocation are of everyone."""
TEMPERATURES = (0.1, 0.01, 0.001)
"""Of the smoothing, in mean values of a customer's best arm."""
BISECTIONS = 40


@dataclass(frozen=True)
class Limits:
    """What may be used, inf for no limit: money and places in all, and of every arm, (arms,)."""

    money: float
    places: float
    arm_money: Numbers
    arm_places: Numbers

    @property
    def vector(self) -> Numbers:
        """(2 + 2 * arms,): money, places, money by arm, places by arm."""
        return np.concatenate([[self.money, self.places], self.arm_money, self.arm_places])

    def scaled(self, share: float) -> Limits:
        return Limits(
            self.money * share, self.places * share, self.arm_money * share, self.arm_places * share
        )


@dataclass(frozen=True)
class Prices:
    """Of one more unit of money or one more place, in units of value."""

    vector: Numbers

    @classmethod
    def none(cls, arms: int) -> Prices:
        return cls(np.zeros(2 + 2 * arms))

    def reduced(self, value: Numbers, cost: Numbers) -> Numbers:
        """Value of every (customer, arm) after it has paid for what it uses."""
        arms = cost.shape[1]
        by_money = self.vector[0] + self.vector[2 : 2 + arms]
        return value - cost * by_money - (self.vector[1] + self.vector[2 + arms :])

    def paid(self, limits: Limits) -> float:
        """z . b over the limits that are there."""
        known = np.isfinite(limits.vector)
        return float(self.vector[known] @ limits.vector[known])


def bound(value: Numbers, cost: Numbers, limits: Limits, prices: Prices) -> float:
    """D(z): no allocation within the limits is worth more."""
    best = prices.reduced(value, cost).max(axis=1, initial=0.0)
    return float(best.sum()) + prices.paid(limits)


def use(cost: Numbers, shares: Numbers) -> Numbers:
    """What is used when arm a goes to customer i with chance shares[i, a]: as `Limits.vector`."""
    money, places = (cost * shares).sum(axis=0), shares.sum(axis=0)
    return np.concatenate([[money.sum(), places.sum()], money, places])


def found(value: Numbers, cost: Numbers, limits: Limits, seed: int = 0) -> Prices:
    """Prices that minimise the bound, on at most SAMPLE customers drawn by `seed`.

    value: (n, arms), -inf where an arm is out of the question; cost: (n, arms), >= 0.
    """
    if len(value) > SAMPLE:
        picked = np.random.default_rng(seed).choice(len(value), SAMPLE, replace=False)
        limits = limits.scaled(SAMPLE / len(value))
        value, cost = value[picked], cost[picked]
    binding = np.flatnonzero(np.isfinite(limits.vector) & (limits.vector > 0))
    total = float(value.max(axis=1, initial=0.0).sum())
    if not len(binding) or total <= 0 or _slack(value, cost, limits):
        return Prices.none(value.shape[1])
    return _bisected(value, cost, limits, _descended(value, cost, limits, binding, total))


def _slack(value: Numbers, cost: Numbers, limits: Limits) -> bool:
    """Whether everyone may have what is best for them."""
    best = np.zeros_like(value)
    best[np.arange(len(value)), value.argmax(axis=1)] = value.max(axis=1) > 0
    return bool((use(cost, best) <= limits.vector).all())


def _descended(
    value: Numbers, cost: Numbers, limits: Limits, binding: NDArray[np.int64], total: float
) -> Prices:
    """Minimum of the smoothed dual, cooled in steps; price times limit is counted in shares of `total`."""
    from scipy.optimize import minimize

    capacity = limits.vector[binding]
    candidates = [np.zeros(len(binding))]
    for temperature in TEMPERATURES:

        def smoothed(
            scaled: Numbers, heat: float = temperature * total / len(value)
        ) -> tuple[float, Numbers]:
            vector = np.zeros(len(limits.vector))
            vector[binding] = scaled * total / capacity
            level, used = _smooth(Prices(vector).reduced(value, cost), cost, heat)
            return level / total + float(scaled.sum()), 1 - used[binding] / capacity

        done = minimize(
            smoothed, candidates[-1], jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(binding)
        )
        candidates.append(done.x)
    return min(
        (_prices(each * total / capacity, binding, limits) for each in candidates),
        key=lambda one: bound(value, cost, limits, one),
    )


def _prices(values: Numbers, at: NDArray[np.int64], limits: Limits) -> Prices:
    vector = np.zeros(len(limits.vector))
    vector[at] = values
    return Prices(vector)


def _smooth(reduced: Numbers, cost: Numbers, heat: float) -> tuple[float, Numbers]:
    """Sum of heat * log(1 + sum of exp(reduced / heat)), and what its choice chances use."""
    top = reduced.max(axis=1, initial=0.0)
    weights = np.exp((reduced - top[:, None]) / heat)
    whole = np.exp(-top / heat) + weights.sum(axis=1)
    return float((top + heat * np.log(whole)).sum()), use(cost, weights / whole[:, None])


def _bisected(value: Numbers, cost: Numbers, limits: Limits, prices: Prices) -> Prices:
    """The price of money made exact, others left as they are: the least at which the budget holds."""
    if not np.isfinite(limits.money) or limits.money <= 0:
        return prices
    low, high = 0.0, max(2 * prices.vector[0], 1e-9)
    while _spent(value, cost, prices, high) > limits.money:
        low, high = high, 2 * high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if _spent(value, cost, prices, middle) > limits.money:
            low = middle
        else:
            high = middle
    exact = _at(prices, high)
    return min((prices, exact), key=lambda one: bound(value, cost, limits, one))


def _at(prices: Prices, money: float) -> Prices:
    vector = prices.vector.copy()
    vector[0] = money
    return Prices(vector)


def _spent(value: Numbers, cost: Numbers, prices: Prices, money: float) -> float:
    reduced = _at(prices, money).reduced(value, cost)
    best = reduced.argmax(axis=1)
    rows = np.arange(len(best))
    return float(cost[rows, best][reduced[rows, best] > 0].sum())
