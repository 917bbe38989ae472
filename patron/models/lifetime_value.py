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
from patron.models import activity, activity_reasons, value_inputs
from patron.models.activity import Numbers, column
from patron.models.base import FeatureRows, Model, Reason
from patron.models.buying import Buying, known_customers
from patron.models.calibration import Calibration
from patron.models.conformal import Intervals
from patron.models.past_value import history
from patron.models.trees import Trees, TreesConfig

HABITS = ("orders_a_month", "mean_order_value", "recency_days")
SAVED = (
    *("horizon_days", "orders_level", "value_level", "margin_share", "mean_spend", "mean_value"),
    *("typical", "usual", "tiers"),
)
FLOOR = 1e-3
"""Trees start from the habit, or from this share of the mean value where the habit expects less."""


class LifetimeValueConfig(TreesConfig):
    """What `configs/models/lifetime-value.toml` may set."""

    trees: int = 300
    regularization: float = 20.0
    """L2 penalty on leaf values: trees that start from an expectation leave it only for many customers."""
    kind: Literal["lightgbm", "btyd", "history"] = "lightgbm"
    """lightgbm: trees that correct btyd; btyd: Pareto/NBD x Gamma-Gamma as published, which learn from what
    was before a cutoff alone; history: the past repeats itself."""
    value_of: Literal["auto", "revenue", "margin"] = "auto"
    """auto: margin where the shop's costs are known, see `costs_known`; else revenue."""
    costs_known: float = Field(default=0.95, gt=0, le=1)
    """Share of a year's revenue whose products' unit cost is known, for margin."""
    tweedie_power: float = Field(default=1.5, gt=1, lt=2)
    """Variance of spend grows with this power of its mean (trees)."""
    folds: int = Field(default=5, ge=2)
    """Level and intervals are learned from trees that did not see the customer, of so many groups."""
    coverage: float = Field(default=0.8, gt=0, lt=1)
    """Share of customers whose spend lies within their interval."""
    high_tier_share: float = Field(default=0.2, ge=0, le=1)
    """So many customers of the newest window of the fit are of high value..."""
    middle_tier_share: float = Field(default=0.3, ge=0, le=1)
    """...and so many more of middle value."""
    young_days: int = Field(default=180, ge=0)
    """Who could reach the high tier is of tier potential if the first order is no older than this..."""
    growing: float = Field(default=1.5, gt=1)
    """...or the last quarter's spend a day is so many times the last year's."""


@dataclass(frozen=True)
class ValueEstimates:
    """Arrays of shape (customers,). Money is in the shop's currency, low <= expected_value <= high."""

    expected_value: Numbers
    low: Numbers
    high: Numbers
    expected_orders: Numbers
    """Purchase days within the horizon."""
    probability_active: Numbers
    """P(at least one order within the horizon): Pareto/NBD's, calibrated by kind lightgbm."""


