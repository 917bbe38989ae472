"""Regressions that effects are made of: a constant, a step, a line or trees, each kept as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from scipy.special import expit

from patron.models.activity import Numbers
from patron.models.logistic import Logistic
from patron.models.ridge import Ridge
from patron.models.trees import Trees, TreesConfig

Base = Literal["logistic", "trees"]
FEWEST = 10
"""Of each outcome 0/1, and rows of an amount: below, only their mean is learned."""


class Response(Protocol):
    """What is expected of each row: shape (n,), a probability or an amount."""

    def predict(self, inputs: Numbers) -> Numbers:
        """inputs: shape (n, d), NaN where missing."""

    def document(self) -> dict[str, Any]:
        """As JSON; `read` gives it back."""


@dataclass(frozen=True)
class Constant:
    """The same for everybody."""

    value: float
    kind: ClassVar[str] = "constant"

    def predict(self, inputs: Numbers) -> Numbers:
        return np.full(len(inputs), self.value)

    def document(self) -> dict[str, Any]:
        return {"kind": self.kind, "value": self.value}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        return cls(document["value"])


@dataclass(frozen=True)
class Step:
    """`above` where the input at `position` is greater than `threshold`, else `below`, also where missing."""

    name: str
    position: int
    threshold: float
    below: float
    above: float
    kind: ClassVar[str] = "step"

    def predict(self, inputs: Numbers) -> Numbers:
        return np.where(inputs[:, self.position] > self.threshold, self.above, self.below)

    def document(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.__dict__}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        return cls(**{name: value for name, value in document.items() if name != "kind"})


@dataclass(frozen=True)
class Line:
    """Logistic regression of an outcome 0/1, ridge regression of an amount."""

    line: Logistic
    binary: bool
    kind: ClassVar[str] = "line"

    def predict(self, inputs: Numbers) -> Numbers:
        raw = self.line.raw(inputs)
        return np.asarray(expit(raw)) if self.binary else raw

    def document(self) -> dict[str, Any]:
        return {"kind": self.kind, "binary": self.binary, "line": self.line.document()}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        family = Logistic if document["binary"] else Ridge
        return cls(family.of(document["line"]), document["binary"])


@dataclass(frozen=True)
class Grown:
    """Boosted trees: log-loss for an outcome 0/1, squared error for an amount."""

    trees: Trees
    binary: bool
    kind: ClassVar[str] = "trees"

    def predict(self, inputs: Numbers) -> Numbers:
        raw = self.trees.raw(inputs)
        return np.asarray(expit(raw)) if self.binary else raw

    def document(self) -> dict[str, Any]:
        return {"kind": self.kind, "binary": self.binary, "text": self.trees.text}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        return cls(Trees(document["text"]), document["binary"])


@dataclass(frozen=True)
class Mixture:
    """intercept + sum of weight * response: what T-, X- and DR-learners all come to."""

    intercept: float
    weights: tuple[float, ...]
    responses: tuple[Response, ...]
    kind: ClassVar[str] = "mixture"

    def predict(self, inputs: Numbers) -> Numbers:
        found = np.full(len(inputs), self.intercept)
        for weight, each in zip(self.weights, self.responses, strict=True):
            found += weight * each.predict(inputs)
        return found

    def scaled(self, slope: float, shift: float) -> Self:
        """shift + slope * this."""
        weights = tuple(slope * each for each in self.weights)
        return type(self)(shift + slope * self.intercept, weights, self.responses)

    def document(self) -> dict[str, Any]:
        responses = [each.document() for each in self.responses]
        return {
            "kind": self.kind,
            "intercept": self.intercept,
            "weights": list(self.weights),
            "responses": responses,
        }

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        responses = tuple(read(each) for each in document["responses"])
        return cls(document["intercept"], tuple(document["weights"]), responses)


KINDS: dict[str, Any] = {each.kind: each for each in (Constant, Step, Line, Grown, Mixture)}


def read(document: dict[str, Any]) -> Any:
    """The response that wrote this document. Raises KeyError for an unknown kind."""
    return KINDS[document["kind"]].of(document)


@dataclass(frozen=True)
class Regression:
    """How a response is fitted."""

    names: tuple[str, ...]
    base: Base
    regularization: float
    trees: TreesConfig
    seed: int
    threads: int

    def fit(self, inputs: Numbers, outcome: Numbers, *, binary: bool) -> Response:
        """The mean alone where there is too little to learn from; 0 where there is nothing."""
        if not learnable(outcome, binary):
            return Constant(float(outcome.mean()) if len(outcome) else 0.0)
        if self.base == "logistic":
            family = Logistic if binary else Ridge
            return Line(family.fit(self.names, inputs, outcome, self.regularization), binary)
        objective = "binary" if binary else "regression"
        grown = Trees.fit(
            self.names, inputs, outcome, self.trees, seed=self.seed, threads=self.threads, objective=objective
        )
        return Grown(grown, binary)


def learnable(outcome: Sequence[float] | Numbers, binary: bool) -> bool:
    """Whether there are FEWEST of each outcome."""
    values = np.asarray(outcome)
    if binary:
        return bool(min((values > 0.5).sum(), (values <= 0.5).sum()) >= FEWEST)
    return len(values) >= FEWEST and bool(np.ptp(values) > 0)
