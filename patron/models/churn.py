"""Churn risk: the probability that a customer orders nothing within a horizon after the cutoff."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from patron.errors import DataError
from patron.files import publish_json
from patron.models import activity, activity_reasons, browsing
from patron.models.activity import Numbers
from patron.models.base import FeatureRows, Model, Reason
from patron.models.calibration import Calibration
from patron.models.logistic import Logistic
from patron.models.trees import Trees, TreesConfig
from patron.models.waiting import Waiting


class ChurnConfig(TreesConfig):
    """What `configs/models/churn.toml` may set."""

    kind: Literal["lightgbm", "logistic", "recency"] = "lightgbm"
    """lightgbm; logistic over the same inputs; recency: logistic over the last order's age, the baseline."""
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
    """Fit on some cutoffs, calibrate on a later one, predict.

    Predictions are LightGBM's or a logistic regression's scores through an isotonic curve learned on a window
    of its own; order is kept (see `calibration`).
    """

    Config = ChurnConfig

    def __init__(self, config: ChurnConfig | None = None):
        self.config = config or ChurnConfig()
        self.horizon_days = 0
        self.scorer: Trees | Logistic | None = None
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
        return activity.INPUTS + activity.DERIVED + self.browsing

    @functools.cached_property
    def references(self) -> dict[str, str]:
        """Feast reference -> type of every feature that this model reads."""
        return activity.references(activity.TYPES) | browsing.references(self.browsing)

    def fit(
        self, rows: FeatureRows, churned: NDArray[Any], horizon_days: int, *, seed: int, threads: int = 1
    ) -> Self:
        """Learn from rows of one or more cutoffs. churned: 1 when no order followed within `horizon_days`.

        Raises DataError when there is no row, or all customers did the same.
        """
        outcome = activity.labels(rows, churned, "churned")
        if len(np.unique(outcome)) < 2:
            did = "left" if outcome[0] else "came back"
            raise DataError(
                f"All {len(outcome)} customers {did} within {horizon_days} days. Use another horizon."
            )
        self.horizon_days, self.base_rate = horizon_days, float(outcome.mean())
        self.waiting = Waiting.fit(rows)
        inputs = self.inputs(rows)
        if self.config.kind == "lightgbm":
            self.scorer = Trees.fit(
                self.names, inputs, outcome, self.config, seed=seed, threads=threads, objective="binary"
            )
        else:
            self.scorer = Logistic.fit(self.names, inputs, outcome, self.config.shrinkage)
        return self

    def calibrate(self, rows: FeatureRows, churned: NDArray[Any]) -> Self:
        """Learn the curve and the risk thresholds on a window that `fit` did not see. Raises DataError."""
        outcome = activity.labels(rows, churned, "churned")
        self.calibration = Calibration.fit(self.scores(rows), outcome)
        self.base_rate = float(outcome.mean())
        return self

    def inputs(self, rows: FeatureRows) -> Numbers:
        return activity.matrix(rows, self.names, **browsing.numbers(rows, self.browsing))

    def scores(self, rows: FeatureRows) -> Numbers:
        """Uncalibrated probabilities, shape (customers,)."""
        if self.scorer is None:
            raise DataError("This churn model was not fitted. Fit or load one first.")
        return expit(self.scorer.raw(self.inputs(rows)))

    def predict(self, rows: FeatureRows) -> Numbers:
        """P(no order within `horizon_days`), shape (customers,), within 0.001..0.999, never NaN."""
        return self.calibration(self.scores(rows))

    def risks(self, probabilities: Any) -> Any:
        """high: odds of leaving at least twice those of the calibration window's average customer;
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
        if isinstance(self.scorer, Trees):
            self.scorer.save(folder / "trees.txt")
        publish_json(
            folder / "churn.json",
            {
                "config": self.config.model_dump(),
                "horizon_days": self.horizon_days,
                "base_rate": self.base_rate,
                "calibration": self.calibration.document(),
                "waiting": self.waiting.document(),
                "browsing": self.browsing,
                "logistic": self.scorer.document() if isinstance(self.scorer, Logistic) else None,
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
        linear = document["logistic"]
        model.scorer = Logistic.of(linear) if linear else Trees.load(folder / "trees.txt").ready()
        return model


def odds_times(probability: float, factor: float) -> float:
    """The probability whose odds are `factor` times those of the given one."""
    odds = factor * probability / max(1 - probability, 1e-9)
    return odds / (1 + odds)