class LifetimeValue(Model):
    """Fit on some cutoffs, predict for any horizon.

    Trees learn what to multiply the buy-till-you-die expectation with: it knows how a customer's age and
    silence act, they know the rest, and where they know nothing its answer stays.
    """

    Config = LifetimeValueConfig

    def __init__(self, config: LifetimeValueConfig | None = None):
        self.config = config or LifetimeValueConfig()
        self.horizon_days = 0
        self.buying = Buying()
        self.trees: Trees | None = None
        self.intervals: Intervals | None = None
        self.curve: Calibration | None = None
        self.tiers = [0.0, 0.0]
        self.orders_level = self.value_level = self.margin_share = 1.0
        self.mean_spend = self.mean_value = 0.0
        self.usual = [1.0, 1.0]
        """Orders and spend of one that buy-till-you-die expects of the mean customer of the fit."""
        self.typical = [0.0, 0.0, 0.0]
        self.crossed = np.zeros(0)
        """Expected value of each row of the fit by trees that did not see its customer; not saved."""

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs of the trees."""
        return value_inputs.NAMES

    @property
    def value_of(self) -> str:
        """What is predicted: revenue or margin."""
        return "margin" if self.config.value_of == "margin" else "revenue"

    @functools.cached_property
    def references(self) -> dict[str, str]:
        """Feast reference -> type of every feature that this model reads."""
        return activity.references((*activity.TYPES, *activity.NET))

    def fit(
        self,
        rows: FeatureRows,
        values: NDArray[Any],
        orders: NDArray[Any],
        horizon_days: int,
        *,
        seed: int,
        threads: int = 1,
        customers: NDArray[np.int64] | None = None,
        margin_share: float = 1.0,
    ) -> Self:
        """Learn from rows of one or more cutoffs and what followed within `horizon_days`.

        values: revenue or margin, net of returns; negative (more came back than was bought) counts as 0.
        customers: a number for each row, equal where the customer is the same; each row its own when None.
        margin_share: what one unit of revenue is worth (of margin), as features tell revenue only. Raises
        DataError when there is no row, or nobody spent anything.
        """
        self.curve = None
        rows = dict(rows)  # of Clean rows answers are remembered that change during the fit
        spent = np.maximum(activity.labels(rows, values, "revenue"), 0)
        bought = activity.labels(rows, orders, "orders")
        if not spent.any():
            raise DataError(f"None of {len(spent)} customers spent anything within {horizon_days} days.")
        self.horizon_days, self.margin_share, self.value_level = horizon_days, margin_share, 1.0
        self.buying = Buying.fit(rows, seed=seed)
        self.mean_spend = float(spent.sum() / max(bought.sum(), 1))
        self.mean_value = float(spent.mean())
        self.typical = np.median(habits(rows), axis=0).tolist()
        if self.config.kind == "lightgbm":
            self.orders_level = level(bought, self._orders(rows, horizon_days))
            self.curve = curve(self._active(rows, horizon_days), bought > 0)
        self.usual = [
            max(float(np.nanmean(each)), 1e-9)
            for each in (self._orders(rows, horizon_days), self._spend(rows))
        ]
        groups = np.arange(len(spent)) if customers is None else customers
        crossed = self._learned(rows, spent, groups % self.config.folds, seed, threads)
        if self.trees is not None:
            self.value_level = level(spent, crossed)
        self.crossed = crossed * self.value_level
        return self._settled(self.crossed, spent, activity.cutoffs(rows))

    def _learned(
        self, rows: FeatureRows, spent: Numbers, fold: NDArray[np.int64], seed: int, threads: int
    ) -> Numbers:
        """Grow the trees, and tell what those that did not see a customer expect of each row."""
        self.trees = None
        rows = activity.clean(rows)
        if self.config.kind != "lightgbm":
            return self._value(rows, self.horizon_days)
        inputs, start, expected = self.inputs(rows), self._start(rows), np.zeros(len(spent))
        for each in np.unique(fold):
            held = fold == each
            told = start[held]
            if spent[~held].any():  # else the others have nothing to teach
                told = told + self._grown(inputs[~held], spent[~held], start[~held], seed, threads).raw(
                    inputs[held]
                )
            expected[held] = np.exp(told) * self.mean_value
        self.trees = self._grown(inputs, spent, start, seed, threads)
        return expected

    def _grown(self, inputs: Numbers, spent: Numbers, start: Numbers, seed: int, threads: int) -> Trees:
        return Trees.fit(
            self.names,
            inputs,
            spent / self.mean_value,
            self.config,
            seed=seed,
            threads=threads,
            start=start,
            objective="tweedie",
            tweedie_variance_power=self.config.tweedie_power,
        )

    def calibrate(self, rows: FeatureRows, values: NDArray[Any]) -> Self:
        """Learn intervals and tiers anew, from customers that `fit` did not see. Raises DataError."""
        spent = np.maximum(activity.labels(rows, values, "revenue"), 0)
        return self._settled(self._value(rows, self.horizon_days), spent, activity.cutoffs(rows))

    def _settled(self, expected: Numbers, spent: Numbers, moments: NDArray[np.int64]) -> Self:
        self.intervals = Intervals.fit(expected, spent, self.config.coverage, moments)
        newest = expected[moments == moments.max()]
        high = 1 - self.config.high_tier_share
        middle = max(high - self.config.middle_tier_share, 0)
        self.tiers = np.quantile(newest, (middle, high)).tolist()
        return self

    def predict(self, rows: FeatureRows, horizon_days: int | None = None) -> ValueEstimates:
        """Estimates for the next `horizon_days` (the trained horizon when None).

        Trees and intervals know the trained horizon only; for another their answer grows or shrinks as the
        expected orders of the same customer do. A longer horizon is never worth less.
        """
        if not self.horizon_days:
            raise DataError("This lifetime value model was not fitted. Fit or load one first.")
        horizon, rows = horizon_days or self.horizon_days, activity.clean(rows)
        value = self._value(rows, horizon)
        low, high = self._ends(rows, value, horizon)
        return ValueEstimates(value, low, high, self._orders(rows, horizon), self._active(rows, horizon))

    def _ends(self, rows: FeatureRows, value: Numbers, horizon: int) -> tuple[Numbers, Numbers]:
        if self.intervals is None:
            return np.zeros(len(value)), value.copy()
        low, high = self.intervals(self._value(rows, self.horizon_days))
        if horizon == self.horizon_days:
            return low, high
        growth = self._growth(rows, horizon)
        return np.minimum(low * growth, value), np.maximum(high * growth, value)

    def value_tiers(self, rows: FeatureRows, found: ValueEstimates | None = None) -> NDArray[np.str_]:
        """high, potential, middle or low. found: what `predict` told at the trained horizon, if it is known.

        potential: not high by expectation, but the upper end of the interval is, and the customer is young
        or growing.
        """
        rows = activity.clean(rows)
        found = found or self.predict(rows)
        middle, high = self.tiers
        rising = (column(rows, "tenure_days") <= self.config.young_days) | (
            value_inputs.growth(rows) >= self.config.growing
        )
        return np.select(
            [found.expected_value >= high, (found.high >= high) & rising, found.expected_value >= middle],
            ["high", "potential", "middle"],
            "low",
        )

    @activity.remembered
    def inputs(self, rows: FeatureRows) -> Numbers:
        spend, unit = self._spend(rows) / self.margin_share, 0.01 * self.mean_spend / self.margin_share
        orders = self._orders(rows, self.horizon_days)
        return value_inputs.matrix(rows, orders, spend, self.horizon_days, unit)

    @activity.remembered
    def _value(self, rows: FeatureRows, horizon: int) -> Numbers:
        if self.config.kind == "history":
            value = self.margin_share * history(rows, "spend", horizon)
        elif self.trees is None:
            value = self.value_level * self._habit(rows, horizon)
        else:
            value = self.value_level * self._corrected(rows) * self._growth(rows, horizon)
        return np.where(known_customers(rows), np.maximum(np.nan_to_num(value), 0), 0.0)

    @activity.remembered
    def _corrected(self, rows: FeatureRows) -> Numbers:
        """The habit as the trees see it, at the trained horizon."""
        assert self.trees is not None
        return np.exp(np.minimum(self.trees.raw(self.inputs(rows)) + self._start(rows), 50)) * self.mean_value

    @activity.remembered
    def _start(self, rows: FeatureRows) -> Numbers:
        """Where trees start: the logarithm of the habit in mean values, so that no currency changes them."""
        habit = self._habit(rows, self.horizon_days) / max(self.mean_value, 1e-9)
        return np.log(np.maximum(np.nan_to_num(habit), FLOOR))

    def _growth(self, rows: FeatureRows, horizon: int) -> Numbers:
        """Expected orders within the horizon over those within the trained one; history: time over time."""
        if self.config.kind == "history":
            return np.full(activity.size(rows), horizon / self.horizon_days)
        now, then = self._orders(rows, self.horizon_days), self._orders(rows, horizon)
        return np.divide(then, now, out=np.full(len(now), horizon / self.horizon_days), where=now > 0)

    def _habit(self, rows: FeatureRows, horizon: int) -> Numbers:
        """Expected orders times expected value of one."""
        return self._orders(rows, horizon) * self._spend(rows)

    @activity.remembered
    def _spend(self, rows: FeatureRows) -> Numbers:
        """Expected value of one purchase day; the shop's mean where that has no fit."""
        spend = self.margin_share * self.buying.value(rows)
        return np.where(np.isnan(spend), self.mean_spend, spend)

    @activity.remembered
    def _orders(self, rows: FeatureRows, horizon: int) -> Numbers:
        """Buy-till-you-die, with trees at the level that was seen; where it has no fit, as many as before."""
        orders = self.orders_level * self.buying.orders(rows, horizon)
        missing = np.isnan(orders)
        return np.where(missing, history(rows, "orders", horizon), orders) if missing.any() else orders

    @activity.remembered
    def _active(self, rows: FeatureRows, horizon: int) -> Numbers:
        chance = self.buying.active(rows, horizon)
        missing = np.isnan(chance)
        if missing.any():
            chance = np.where(missing, -np.expm1(-history(rows, "orders", horizon)), chance)
        return chance if self.curve is None else self.curve(chance)

    def reasons(self, rows: FeatureRows, limit: int = 3) -> list[list[Reason]]:
        """For each customer what makes the value high; for those of low tier what makes it low."""
        rows = activity.clean(rows)
        if not activity.size(rows):
            return []
        falling = self._value(rows, self.horizon_days) < self.tiers[0]
        if self.trees is not None:
            return activity_reasons.reasons(rows, self.names, self.pushes(rows), falling, limit)
        return self._habit_reasons(rows, falling, limit)

    def pushes(self, rows: FeatureRows) -> Numbers:
        """What each input adds to the logarithm of the value, shape (customers, inputs).

        TreeSHAP of the correction; the habit that it starts from counts as far as it differs from the mean
        customer's: its orders to expected_orders, its spend to expected_spend.
        """
        assert self.trees is not None
        found = self.trees.contributions(self.inputs(rows)).copy()
        parts = {
            "expected_orders": self._orders(rows, self.horizon_days),
            "expected_spend": self._spend(rows),
        }
        for (name, part), usual in zip(parts.items(), self.usual, strict=True):
            found[:, self.names.index(name)] += np.log(np.maximum(part, FLOOR * usual) / usual)
        return found

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
                "buying": self.buying.document(),
                "intervals": self.intervals and self.intervals.document(),
                "curve": self.curve and self.curve.document(),
                "value_of": self.value_of,
                **{name: getattr(self, name) for name in SAVED},
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        document = json.loads((folder / "lifetime_value.json").read_text(encoding="utf-8"))
        model = cls(LifetimeValueConfig(**document["config"]))
        for name in SAVED:
            setattr(model, name, document[name])
        model.buying = Buying.of(document["buying"])
        model.intervals = Intervals.of(document["intervals"]) if document["intervals"] else None
        model.curve = Calibration.of(document["curve"]) if document.get("curve") else None
        if model.config.kind == "lightgbm":
            model.trees = Trees.load(folder / "trees.txt").ready()
        return model


def habits(rows: FeatureRows) -> Numbers:
    """log1p of HABITS, shape (customers, 3)."""
    return np.log1p(np.nan_to_num(np.maximum(activity.matrix(rows, HABITS), 0)))


def curve(chance: Numbers, bought: NDArray[np.bool_]) -> Calibration | None:
    """What share of customers of each chance bought; None where all did, or none."""
    outcome = bought.astype(np.float64)
    return Calibration.fit(chance, outcome) if 0 < outcome.sum() < len(outcome) else None


def level(actual: Numbers, expected: Numbers) -> float:
    """Total seen over total expected, within 0.5..2; 1 where nothing was expected."""
    total = float(np.nansum(expected))
    return float(np.clip(actual.sum() / total, 0.5, 2.0)) if total > 0 else 1.0
