"""Churn risk: the probability that a customer orders nothing within a horizon after the cutoff."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit

from patron.errors import DataError
from patron.files import publish_json
from patron.models import activity, activity_reasons, browsing
from patron.models.activity import Numbers
from patron.models.base import FeatureRows, Model, Reason
from patron.models.buying import Buying
from patron.models.calibration import Calibration
from patron.models.logistic import Logistic
from patron.models.mixed import Mixed, Scorer, joined, parts
from patron.models.trees import Trees, TreesConfig
from patron.models.waiting import Waiting

EXPECTED = ("expected_orders",)
"""Purchase days that buy-till-you-die expects within the horizon: an input, never the score itself."""


class ChurnConfig(TreesConfig):
    """What `configs/models/churn.toml` may set."""

    kind: Literal["mixed", "lightgbm", "logistic", "recency"] = "mixed"
    """lightgbm; logistic over the same inputs; mixed: both; recency: logistic over the last order's age, the
    baseline."""
    trees_weight: float = Field(default=0.5, ge=0, le=1)
    """Of kind mixed: share of the trees in the mean of the log-odds."""
    calibration: Literal["sigmoid", "isotonic"] = "sigmoid"
    """The curve from scores to probabilities."""
    shrinkage: float = 10.0
    """L2 penalty of the logistic kinds."""
    min_orders: int = 1
    """Fewer orders than this: insufficient_history."""
    min_tenure_days: float = 1.0
    """First order younger than this: insufficient_history."""
    gone_after_horizons: float = 2.0
    """Without an order for so many horizons, and..."""
    gone_after_gaps: float = 4.0
    """...for so many of the customer's own mean gaps: already_churned."""


@dataclass(frozen=True)
class Judgement:
    """What the model says about one customer; only the status where that is not `scored`."""

    status: str
    probability: float | None = None
    risk: str | None = None
    next_order_days: float | None = None
    reasons: list[Reason] = field(default_factory=list)


