"""The churn job: 'no order within the horizon', at rolling cutoffs, calibrated on a window of its own."""

from __future__ import annotations

from copy import copy
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from features.build import has_rows
from features.rows import Rows
from patron.models import browsing
from patron.models.base import Model
from patron.models.churn import Churn
from patron.settings import Settings
from training import metrics, plots
from training.bootstrap import Indices, Judgement
from training.customers import CustomerJob, Followed, stacked
from training.labels import horizon_of
from training.windows import Windows

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Trial


class ChurnJob(CustomerJob):
    short = "churn"
    kinds = ("lightgbm", "logistic", "recency")
    rivals = ("logistic", "recency")
    baseline = "recency"
    primary = "roc_auc"

    def __init__(self, settings: Settings, overrides: dict[str, Any] | None = None) -> None:
        super().__init__(settings, overrides)
        self.fitted: dict[tuple[str, datetime], Churn] = {}

    def horizon(self) -> int:
        return horizon_of(self.settings, self.orders)

    def forget(self) -> None:
        self.fitted = {}

    def inputs(self) -> list[str]:
        return [*self.model(self.baseline).references, *browsing.references(self.browsing)]

    @cached_property
    def browsing(self) -> tuple[str, ...]:
        """What may be learned of browsing: all, where every window has seen events, else nothing."""
        return tuple(browsing.TYPES) if has_rows(self.settings, browsing.VIEW, self.cutoffs()) else ()

    def model(self, kind: str) -> Churn:
        found, config = self.config(kind=kind)
        model = cast(Any, found)(config)
        model.horizon_days = self.horizon_days
        model.browsing = self.browsing if kind != self.baseline else ()
        return cast(Churn, model)

    def eligible(self, rows: Rows, cutoff: datetime) -> NDArray[np.bool_]:
        """Those with enough history who are not long gone: the others are named, not scored."""
        statuses = self.model(self.baseline).statuses(rows.columns)
        if cutoff == self.test:
            names, counts = np.unique(statuses, return_counts=True)
            self.left_out = {str(n): int(c) for n, c in zip(names, counts, strict=True) if n != "scored"}
        return cast(NDArray[np.bool_], statuses == "scored")

    def fit(self, kind: str, shipped: bool) -> Churn:
        windows = self.shipped if shipped else self.judged
        last = self.data[windows.calibrate]
        return copy(self.raw(kind, windows)).calibrate(last.rows.columns, churned(last))

    def raw(self, kind: str, windows: Windows) -> Churn:
        """Fitted but not calibrated; each is fitted once a job."""
        key = (kind, windows.test)
        if key not in self.fitted:
            past = stacked([self.data[each] for each in windows.fit])
            self.fitted[key] = self.model(kind).fit(
                past.rows.columns,
                churned(past),
                self.horizon_days,
                seed=self.settings.seed,
                threads=self.settings.threads,
            )
        return self.fitted[key]

    def validated(self, kind: str) -> float:
        """ROC AUC of the uncalibrated scores on the calibration window, which the fit did not see."""
        last = self.data[self.judged.calibrate]
        return metrics.roc_auc(churned(last), self.raw(kind, self.judged).scores(last.rows.columns))

    def choose(self) -> tuple[str, dict[str, float]]:
        found = {kind: self.validated(kind) for kind in self.kinds}
        return max(found, key=lambda kind: found[kind]), found

    def validate(self) -> float:
        return self.validated("lightgbm")

    def judge(self, model: Model) -> Judgement:
        outcome = churned(self.data[self.test])
        columns = self.data[self.test].rows.columns
        unseen = np.full(len(outcome), np.nan)  # a champion may know of browsing that is no longer there
        probability = cast(Churn, model).predict({**dict.fromkeys(browsing.TYPES, unseen), **columns})

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

        band = metrics.calibration_band(probability, self.settings.seed)
        whole = {"calibration_band": band, "churn_rate": float(outcome.mean())}
        return Judgement(measure, len(outcome), self.primary, self.slices(), whole)

    def figures(self, model: Model) -> dict[str, Figure]:
        test, churn = self.data[self.test], cast(Churn, model)
        predictions = {
            churn.config.kind: churn.predict(test.rows.columns),
            self.baseline: self.fit(self.baseline, shipped=False).predict(test.rows.columns),
        }
        what = f"no order in {self.horizon_days} days"
        drawn = {
            "calibration": plots.calibration(churned(test), predictions, what),
            "gain": plots.gain(churned(test), predictions, "churn", "share of churners found"),
        }
        if churn.scorer is not None:
            inputs = churn.inputs(test.rows.columns)
            pushes = churn.scorer.contributions(inputs)
            drawn["importance"] = plots.importance(pushes, inputs, churn.names, "the churn risk")
        return drawn

    def references(self, model: Model) -> dict[str, str]:
        return cast(Churn, model).references

    def facts(self) -> dict[str, Any]:
        return {
            **self.window_facts(),
            "test_churn_rate": round(float(churned(self.data[self.test]).mean()), 4),
            "left_out_of_the_test": self.left_out or "nobody",
            "browsing": "learned from" if self.browsing else "no events at every cutoff",
        }

    def space(self, trial: Trial, part: str) -> dict[str, Any]:
        return {
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.1, log=True),
            "trees": trial.suggest_int("trees", 50, 600, step=50),
            "leaves": trial.suggest_int("leaves", 4, 31),
            "min_leaf_share": trial.suggest_float("min_leaf_share", 0.001, 0.05, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.3, 1.0),
            "regularization": trial.suggest_float("regularization", 0.01, 100.0, log=True),
        }


def churned(customers: Followed) -> NDArray[np.float64]:
    """1 where no order followed within the horizon."""
    return (customers.orders == 0).astype(np.float64)
