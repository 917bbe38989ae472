"""Trees and a logistic regression as one additive score: the weighted mean of their log-odds."""

from __future__ import annotations

from dataclasses import dataclass

from patron.models.activity import Numbers
from patron.models.logistic import Logistic
from patron.models.trees import Trees


@dataclass(frozen=True)
class Mixed:
    """`weight` is the share of the trees. Both read the same inputs."""

    trees: Trees
    linear: Logistic
    weight: float

    def raw(self, inputs: Numbers) -> Numbers:
        """Log-odds, shape (customers,)."""
        return self.weight * self.trees.raw(inputs) + (1 - self.weight) * self.linear.raw(inputs)

    def explained(self, inputs: Numbers) -> tuple[float, Numbers]:
        """(`raw`, `contributions`) of one row of shape (inputs,)."""
        one, pushes = self.trees.explained(inputs)
        other, more = self.linear.explained(inputs)
        rest = 1 - self.weight
        return self.weight * one + rest * other, self.weight * pushes + rest * more

    def contributions(self, inputs: Numbers) -> Numbers:
        """What each input adds to the log-odds, shape (customers, inputs): TreeSHAP and the linear terms."""
        rest = (1 - self.weight) * self.linear.contributions(inputs)
        return self.weight * self.trees.contributions(inputs) + rest


Scorer = Trees | Logistic | Mixed


def parts(scorer: Scorer) -> tuple[Trees | None, Logistic | None]:
    """What a scorer consists of."""
    if isinstance(scorer, Mixed):
        return scorer.trees, scorer.linear
    return (scorer, None) if isinstance(scorer, Trees) else (None, scorer)


def joined(trees: Trees | None, linear: Logistic | None, weight: float) -> Scorer | None:
    """The scorer of these parts."""
    if trees is not None and linear is not None:
        return Mixed(trees, linear, weight)
    return trees or linear
