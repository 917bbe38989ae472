"""Lifetime value: what a customer will spend, and how often order, within a horizon after the cutoff."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from patron.errors import DataError
from patron.files import publish_json
from patron.models import activity, activity_reasons
from patron.models.activity import Numbers, column
from patron.models.base import FeatureRows, Model, Reason
from patron.models.buying import Buying, known_customers
from patron.models.conformal import Intervals
from patron.models.trees import Trees, TreesConfig

HABITS = ("orders_a_month", "mean_order_value", "recency_days")


class LifetimeValueConfig(TreesConfig):
    """What `configs/models/lifetime-value.toml` may set."""

    kind: Literal["lightgbm", "btyd", "history"] = "lightgbm"
    """lightgbm: trees that read btyd; btyd: Pareto/NBD x Gamma-Gamma; history: the past repeats itself."""
    trees_weight: float = Field(default=0.5, ge=0, le=1)
    """Of kind lightgbm: share of the trees in the geometric mean with btyd."""
    tweedie_power: float = Field(default=1.5, gt=1, lt=2)
    """Variance of spend grows with this power of its mean (trees)."""
    coverage: float = Field(default=0.8, gt=0, lt=1)
    """Share of customers whose spend lies within their interval."""
    high_tier_share: float = 0.2
    """So many customers of the calibration window are of high value..."""
    middle_tier_share: float = 0.3
    """...and so many more of middle value."""


@dataclass(frozen=True)
class ValueEstimates:
    """Arrays of shape (customers,). Money is in the shop's currency, low <= expected_value <= high."""

    expected_value: Numbers
    low: Numbers
    high: Numbers
    expected_orders: Numbers
    """Purchase days within the horizon."""
    probability_active: Numbers
    """P(at least one order within the horizon), by Pareto/NBD."""


