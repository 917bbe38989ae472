"""Uplift: what each treatment adds to an outcome of each customer, beside leaving that customer alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from patron.errors import DataError
from patron.files import publish_json
from patron.models.activity import Numbers
from patron.models.base import Config
from patron.models.responses import Base, Constant, Mixture, Regression, Response, read
from patron.models.trees import TreesConfig
from patron.models.uplift_learners import (
    LEARNERS,
    NONE,
    Trial,
    control_of,
    estimated_propensity,
    weights,
)

Kind = Literal["binary", "amount"]
FILE = "uplift.json"
SHALLOW = TreesConfig(learning_rate=0.05, trees=80, leaves=6, min_leaf_share=0.02, feature_fraction=0.6)
"""Differences of responses are small beside the responses: few, shallow trees with many rows a leaf."""


class UpliftConfig(Config):
    """How effects are learned."""

    learner: Literal["average", "flag", "t", "x", "dr"] = "t"
    base: Base = "logistic"
    """Of the learners t, x and dr: logistic (ridge, for amounts) or trees."""
    regularization: float = Field(default=10.0, gt=0)
    """L2 penalty of logistic and ridge regression on standardised inputs."""
    trees: TreesConfig = SHALLOW

    def regression(self, names: tuple[str, ...], seed: int, threads: int) -> Regression:
        return Regression(names, self.base, self.regularization, self.trees, seed, threads)


class Uplift:
    """Fitted effects of several treatments, each against `none`.

    names: what `inputs` are, in order. arms: the treatments, in the order of the columns of `effects`.
    parts: what gives each of them. control: what is expected of those who are left alone.
    """

    def __init__(self, config: UpliftConfig | None = None):
        self.config = config or UpliftConfig()
        self.names: tuple[str, ...] = ()
        self.arms: tuple[str, ...] = ()
        self.parts: dict[str, Mixture] = {}
        self.control: Response = Constant(0.0)

    def fit(
        self,
        names: tuple[str, ...],
        inputs: Numbers,
        treatment: ArrayLike,
        outcome: ArrayLike,
        propensity: Numbers | None = None,
        kind: Kind = "binary",
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> Self:
        """Learn every arm that is in `treatment`. The same seed gives the same model.

        inputs: shape (n, d), NaN where missing. treatment: (n,) text, `none` for the control. outcome: (n,),
        0/1 or an amount. propensity: (n,), of the treatment that a row received; None: estimated.
        Raises DataError where nobody was left alone, or nobody was treated.
        """
        regression = self.config.regression(names, seed, threads)
        trial = logged(inputs, treatment, outcome, propensity, kind, regression)
        learn = LEARNERS[self.config.learner]
        parts = {arm: learn(trial, arm, regression) for arm in trial.arms}
        return self.made(names, parts, control_of(trial, regression))

    def made(self, names: tuple[str, ...], parts: dict[str, Mixture], control: Response) -> Self:
        """Of parts that were fitted elsewhere."""
        self.names, self.arms, self.parts, self.control = names, tuple(parts), parts, control
        return self

    def effects(self, inputs: Numbers) -> Numbers:
        """Expected outcome with each treatment less that without any, shape (n, arms).

        inputs: shape (n, d), in the order of `names`.
        """
        found = [self.parts[arm].predict(inputs) for arm in self.arms]
        return np.column_stack(found) if found else np.zeros((len(inputs), 0))

    def without(self, inputs: Numbers) -> Numbers:
        """Expected outcome of a customer who is left alone, shape (n,)."""
        return self.control.predict(inputs)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "config": self.config.model_dump(mode="json"),
            "names": list(self.names),
            "parts": {arm: part.document() for arm, part in self.parts.items()},
            "control": self.control.document(),
        }

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """What `document` wrote."""
        parts = {arm: Mixture.of(part) for arm, part in document["parts"].items()}
        model = cls(UpliftConfig(**document["config"]))
        return model.made(tuple(document["names"]), parts, read(document["control"]))

    def save(self, folder: Path) -> None:
        publish_json(folder / FILE, self.document())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote."""
        return cls.of(json.loads((folder / FILE).read_text(encoding="utf-8")))


def logged(
    inputs: Numbers,
    treatment: ArrayLike,
    outcome: ArrayLike,
    propensity: Numbers | None,
    kind: Kind,
    regression: Regression,
) -> Trial:
    """A log as a Trial. Raises DataError where it has no two arms, or a propensity is none."""
    arms: NDArray[np.str_] = np.asarray(treatment, dtype=np.str_)
    found = sorted({str(each) for each in np.unique(arms)})
    if NONE not in found or len(found) < 2:
        raise DataError(
            f"An effect needs customers with an offer and customers left alone ('{NONE}'); "
            f"the log has: {', '.join(found) or 'nobody'}. Leave some alone, at random."
        )
    values = np.asarray(inputs, dtype=np.float64)
    if propensity is None:
        propensity = estimated_propensity(values, arms, regression)
    elif not (np.all(propensity > 0) and np.all(propensity <= 1)):
        raise DataError("A propensity is the chance of what was shown: more than 0, at most 1. Correct it.")
    return Trial(values, arms, np.asarray(outcome, dtype=np.float64), weights(propensity), kind == "binary")
