"""Who gets what under a budget: the multiple-choice knapsack, by Lagrangian prices and a greedy repair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patron.offers import prices as pricing
from patron.offers.prices import Limits, Numbers, Prices

Positions = NDArray[np.int64]

ROUNDS = 60
"""Of the repair, each over all customers at once."""
TOLERANCE = 1e-9
"""Of a limit, as a share of it: sums of floats."""


@dataclass(frozen=True)
class Allocation:
    """One arm a customer, or none; money and value in the units given."""

    chosen: Positions
    """(n,), -1 for nobody's arm: leave alone."""
    price: float
    """Value that one more unit of budget would bring: that of the last customers reached. Where none of those
    is short of money, the most for each unit that an arm would bring whose cost exceeds the whole budget."""
    arm_prices: Numbers
    """(arms,) of one more unit of an arm's own budget; 0 of an arm whose budget is 0."""
    place_prices: Numbers
    """(arms,) of one more place of an arm; 0 of an arm without any."""
    total_place_price: float
    """Of one more customer in all."""
    spent: float
    value: float
    bound: float
    """No allocation within these limits is worth more (the dual)."""

    @property
    def gap(self) -> float:
        """Share of the bound that was not reached, 0..1; 0 where there is nothing to gain."""
        return max(self.bound - self.value, 0.0) / self.bound if self.bound > 0 else 0.0


def allocate(
    value: Numbers,
    cost: Numbers,
    budget: float | None = None,
    arm_budgets: Numbers | None = None,
    arm_caps: Numbers | None = None,
    total_cap: float | None = None,
) -> Allocation:
    """At most one arm a customer, of the most value in all, within every limit.

    value: (n, arms), what an arm brings after its cost; NaN or -inf where it may not be given, and an arm
    that brings nothing is never given. cost: (n, arms), >= 0, what it takes from the budgets. Limits: None or
    inf for none; `arm_budgets` (arms,) money, `arm_caps` (arms,) and `total_cap` customers.
    Never raises for limits that are too small: then fewer, or nobody, get something.
    Raises ValueError when shapes differ, or a cost or limit is negative or NaN.
    Source: Sinha & Zoltners 1979; Fisher 1981.
    """
    worth, price = np.array(value, dtype=np.float64), np.array(cost, dtype=np.float64)
    limits = _limits(worth, price, budget, arm_budgets, arm_caps, total_cap)
    never = ~(worth > 0) | (price > limits.arm_money * (1 + TOLERANCE)) | (limits.arm_places < 1)
    dear = _Dear.of(worth, price, ~never & (price > limits.money * (1 + TOLERANCE)))
    never[dear.rows, dear.arms] = True
    worth[never], price[never] = -np.inf, 0.0
    found = pricing.found(worth, price, limits) if worth.size else Prices.none(worth.shape[1])
    chosen = _filled(worth, price, limits, found)
    given = np.flatnonzero(chosen >= 0)
    arms = worth.shape[1]
    return Allocation(
        chosen,
        float(found.vector[0]) or dear.price(worth, price, chosen, len(given) < limits.places),
        found.vector[2 : 2 + arms],
        found.vector[2 + arms :],
        float(found.vector[1]),
        float(price[given, chosen[given]].sum()),
        float(worth[given, chosen[given]].sum()),
        pricing.bound(worth, price, limits, found) if worth.size else 0.0,
    )


@dataclass(frozen=True)
class _Dear:
    """Arms that cost more than the whole budget, though nothing else is against them."""

    rows: Positions
    arms: Positions
    value: Numbers
    cost: Numbers

    @classmethod
    def of(cls, value: Numbers, cost: Numbers, where: NDArray[np.bool_]) -> _Dear:
        rows, arms = np.nonzero(where)
        return cls(rows, arms, value[rows, arms], cost[rows, arms])

    def price(self, value: Numbers, cost: Numbers, chosen: Positions, places: bool) -> float:
        """The most that any would bring for each unit of money, over what its customer has now.

        places: whether one more customer may get something.
        """
        has = chosen[self.rows] >= 0
        held = self.rows[has], chosen[self.rows[has]]
        gain, more = self.value.copy(), self.cost.copy()
        gain[has], more[has] = gain[has] - value[held], more[has] - cost[held]
        return float((gain / more)[has | places].max(initial=0.0))


def _filled(value: Numbers, cost: Numbers, limits: Limits, prices: Prices) -> Positions:
    """Filled at the prices; of few customers also by plain value, which is better where one arm takes all."""
    ways = [prices, Prices.none(value.shape[1])] if len(value) <= pricing.SAMPLE else [prices]
    fills = [_Filling(value, cost, limits, each) for each in ways]
    return max((each.chosen() for each in fills), key=fills[0].worth)