class LifetimeValue(Model):
    """Fit on some cutoffs, calibrate on a later one, predict for any horizon."""

    Config = LifetimeValueConfig

    def __init__(self, config: LifetimeValueConfig | None = None):
        self.config = config or LifetimeValueConfig()
        self.horizon_days = 0
        self.buying = Buying()
        self.trees: Trees | None = None
        self.intervals: Intervals | None = None
        self.tiers = (0.0, 0.0)
        self.orders_level = self.value_level = 1.0
        self.mean_spend = 0.0
        self.typical = [0.0, 0.0, 0.0]

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs of the trees."""
        return (*activity.INPUTS, *activity.DERIVED, "expected_orders", "expected_spend")

    @functools.cached_property
    def references(self) -> dict[str, str]:
        """Feast reference -> type of every feature that this model reads."""
        return activity.references(activity.TYPES)

    def fit(
        self,
        rows: FeatureRows,
        revenue: NDArray[Any],
        orders: NDArray[Any],
        horizon_days: int,
        *,
        seed: int,
        threads: int = 1,
    ) -> Self:
        """Learn from rows of one or more cutoffs and what followed within `horizon_days`.

        Negative revenue (more came back than was bought) counts as 0. Raises DataError when there is no row,
        or nobody spent anything.
        """
        spent = np.maximum(activity.labels(rows, revenue, "revenue"), 0)
        bought = activity.labels(rows, orders, "orders")
        if not spent.any():
            raise DataError(f"None of {len(spent)} customers spent anything within {horizon_days} days.")
        self.horizon_days = horizon_days
        self.buying = Buying.fit(rows, seed=seed)
        self.mean_spend = float(spent.sum() / max(bought.sum(), 1))
        self.typical = np.median(habits(rows), axis=0).tolist()
        self.orders_level = level(bought, self._orders(rows, horizon_days))
        if self.config.kind == "lightgbm":
            self.trees = Trees.fit(
                self.names,
                self.inputs(rows),
                spent / self._unit(),
                self.config,
                seed=seed,
                threads=threads,
                objective="tweedie",
                tweedie_variance_power=self.config.tweedie_power,
            )
        self.value_level = level(spent, self._value(rows, horizon_days))
        self._set_tiers(self._value(rows, horizon_days))
        return self

    def calibrate(self, rows: FeatureRows, revenue: NDArray[Any]) -> Self:
        """Learn intervals and tiers on a window that `fit` did not see. Raises DataError."""
        spent = np.maximum(activity.labels(rows, revenue, "revenue"), 0)
        predicted = self._value(rows, self.horizon_days)
        self.intervals = Intervals.fit(predicted, spent, self.config.coverage)
        self._set_tiers(predicted)
        return self

    def predict(self, rows: FeatureRows, horizon_days: int | None = None) -> ValueEstimates:
        """Estimates for the next `horizon_days` (the trained horizon when None).

        The trees know the trained horizon only; for another their answer grows or shrinks as the expected
        orders of the same customer do, and the intervals with it.
        """
        if not self.horizon_days:
            raise DataError("This lifetime value model was not fitted. Fit or load one first.")
        horizon, rows = horizon_days or self.horizon_days, activity.clean(rows)
        value = self._value(rows, horizon)
        low, high = self.intervals(value) if self.intervals else (np.zeros(len(value)), value.copy())
        return ValueEstimates(value, low, high, self._orders(rows, horizon), self._active(rows, horizon))

    def value_tiers(self, values: Numbers) -> NDArray[np.str_]:
        """high, middle or low, for values at the trained horizon."""
        middle, high = self.tiers
        return np.select([values >= high, values >= middle], ["high", "middle"], "low")

    @activity.remembered
    def inputs(self, rows: FeatureRows) -> Numbers:
        expected = {
            "expected_orders": self.buying.orders(rows, self.horizon_days),
            "expected_spend": self.buying.value(rows),
        }
        return activity.matrix(rows, self.names, **expected)

    @activity.remembered
    def _value(self, rows: FeatureRows, horizon: int) -> Numbers:
        if self.config.kind == "history":
            value = history(rows, "spend", horizon)
        else:
            habit = self._habit(rows, horizon)
            value = self.value_level * (habit if self.trees is None else self._blend(rows, habit, horizon))
        return np.where(known_customers(rows), np.maximum(np.nan_to_num(value), 0), 0.0)

    def _blend(self, rows: FeatureRows, habit: Numbers, horizon: int) -> Numbers:
        """Geometric mean of trees and habit: trees rank better, the habit tames what they say of the few
        customers who spend most."""
        assert self.trees is not None
        now, then = self._orders(rows, self.horizon_days), self._orders(rows, horizon)
        growth = np.divide(then, now, out=np.full(len(now), horizon / self.horizon_days), where=now > 0)
        grown = np.exp(np.minimum(self.trees.raw(self.inputs(rows)), 50)) * self._unit() * growth
        weight = self.config.trees_weight
        return np.where(habit > 0, grown**weight * np.maximum(habit, 1e-12) ** (1 - weight), grown)

    def _unit(self) -> float:
        """Trees learn spend in mean orders, so that no currency changes them."""
        return max(self.mean_spend, 1e-9)

    def _habit(self, rows: FeatureRows, horizon: int) -> Numbers:
        """Expected orders times expected spend of one."""
        spend = self.buying.value(rows)
        return self._orders(rows, horizon) * np.where(np.isnan(spend), self.mean_spend, spend)

    @activity.remembered
    def _orders(self, rows: FeatureRows, horizon: int) -> Numbers:
        """Buy-till-you-die, at the level that was seen; the past repeats itself where that has no fit."""
        orders = self.orders_level * self.buying.orders(rows, horizon)
        missing = np.isnan(orders)
        return np.where(missing, history(rows, "orders", horizon), orders) if missing.any() else orders

    @activity.remembered
    def _active(self, rows: FeatureRows, horizon: int) -> Numbers:
        chance = self.buying.active(rows, horizon)
        missing = np.isnan(chance)
        if not missing.any():
            return chance
        return np.where(missing, -np.expm1(-history(rows, "orders", horizon)), chance)

    def _set_tiers(self, values: Numbers) -> None:
        high = 1 - self.config.high_tier_share
        middle = max(high - self.config.middle_tier_share, 0)
        self.tiers = (float(np.quantile(values, middle)), float(np.quantile(values, high)))

    def reasons(self, rows: FeatureRows, limit: int = 3) -> list[list[Reason]]:
        """For each customer what makes the value high; for those of low tier what makes it low."""
        rows = activity.clean(rows)
        if not activity.size(rows):
            return []
        falling = self.value_tiers(self._value(rows, self.horizon_days)) == "low"
        if self.trees is not None:
            pushes = self.trees.contributions(self.inputs(rows))
            return activity_reasons.reasons(rows, self.names, pushes, falling, limit)
        return self._habit_reasons(rows, falling, limit)

    def _habit_reasons(self, rows: FeatureRows, falling: NDArray[np.bool_], limit: int) -> list[list[Reason]]:
        """Without trees: frequency, order value and recency, beside the median customer of the fit."""
        pushes = (habits(rows) - np.array(self.typical)) * (1, 1, -1)
        return activity_reasons.reasons(rows, HABITS, pushes, falling, limit)

    def save(self, folder: Path) -> None:
        if self.trees is not None:
            self.trees.save(folder / "trees.txt")
        publish_json(
            folder / "lifetime_value.json",
            {
                "config": self.config.model_dump(),
                "horizon_days": self.horizon_days,
                "buying": self.buying.document(),
                "intervals": self.intervals and self.intervals.document(),
                "tiers": self.tiers,
                "orders_level": self.orders_level,
                "value_level": self.value_level,
                "mean_spend": self.mean_spend,
                "typical": self.typical,
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        document = json.loads((folder / "lifetime_value.json").read_text(encoding="utf-8"))
        model = cls(LifetimeValueConfig(**document["config"]))
        for name in ("horizon_days", "orders_level", "value_level", "mean_spend", "typical"):
            setattr(model, name, document[name])
        model.buying = Buying.of(document["buying"])
        model.intervals = Intervals.of(document["intervals"]) if document["intervals"] else None
        model.tiers = tuple(document["tiers"])
        if model.config.kind == "lightgbm":
            model.trees = Trees.load(folder / "trees.txt").ready()
        return model


def habits(rows: FeatureRows) -> Numbers:
    """log1p of HABITS, shape (customers, 3)."""
    return np.log1p(np.nan_to_num(np.maximum(activity.matrix(rows, HABITS), 0)))


def level(actual: Numbers, expected: Numbers) -> float:
    """Total seen over total expected, within 0.5..2; 1 where nothing was expected."""
    total = float(np.nansum(expected))
    return float(np.clip(actual.sum() / total, 0.5, 2.0)) if total > 0 else 1.0


def history(rows: FeatureRows, what: str, horizon: int) -> Numbers:
    """Spend, or orders, of the same length of time before the cutoff: the honest baseline.

    Between the windows of 30, 90 and 365 days linear; beyond the last one at its rate.
    """
    windows = np.array([0.0, 30.0, 90.0, 365.0])
    totals = [np.nan_to_num(column(rows, f"{what}_{window:.0f}d")) for window in windows[1:]]
    known = np.column_stack([np.zeros(len(totals[0])), *totals])
    if horizon >= windows[-1]:
        return known[:, -1] * horizon / windows[-1]
    upper = int(np.searchsorted(windows, horizon))
    share = (horizon - windows[upper - 1]) / (windows[upper] - windows[upper - 1])
    return known[:, upper - 1] * (1 - share) + known[:, upper] * share
