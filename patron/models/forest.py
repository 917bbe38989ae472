"""Boosted trees as tables of bits, which answer for a hundred rows at once faster than tree by tree.

A condition that does not hold rules out the leaves on its left; what a row reaches is the first leaf that
nothing rules out. Source: Lucchese et al. 2015 (QuickScorer), with rows side by side instead of features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", int, float)

WIDTHS = (np.uint16, np.uint32, np.uint64)
"""A bit a leaf, in the narrowest that holds the largest tree."""
MOST_NODES = 20_000
"""Of all trees; beyond, LightGBM's own walk through them is as quick."""


@dataclass(frozen=True)
class Forest:
    """t trees of at most k nodes, which ask c distinct conditions `value <= threshold`.

    inputs: (c,), the feature that each asks of. thresholds: (c, 1). strict: so many conditions come first
    that do not hold for a missing value; for the others it holds. conditions: (k, t), which each node asks.
    left: (k, t, 1), bits of the leaves on its left, 0 where a tree has fewer nodes. leaves: their values,
    from left to right, tree after tree. firsts: (t, 1), the first leaf of each tree.
    """

    inputs: NDArray[np.int64]
    thresholds: NDArray[np.float32]
    strict: int
    conditions: NDArray[np.int64]
    left: NDArray[np.unsignedinteger[Any]]
    leaves: NDArray[np.float64]
    firsts: NDArray[np.int64]

    @classmethod
    def of(cls, text: str) -> Self | None:
        """From LightGBM's text. None where the trees are too many, or ask what is not known here."""
        trees = [_Tree(dict(_lines(each))) for each in text.split("\nTree=")[1:]]
        most = max((len(each.nodes) for each in trees), default=0)
        fits = 0 < most < 64 and most * len(trees) <= MOST_NODES and all(each.plain for each in trees)
        return cls._packed(trees, most) if fits else None

    @classmethod
    def _packed(cls, trees: list[_Tree], most: int) -> Self:
        asked = sorted({condition for tree in trees for condition, _ in tree.nodes})
        numbers = {condition: number for number, condition in enumerate(asked)}
        conditions = np.zeros((most, len(trees)), dtype=np.int64)
        kind = next(each for each in WIDTHS if most < np.iinfo(each).bits)
        left = np.zeros((most, len(trees), 1), dtype=kind)
        for column, tree in enumerate(trees):
            for row, (condition, bits) in enumerate(tree.nodes):
                conditions[row, column], left[row, column] = numbers[condition], bits
        held = np.cumsum([0, *(len(tree.leaves) for tree in trees)])
        return cls(
            inputs=np.array([feature for _, feature, _ in asked], dtype=np.int64),
            thresholds=np.array([[threshold] for _, _, threshold in asked], dtype=np.float32),
            strict=sum(not holds for holds, _, _ in asked),
            conditions=conditions,
            left=left,
            leaves=np.array([leaf for tree in trees for leaf in tree.leaves]),
            firsts=held[:-1, None],
        )

    def raw(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sum of the leaves, shape (n,), as LightGBM adds them up. inputs: shape (features, n)."""
        values = inputs.take(self.inputs, axis=0)
        fails = values > self.thresholds
        fails[: self.strict] |= np.isnan(values[: self.strict])
        out = fails.take(self.conditions, axis=0) * self.left
        ruled: NDArray[Any] = np.bitwise_or.reduce(out, axis=0)
        reached = np.bitwise_count(ruled & ~(ruled + self.left.dtype.type(1)))
        found: NDArray[np.float64] = self.leaves.take(reached + self.firsts).sum(axis=0)
        return found


Condition = tuple[bool, int, float]
"""Whether it holds for a missing value, the feature, and the threshold."""


class _Tree:
    """Leaves from left to right, and for each node its condition and the bits of the leaves on its left."""

    def __init__(self, told: dict[str, str]) -> None:
        def numbers(name: str, kind: type[T]) -> list[T]:
            return [kind(each) for each in told.get(name, "").split()]

        self.children = list(zip(numbers("left_child", int), numbers("right_child", int), strict=True))
        self.values = numbers("leaf_value", float)
        kinds = numbers("decision_type", int)
        self.plain = told.get("is_linear", "0") == "0" and all(_is_plain(each) for each in kinds)
        self.conditions = [
            _condition(*each)
            for each in zip(numbers("split_feature", int), numbers("threshold", float), kinds, strict=True)
        ]
        self.leaves: list[float] = []
        self.nodes = list(self._walked(0 if self.children else ~0))

    def _walked(self, node: int) -> Iterator[tuple[Condition, int]]:
        """node: below 0 for a leaf."""
        if node < 0:
            self.leaves.append(self.values[~node])
            return
        first = len(self.leaves)
        yield from self._walked(self.children[node][0])
        yield self.conditions[node], (1 << len(self.leaves)) - (1 << first)
        yield from self._walked(self.children[node][1])


def _lines(tree: str) -> Iterator[tuple[str, str]]:
    for line in tree.split("\n\n", 1)[0].splitlines():
        name, equals, value = line.partition("=")
        if equals:
            yield name, value


def _is_plain(decision: int) -> bool:
    """A comparison of numbers in which 0 is a number. Source of the bits: LightGBM's tree.h."""
    return not decision & 1 and decision >> 2 & 3 in (0, 2)


def _condition(feature: int, threshold: float, decision: int) -> Condition:
    """Where no value was missing when the tree grew, a missing one goes where 0 goes."""
    holds = bool(decision & 2) if decision >> 2 & 3 else threshold >= 0
    return holds, feature, _not_above(threshold)


def _not_above(threshold: float) -> float:
    """The largest number of 32 bits that is not above; what such numbers compare with it stays the same."""
    most = float(np.finfo(np.float32).max)
    if abs(threshold) > most:
        return most if threshold > 0 else -np.inf
    near = float(np.float32(threshold))
    return float(np.nextafter(np.float32(near), np.float32(-np.inf))) if near > threshold else near