def _limits(
    value: Numbers,
    cost: Numbers,
    budget: float | None,
    arm_budgets: Numbers | None,
    arm_caps: Numbers | None,
    total_cap: float | None,
) -> Limits:
    if value.ndim != 2 or value.shape != cost.shape:
        raise ValueError(f"Values {value.shape} and costs {cost.shape} need one shape: (customers, arms).")
    arms = value.shape[1]
    limits = Limits(
        np.inf if budget is None else float(budget),
        np.inf if total_cap is None else float(np.floor(total_cap)),
        _each(arm_budgets, arms),
        np.floor(_each(arm_caps, arms)),
    )
    if not (limits.vector >= 0).all() or not (cost[value > 0] >= 0).all():
        raise ValueError("Costs, budgets and caps are 0 or more.")
    return limits


def _each(limits: Numbers | None, arms: int) -> Numbers:
    if limits is None:
        return np.full(arms, np.inf)
    found = np.asarray(limits, dtype=np.float64)
    if found.shape != (arms,):
        raise ValueError(f"There are limits of shape {found.shape} for {arms} arms.")
    return found


class _Filling:
    """Gives arms out in the order of what they bring after prices, while limits hold.

    Each round every customer names the arm that improves on the present one most, counted after prices; those
    are granted in order until a limit is reached. First rounds are the choice at the prices; later ones use
    what the prices left over, by arms for customers without and by better arms for those who have one.
    """

    def __init__(self, value: Numbers, cost: Numbers, limits: Limits, prices: Prices) -> None:
        self.value, self.cost, self.limits = value, cost, limits
        self.reduced = prices.reduced(value, cost)
        self.arms = np.full(len(value), -1, dtype=np.int64)

    def chosen(self) -> Positions:
        for _ in range(ROUNDS):
            rows, arms, gain = self._wishes()
            if not len(rows):
                break
            order = np.argsort(-gain, kind="stable")
            self._grant(rows[order], arms[order])
        return self.arms

    def worth(self, chosen: Positions) -> float:
        given = np.flatnonzero(chosen >= 0)
        return float(self.value[given, chosen[given]].sum())

    def _present(self, of: Numbers) -> Numbers:
        """What customers have now, 0 for those without."""
        rows = np.arange(len(self.arms))
        return np.where(self.arms >= 0, of[rows, np.maximum(self.arms, 0)], 0.0)

    def _left(self) -> tuple[float, float, Numbers, Numbers]:
        """Money, places, money by arm, places by arm that are still free."""
        given = self.arms >= 0
        spent, arms = self._present(self.cost), self.arms[given]
        by_arm = np.bincount(arms, weights=spent[given], minlength=self.value.shape[1])
        slack = TOLERANCE * np.where(np.isfinite(self.limits.arm_money), self.limits.arm_money, 0)
        spare = TOLERANCE * self.limits.money if np.isfinite(self.limits.money) else 0.0
        return (
            self.limits.money + spare - spent.sum(),
            self.limits.places - given.sum(),
            self.limits.arm_money + slack - by_arm,
            self.limits.arm_places - np.bincount(arms, minlength=self.value.shape[1]),
        )

    def _wishes(self) -> tuple[Positions, Positions, Numbers]:
        """Rows, the arm each would rather have, and how much more it brings after prices."""
        money, places, arm_money, arm_places = self._left()
        present, paid = self._present(self.value), self._present(self.cost)
        open_ = (self.value > present[:, None]) & (self.cost <= arm_money) & (arm_places >= 1)
        open_ &= self.cost - paid[:, None] <= money
        if places < 1:
            open_ &= self.arms[:, None] >= 0
        wished = np.where(open_, self.reduced - self._present(self.reduced)[:, None], -np.inf)
        best = wished.argmax(axis=1)
        gain = wished[np.arange(len(best)), best]
        rows = np.flatnonzero(gain > -np.inf)
        return rows, best[rows], gain[rows]

    def _grant(self, rows: Positions, arms: Positions) -> None:
        """As many as fit, first come first served."""
        money, places, arm_money, arm_places = self._left()
        more = self.cost[rows, arms] - self._present(self.cost)[rows]
        fits = np.ones(len(rows), dtype=bool)
        for arm in np.unique(arms):
            own = np.flatnonzero(arms == arm)
            fits[own] = np.cumsum(self.cost[rows[own], arm]) <= arm_money[arm]
            fits[own] &= np.arange(1, len(own) + 1) <= arm_places[arm]
        rows, arms, more = rows[fits], arms[fits], more[fits]
        taken = np.cumsum(self.arms[rows] < 0) <= places
        held = np.maximum.accumulate(np.cumsum(more)) <= money if len(more) else taken
        kept = taken & held
        self.arms[rows[kept]] = arms[kept]
