"""The lifetime value job: revenue or margin, net of returns, within the horizon, beside a repeated past."""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from features.rows import Rows
from patron.errors import DataError
from patron.lake.tables import Lake
from patron.models.base import Model
from patron.models.lifetime_value import LifetimeValue, LifetimeValueConfig
from patron.settings import Settings
from training import metrics, plots
from training.bootstrap import Indices, Judgement
from training.customers import CustomerJob, Followed, stacked
from training.windows import Windows, ending_at

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Trial


class LifetimeValueJob(CustomerJob):
    """Every customer is learned from, and calibrates trees that did not see the same customer."""

    short = "lifetime-value"
    kinds = ("lightgbm", "btyd", "history")
    rivals = ("btyd", "history")
    baseline = "history"
    primary = "gini"

    def __init__(self, settings: Settings, overrides: dict[str, Any] | None = None) -> None:
        super().__init__(settings, overrides)
        self.fitted: dict[tuple[str, datetime], LifetimeValue] = {}

    def horizon(self) -> int:
        return self.settings.value_horizon_days

    def windows(self, test: datetime) -> Windows:
        """The last twelve cutoffs whose labels end by the test, the calibration's the newest of them."""
        return ending_at(self.built, test, self.horizon_days, most=11, overlap=True)

    def forget(self) -> None:
        self.fitted = {}

    def inputs(self) -> list[str]:
        return list(self.model(self.baseline).references)

    def worth(self) -> tuple[str, float]:
        """(what is predicted: revenue or margin, what one unit of revenue is worth of it).

        Decided by the year before the test. Raises DataError when margin is asked for and none is known.
        """
        asked = cast(LifetimeValueConfig, self.config()[1])
        known, share = self.orders.costs(self.test)
        if asked.value_of == "margin" and share <= 0:
            raise DataError(
                f"value_of is margin, but none is known: {known:.0%} of the year's revenue has a cost, and "
                f"{share:.0%} of it is margin. Import products.unit_cost, or set value_of to revenue or auto."
            )
        if asked.value_of == "revenue" or share <= 0:
            return "revenue", 1.0
        enough = asked.value_of == "margin" or known >= asked.costs_known
        return ("margin", share) if enough else ("revenue", 1.0)

    def followed(self, rows: Rows, cutoff: datetime) -> Followed:
        value_of, share = self.worth()
        amounts = self.orders.margins(share) if value_of == "margin" else None
        rows = rows.take(self.eligible(rows, cutoff))
        return Followed(rows, *self.orders.after(rows.ids, cutoff, self.horizon_days, amounts))

    def model(self, kind: str) -> LifetimeValue:
        found, config = self.config(kind=kind, value_of=self.worth()[0])
        return cast(LifetimeValue, cast(Any, found)(config))

    def fit(self, kind: str, shipped: bool) -> LifetimeValue:
        """Each is fitted once a job: the judged twin and the one to ship."""
        windows = self.shipped if shipped else self.judged
        key = (kind, windows.test)
        if key not in self.fitted:
            past = stacked([self.data[each] for each in (*windows.fit, windows.calibrate)])
            self.fitted[key] = self.model(kind).fit(
                past.rows.columns,
                past.revenue,
                past.orders,
                self.horizon_days,
                seed=self.settings.seed,
                threads=self.settings.threads,
                customers=hashed(past.rows.ids),
                margin_share=self.worth()[1],
            )
        return self.fitted[key]

    def validated(self, kind: str) -> float:
        """Gini over the newest window of the fit, of trees that did not see the customer."""
        last = self.data[self.judged.calibrate]
        expected = self.fit(kind, shipped=False).crossed[-len(last.revenue) :]
        return metrics.gini(np.maximum(last.revenue, 0), expected)

    def choose(self) -> tuple[str, dict[str, float]]:
        found = {kind: self.validated(kind) for kind in self.kinds}
        return max(found, key=lambda kind: found[kind]), found

    def validate(self) -> float:
        return self.validated("lightgbm")

    def judge(self, model: Model) -> Judgement:
        test = self.data[self.test]
        actual = np.maximum(test.revenue, 0)
        found = cast(LifetimeValue, model).predict(test.rows.columns)

        def measure(at: Indices) -> dict[str, float]:
            y, p = actual[at], found.expected_value[at]
            return {
                "gini": metrics.gini(y, p),
                "spearman": metrics.spearman(y, p),
                "mae": metrics.mae(y, p),
                "rmse": metrics.rmse(y, p),
                "total_bias": metrics.total_bias(y, p),
                "interval_width": float(np.mean(found.high[at] - found.low[at])),
                "interval_coverage": metrics.interval_coverage(y, found.low[at], found.high[at]),
                "roc_auc_active": metrics.roc_auc((y > 0).astype(np.float64), found.probability_active[at]),
            }

        return Judgement(measure, len(actual), self.primary, self.slices())

    def figures(self, model: Model) -> dict[str, Figure]:
        test, value = self.data[self.test], cast(LifetimeValue, model)
        actual = np.maximum(test.revenue, 0)
        predictions: dict[str, NDArray[np.float64]] = {
            name: each.predict(test.rows.columns).expected_value
            for name, each in (("shipped", value), (self.baseline, self.fit(self.baseline, shipped=False)))
        }
        currency = str(Lake(self.settings.lake).facts()["currency"])
        drawn = {
            "calibration": plots.decile_value(actual, predictions, currency),
            "gain": plots.gain(actual, predictions, "lifetime value", "share of revenue found"),
        }
        if value.trees is not None:
            inputs = value.inputs(test.rows.columns)
            drawn["importance"] = plots.importance(
                value.pushes(test.rows.columns), inputs, value.names, "the expected value"
            )
        return drawn

    def references(self, model: Model) -> dict[str, str]:
        return cast(LifetimeValue, model).references

    def facts(self) -> dict[str, Any]:
        test = self.data[self.test]
        return {
            **self.window_facts(),
            "value_of": self.worth()[0],
            "share_of_revenue_with_costs": round(self.orders.costs(self.test)[0], 4),
            "currency": Lake(self.settings.lake).facts()["currency"],
            "test_mean_value": round(float(np.maximum(test.revenue, 0).mean()), 2),
            "test_share_active": round(float((test.orders > 0).mean()), 4),
        }

    def space(self, trial: Trial, part: str) -> dict[str, Any]:
        return {
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.1, log=True),
            "trees": trial.suggest_int("trees", 50, 600, step=50),
            "leaves": trial.suggest_int("leaves", 4, 31),
            "min_leaf_share": trial.suggest_float("min_leaf_share", 0.001, 0.05, log=True),
            "regularization": trial.suggest_float("regularization", 0.01, 100.0, log=True),
            "tweedie_power": trial.suggest_float("tweedie_power", 1.1, 1.9),
        }


def hashed(ids: list[str]) -> NDArray[np.int64]:
    """A number for each customer, the same at every cutoff and in every run."""
    return np.array([zlib.crc32(each.encode()) for each in ids], dtype=np.int64)
