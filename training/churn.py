"""The churn job: no order within the horizon, at rolling cutoffs; customers left out in turn calibrate."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from copy import copy
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from features.build import has_rows
from features.rows import Rows
from patron.models import browsing
from patron.models.base import Model
from patron.models.churn import Churn
from patron.models.waiting import Waiting
from patron.settings import Settings
from training import metrics, plots
from training.bootstrap import Indices, Interval, Judgement, difference
from training.customers import CustomerJob, Followed, stacked
from training.labels import horizon_of
from training.next_orders import reliability
from training.windows import Windows

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Trial


FOLDS = 3
LARGEST_CALIBRATION = 100_000
"""Rows that calibrate, drawn at random where there are more."""


class ChurnJob(CustomerJob):
    """Candidates are chosen by models fitted on cutoffs whose labels end by the calibration window, which
    scores them. What is judged, or shipped, is fitted once more on all labels known by then; a third of the
    customers in turn is scored by a model of the others, and these scores calibrate it."""

    short = "churn"
    kinds = ("mixed", "lightgbm", "logistic", "recency")
    rivals = ("logistic", "recency")
    baseline = "recency"
    primary = "roc_auc"

    def __init__(self, settings: Settings, overrides: dict[str, Any] | None = None) -> None:
        super().__init__(settings, overrides)
        self.forget()

    def horizon(self) -> int:
        return horizon_of(self.settings, self.orders)

    def forget(self) -> None:
        self.fitted: dict[tuple[str, tuple[datetime, ...]], Churn] = {}
        self.waits: dict[tuple[datetime, ...], Waiting] = {}
        self.odds: dict[tuple[str, datetime], NDArray[np.float64]] = {}

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

    def learns(self, windows: Windows) -> list[datetime]:
        return windows.known

    def fit(self, kind: str, shipped: bool) -> Churn:
        windows = self.shipped if shipped else self.judged
        drawn = self.calibrating(windows)
        scores = expit(self.out_of_fold(kind, windows))
        return copy(self.raw(kind, self.learns(windows))).calibrate_on(scores, churned(drawn))

    def raw(self, kind: str, cutoffs: list[datetime]) -> Churn:
        """Fitted on these cutoffs but not calibrated; each is fitted once a job."""
        key = (kind, tuple(cutoffs))
        if key not in self.fitted:
            self.fitted[key] = self.fresh(kind, cutoffs)
        return self.fitted[key]

    def fresh(self, kind: str, cutoffs: list[datetime]) -> Churn:
        model = self.model(kind)
        if kind == "mixed":
            return model.mix(self.raw("lightgbm", cutoffs), self.raw("logistic", cutoffs))
        past = stacked([self.data[each] for each in cutoffs])
        wait = self.waiting(cutoffs, past)
        return model.fit(past.rows.columns, churned(past), self.horizon_days, waiting=wait, **self.chance())

    def waiting(self, cutoffs: list[datetime], past: Followed) -> Waiting:
        """The wait for the next order, which is no candidate's matter: fitted once for all of them, and only
        where a model may be judged or shipped."""
        if cutoffs not in (self.learns(self.judged), self.learns(self.shipped)):
            return Waiting()
        if tuple(cutoffs) not in self.waits:
            came = 1 - churned(past)
            self.waits[tuple(cutoffs)] = Waiting.fit(past.rows.columns, came, self.horizon_days)
        return self.waits[tuple(cutoffs)]

    def chance(self) -> dict[str, int]:
        return {"seed": self.settings.seed, "threads": self.settings.threads}

    def calibrating(self, windows: Windows) -> Followed:
        """The customers that calibrate, at every cutoff that is learned from."""
        past = stacked([self.data[each] for each in self.learns(windows)])
        rows = len(past.rows)
        if rows <= LARGEST_CALIBRATION:
            return past
        return past.take(np.random.default_rng(self.settings.seed).permutation(rows)[:LARGEST_CALIBRATION])

    def out_of_fold(self, kind: str, windows: Windows) -> NDArray[np.float64]:
        """Log-odds of `calibrating`, each by a model that did not see the customer; once a job."""
        key = (kind, windows.test)
        if key not in self.odds:
            self.odds[key] = self.left_out_in_turn(kind, windows)
        return self.odds[key]

    def left_out_in_turn(self, kind: str, windows: Windows) -> NDArray[np.float64]:
        if kind == "mixed":
            weight = self.model(kind).config.trees_weight
            trees, linear = (self.out_of_fold(each, windows) for each in ("lightgbm", "logistic"))
            return weight * trees + (1 - weight) * linear
        drawn, model = self.calibrating(windows), self.raw(kind, self.learns(windows))
        return model.out_of_fold(drawn.rows.columns, churned(drawn), folds(drawn.rows.ids), **self.chance())

    def validated(self, kind: str) -> float:
        """ROC AUC of the uncalibrated scores on the calibration window, which this fit did not see."""
        last = self.data[self.judged.calibrate]
        return metrics.roc_auc(churned(last), self.raw(kind, self.judged.fit).scores(last.rows.columns))

    def choose(self) -> tuple[str, dict[str, float]]:
        """The first kind, unless the paired interval of the calibration window shows another one better."""
        found = {kind: self.validated(kind) for kind in self.kinds}
        first, best = self.kinds[0], max(found, key=lambda kind: found[kind])
        ahead = best != first and self.validation_gap(best, first).low > 0
        return (best if ahead else first), found

    def validation_gap(self, one: str, other: str) -> Interval:
        """ROC AUC of one kind minus that of another on the calibration window, paired."""
        last = self.data[self.judged.calibrate]
        outcome = churned(last)

        def judgement(kind: str) -> Judgement:
            scores = self.raw(kind, self.judged.fit).scores(last.rows.columns)
            return Judgement(
                lambda at: {self.primary: metrics.roc_auc(outcome[at], scores[at])},
                len(outcome),
                self.primary,
            )

        return difference(judgement(one), judgement(other), self.settings.seed)

    def validate(self) -> float:
        return self.validated("mixed")

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
                "shape_error": metrics.shape_error(y, p),
                "level_error": float(p.mean() - y.mean()),
                "lift_at_10": metrics.lift_at(y, p),
                "expected_maximum_profit": metrics.expected_maximum_profit(y, p),
            }

        band = metrics.calibration_band(probability, self.settings.seed)
        whole = {"calibration_band": band, "churn_rate": float(outcome.mean())}
        whole |= self.next_orders(getattr(model, "waiting", None))
        return Judgement(measure, len(outcome), self.primary, self.slices(), whole)

    def next_orders(self, waiting: Waiting | None) -> dict[str, float]:
        """How well a model tells when the next order comes; nothing for a rival that does not tell it."""
        if waiting is None:
            return {}
        rows = self.data[self.test].rows
        waits = self.orders.next_days(rows.ids, self.test)
        return reliability(waiting, rows.columns, waits, self.horizon_days, self.settings.seed)

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
            "trees_weight": trial.suggest_float("trees_weight", 0.0, 1.0),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.3, 1.0),
            "regularization": trial.suggest_float("regularization", 0.01, 100.0, log=True),
        }


def churned(customers: Followed) -> NDArray[np.float64]:
    """1 where no order followed within the horizon."""
    return (customers.orders == 0).astype(np.float64)


def folds(ids: Sequence[str]) -> NDArray[np.int64]:
    """The fold of each customer, the same at every cutoff and in every run."""
    return np.array([zlib.crc32(each.encode()) % FOLDS for each in ids], dtype=np.int64)
