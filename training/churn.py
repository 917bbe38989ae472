"""The churn job: 'no order within the horizon', at rolling cutoffs, calibrated on a window of its own."""

from __future__ import annotations

from copy import copy
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from features.build import built_cutoffs
from features.offline import historical, snapshot
from features.rows import Rows
from patron.models.base import Model
from patron.models.churn import Churn
from patron.settings import Settings
from training import metrics, plots
from training.bootstrap import Indices, Judgement
from training.job import Job
from training.labels import DAY, Orders, churn_horizon
from training.windows import Windows, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Trial


class Labelled:
    """Customers at some cutoffs who can be judged, with what they did next."""

    def __init__(self, rows: Rows, churned: NDArray[np.float64]) -> None:
        self.rows = rows
        self.churned = churned


class ChurnJob(Job):
    short = "churn"
    kinds = ("lightgbm", "logistic", "recency")
    baseline = "recency"
    primary = "roc_auc"

    def __init__(self, settings: Settings, overrides: dict[str, Any] | None = None) -> None:
        super().__init__(settings, overrides)
        self.orders = Orders(settings)
        cutoffs = built_cutoffs(settings)
        days = (self.orders.last - self.orders.first) / DAY
        self.horizon_days = settings.churn_horizon_days or churn_horizon(self.orders.gaps(), days)
        self.judged, self.shipped = split(cutoffs, self.horizon_days)
        self.test, self.cutoff = self.judged.test, self.shipped.test
        self.left_out: dict[str, int] = {}
        self.fitted: dict[tuple[str, datetime], Churn] = {}

    def model(self, kind: str) -> Churn:
        kind_of_model, config = self.config(kind=kind)
        model = cast(Churn, cast(Any, kind_of_model)(config))
        model.horizon_days = self.horizon_days
        return model

    @cached_property
    def data(self) -> dict[datetime, Labelled]:
        """Customers of every cutoff that a fit, a calibration or the test needs, read once through Feast."""
        needed = {*self.judged.fit, self.judged.calibrate, self.test, *self.shipped.fit, self.shipped.calibrate}
        cutoffs = sorted(needed)
        references = list(self.model(self.baseline).references)
        people = [snapshot(self.settings, references[:1], cutoff).ids for cutoff in cutoffs]
        ids = [each for group in people for each in group]
        moments = [cutoff for cutoff, group in zip(cutoffs, people, strict=True) for _ in group]
        rows = historical(self.settings, ids, moments, references)
        found, start = {}, 0
        for cutoff, group in zip(cutoffs, people, strict=True):
            found[cutoff] = self.labelled(rows.take(np.arange(start, start + len(group))), cutoff)
            start += len(group)
        return found

    def labelled(self, rows: Rows, cutoff: datetime) -> Labelled:
        """Those with enough history who are not long gone, and whether they ordered within the horizon."""
        statuses = self.model(self.baseline).statuses(rows.columns)
        if cutoff == self.test:
            names, counts = np.unique(statuses, return_counts=True)
            self.left_out = {str(n): int(c) for n, c in zip(names, counts, strict=True) if n != "scored"}
        rows = rows.take(statuses == "scored")
        orders, _ = self.orders.after(rows.ids, cutoff, self.horizon_days)
        return Labelled(rows, (orders == 0).astype(np.float64))

    def stacked(self, cutoffs: list[datetime]) -> tuple[dict[str, NDArray[Any]], NDArray[np.float64]]:
        parts = [self.data[cutoff] for cutoff in cutoffs]
        columns = {
            name: np.concatenate([part.rows.columns[name] for part in parts]) for name in parts[0].rows.columns
        }
        return columns, np.concatenate([part.churned for part in parts])

    def fit(self, kind: str, shipped: bool) -> Churn:
        windows = self.shipped if shipped else self.judged
        model = copy(self.raw(kind, windows))
        last = self.data[windows.calibrate]
        return model.calibrate(last.rows.columns, last.churned)

    def raw(self, kind: str, windows: Windows) -> Churn:
        """Fitted but not calibrated; each is fitted once a job."""
        key = (kind, windows.test)
        if key not in self.fitted:
            columns, churned = self.stacked(windows.fit)
            self.fitted[key] = self.model(kind).fit(
                columns, churned, self.horizon_days, seed=self.settings.seed, threads=self.settings.threads
            )
        return self.fitted[key]

    def validated(self, kind: str) -> float:
        """ROC AUC of the uncalibrated scores on the calibration window, which the fit did not see."""
        last = self.data[self.judged.calibrate]
        return metrics.roc_auc(last.churned, self.raw(kind, self.judged).scores(last.rows.columns))

    def choose(self) -> tuple[str, dict[str, float]]:
        found = {kind: self.validated(kind) for kind in self.kinds}
        return max(found, key=lambda kind: found[kind]), found

    def validate(self) -> float:
        return self.validated("lightgbm")

    def judge(self, model: Model) -> Judgement:
        test = self.data[self.test]
        probability = cast(Churn, model).predict(test.rows.columns)
        outcome = test.churned

        def measure(at: Indices) -> dict[str, float]:
            y, p = outcome[at], probability[at]
            return {
                "roc_auc": metrics.roc_auc(y, p),
                "pr_auc": metrics.pr_auc(y, p),
                "brier": metrics.brier(y, p),
                "expected_calibration_error": metrics.expected_calibration_error(y, p),
                "lift_at_10": metrics.lift_at(y, p),
                "expected_maximum_profit": metrics.expected_maximum_profit(y, p),
            }

        orders, tenure = test.rows.columns["orders_total"], test.rows.columns["tenure_days"]
        slices = {
            "one order": np.flatnonzero(orders == 1),
            "2 to 5 orders": np.flatnonzero((orders > 1) & (orders <= 5)),
            "over 5 orders": np.flatnonzero(orders > 5),
            "new within 90 days": np.flatnonzero(tenure <= 90),
        }
        return Judgement(measure, len(outcome), self.primary, slices)

    def figures(self, model: Model) -> dict[str, Figure]:
        test = self.data[self.test]
        churn = cast(Churn, model)
        predictions = {
            churn.config.kind: churn.predict(test.rows.columns),
            self.baseline: self.fit(self.baseline, shipped=False).predict(test.rows.columns),
        }
        inputs = churn.inputs(test.rows.columns)
        drawn = {
            "calibration": plots.calibration(test.churned, predictions, f"no order in {self.horizon_days} days"),
            "gain": plots.gain(test.churned, predictions, "churn", "share of churners found"),
        }
        if churn.scorer is not None:
            drawn["importance"] = plots.importance(
                churn.scorer.contributions(inputs)[:, : len(churn.names)], inputs, churn.names, "the churn risk"
            )
        return drawn

    def references(self, model: Model) -> dict[str, str]:
        return cast(Churn, model).references

    def facts(self) -> dict[str, Any]:
        test = self.data[self.test]
        return {
            "horizon_days": self.horizon_days,
            "fit_cutoffs": f"{self.judged.fit[0]:%Y-%m-%d} .. {self.judged.fit[-1]:%Y-%m-%d} ({len(self.judged.fit)})",
            "calibration_cutoff": f"{self.judged.calibrate:%Y-%m-%d}",
            "test_cutoff": f"{self.test:%Y-%m-%d}",
            "fit_rows": sum(len(self.data[each].churned) for each in self.judged.fit),
            "test_customers": len(test.churned),
            "test_churn_rate": round(float(test.churned.mean()), 4),
            "left_out_of_the_test": self.left_out or "nobody",
        }

    def space(self, trial: Trial) -> dict[str, Any]:
        return {
            "kind": "lightgbm",
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.1, log=True),
            "trees": trial.suggest_int("trees", 50, 600, step=50),
            "leaves": trial.suggest_int("leaves", 4, 31),
            "min_leaf_share": trial.suggest_float("min_leaf_share", 0.001, 0.05, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.3, 1.0),
            "regularization": trial.suggest_float("regularization", 0.01, 100.0, log=True),
        }