class Churn(Model):
    """Fit, calibrate on customers that the fit did not see, predict.

    Predictions are the scores of trees, of a logistic regression or of both through a curve; order is kept
    (see `calibration`).
    """

    Config = ChurnConfig

    def __init__(self, config: ChurnConfig | None = None):
        self.config = config or ChurnConfig()
        self.horizon_days = 0
        self.scorer: Scorer | None = None
        self.buying: Buying | None = None
        self.calibration = Calibration.none()
        self.waiting = Waiting()
        self.base_rate = 0.5
        self.browsing: tuple[str, ...] = ()
        """What is read of `customer_browsing`; nothing where a shop sends no events. Set before `fit`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs of the score."""
        if self.config.kind == "recency":
            return ("recency_days",)
        expected = EXPECTED if self.buying is not None else ()
        return activity.INPUTS + activity.DERIVED + expected + self.browsing

    @functools.cached_property
    def references(self) -> dict[str, str]:
        """Feast reference -> type of every feature that this model reads."""
        return activity.references(activity.TYPES) | browsing.references(self.browsing)

    def fit(
        self,
        rows: FeatureRows,
        churned: NDArray[Any],
        horizon_days: int,
        *,
        seed: int,
        threads: int = 1,
        waiting: Waiting | None = None,
    ) -> Self:
        """Learn from rows of one or more cutoffs. churned: 1 when no order followed within `horizon_days`.

        waiting: one that was fitted on these rows before. Raises DataError when there is no row, or all
        customers did the same.
        """
        outcome = activity.labels(rows, churned, "churned")
        if len(np.unique(outcome)) < 2:
            did = "left" if outcome[0] else "came back"
            raise DataError(
                f"All {len(outcome)} customers {did} within {horizon_days} days. Use another horizon."
            )
        self.horizon_days, self.base_rate = horizon_days, float(outcome.mean())
        self.waiting = waiting or Waiting.fit(rows, 1 - outcome, horizon_days)
        self.buying = Buying.fit(rows, seed=seed, orders_only=True) if self.config.kind != "recency" else None
        self.scorer = self.learned(self.inputs(rows), outcome, seed, threads)
        return self

    def learned(self, inputs: Numbers, outcome: Numbers, seed: int, threads: int) -> Scorer:
        """The scorer of this kind."""
        if self.config.kind not in ("lightgbm", "mixed"):
            return Logistic.fit(self.names, inputs, outcome, self.config.shrinkage)
        trees = Trees.fit(
            self.names, inputs, outcome, self.config, seed=seed, threads=threads, objective="binary"
        )
        if self.config.kind == "lightgbm":
            return trees
        linear = Logistic.fit(self.names, inputs, outcome, self.config.shrinkage)
        return Mixed(trees, linear, self.config.trees_weight)

    def mix(self, trees: Churn, linear: Churn) -> Self:
        """Take over two models that were fitted on the same rows, instead of fitting them again."""
        assert isinstance(trees.scorer, Trees) and isinstance(linear.scorer, Logistic)
        self.horizon_days, self.base_rate = trees.horizon_days, trees.base_rate
        self.waiting, self.buying, self.browsing = trees.waiting, trees.buying, trees.browsing
        self.scorer = Mixed(trees.scorer, linear.scorer, self.config.trees_weight)
        return self

    def out_of_fold(
        self, rows: FeatureRows, churned: NDArray[Any], folds: NDArray[Any], *, seed: int, threads: int = 1
    ) -> Numbers:
        """Log-odds of each customer by a model of the others: the same recipe without that customer's fold.

        folds: shape (customers,); a customer's rows share one. Raises DataError.
        """
        outcome, inputs = activity.labels(rows, churned, "churned"), self.inputs(rows)
        found = np.empty(len(outcome))
        for fold in np.unique(folds):
            away = folds == fold
            if len(np.unique(outcome[~away])) < 2:
                raise DataError(
                    f"Too few customers to calibrate: {len(outcome)} rows, most with one outcome."
                )
            found[away] = self.learned(inputs[~away], outcome[~away], seed, threads).raw(inputs[away])
        return found

    def calibrate(self, rows: FeatureRows, churned: NDArray[Any]) -> Self:
        """Learn the curve and the risk thresholds from customers that `fit` did not see. Raises DataError."""
        return self.calibrate_on(self.scores(rows), activity.labels(rows, churned, "churned"))

    def calibrate_on(self, scores: Numbers, outcome: Numbers) -> Self:
        """`calibrate` by scores (uncalibrated probabilities) of models that did not see these customers."""
        self.calibration = Calibration.fit(scores, outcome, self.config.calibration)
        self.base_rate = float(outcome.mean())
        return self

    def inputs(self, rows: FeatureRows) -> Numbers:
        more = browsing.numbers(rows, self.browsing)
        if self.buying is not None:
            more["expected_orders"] = self.buying.orders(rows, self.horizon_days)
        return activity.matrix(rows, self.names, **more)

    def scores(self, rows: FeatureRows) -> Numbers:
        """Uncalibrated probabilities, shape (customers,)."""
        if self.scorer is None:
            raise DataError("This churn model was not fitted. Fit or load one first.")
        return expit(self.scorer.raw(self.inputs(rows)))

    def predict(self, rows: FeatureRows) -> Numbers:
        """P(no order within `horizon_days`), shape (customers,), within 0.001..0.999, never NaN."""
        return self.calibration(self.scores(rows))

    def risks(self, probabilities: Any) -> Any:
        """high: odds of leaving at least twice those of the average customer of the calibration;
        low: at most half of them; medium between. Shape (customers,), or of one number."""
        low, high = (odds_times(self.base_rate, factor) for factor in (0.5, 2.0))
        return activity.first_of([probabilities >= high, probabilities <= low], ["high", "low"], "medium")

    def statuses(self, rows: FeatureRows | activity.One) -> Any:
        """insufficient_history (no order, too few or too new), already_churned (silent far beyond the horizon
        and the customer's own rhythm), else scored. Shape (customers,)."""
        recency, gap = activity.column(rows, "recency_days"), activity.column(rows, "mean_gap_days")
        known = (activity.column(rows, "orders_total") >= max(1, self.config.min_orders)) & (
            activity.column(rows, "tenure_days") >= self.config.min_tenure_days
        )
        silent = recency > self.config.gone_after_horizons * self.horizon_days
        beyond = (recency <= self.config.gone_after_gaps * gap) ^ True
        return activity.first_of(
            [known ^ True, silent & beyond], ["insufficient_history", "already_churned"], "scored"
        )

    def next_order_days(self, rows: FeatureRows | activity.One) -> Any:
        """Days from the cutoff to the next order of a customer who stays, at least 0. See `Waiting`."""
        return self.waiting.remaining(rows)

    def reasons(self, rows: FeatureRows, limit: int = 3) -> list[list[Reason]]:
        """For each customer what raises the risk most; for those at low risk what lowers it most."""
        if self.scorer is None or not activity.size(rows):
            return [[] for _ in range(activity.size(rows))]
        falling = self.risks(self.predict(rows)) == "low"
        return activity_reasons.reasons(
            rows, self.names, self.scorer.contributions(self.inputs(rows)), falling, limit
        )

    def judge(self, rows: FeatureRows, limit: int = 3) -> Judgement:
        """All of the above about the only customer of these rows, the same to the last bit, much faster.

        limit: reasons at most. Raises DataError when the model was not fitted.
        """
        if self.scorer is None:
            raise DataError("This churn model was not fitted. Fit or load one first.")
        customer = activity.one(rows, self.browsing)
        status = self.statuses(customer)
        if status != "scored":
            return Judgement(status)
        customer.update(browsing.numbers(customer, self.browsing))
        if self.buying is not None:
            customer["expected_orders"] = self.buying.orders_of_one(customer, self.horizon_days)
        raw, pushes = self.scorer.explained(np.array(activity.inputs(customer, self.names)))
        probability = float(self.calibration(float(expit(raw))))
        risk = self.risks(probability)
        return Judgement(
            status,
            probability,
            risk,
            float(self.next_order_days(customer)),
            activity_reasons.of_one(customer, self.names, pushes, risk == "low", limit),
        )

    def save(self, folder: Path) -> None:
        if self.scorer is None:
            raise DataError("A churn model that was not fitted cannot be saved.")
        trees, linear = parts(self.scorer)
        if trees is not None:
            trees.save(folder / "trees.txt")
        publish_json(
            folder / "churn.json",
            {
                "config": self.config.model_dump(),
                "horizon_days": self.horizon_days,
                "base_rate": self.base_rate,
                "calibration": self.calibration.document(),
                "waiting": self.waiting.document(),
                "browsing": self.browsing,
                "buying": self.buying and self.buying.document(),
                "logistic": linear and linear.document(),
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        document = json.loads((folder / "churn.json").read_text(encoding="utf-8"))
        model = cls(ChurnConfig(**document["config"]))
        model.horizon_days, model.base_rate = document["horizon_days"], document["base_rate"]
        model.calibration = Calibration.of(document["calibration"])
        model.waiting = Waiting.of(document["waiting"])
        model.browsing = tuple(document.get("browsing", ()))
        buying, linear = document.get("buying"), document["logistic"]
        model.buying = Buying.of(buying) if buying else None
        model.scorer = joined(
            Trees.load(folder / "trees.txt").ready() if (folder / "trees.txt").is_file() else None,
            Logistic.of(linear) if linear else None,
            model.config.trees_weight,
        )
        return model


def odds_times(probability: float, factor: float) -> float:
    """The probability whose odds are `factor` times those of the given one."""
    odds = factor * probability / max(1 - probability, 1e-9)
    return odds / (1 + odds)
