"""Boosted trees as tables of bits, which answer for a hundred rows at once faster than tree by tree.

A condition that does not hold rules out the leaves on its left; what a row reaches is the first leaf that
nothing rules out. Source: Lucchese et al. 2015 (QuickScorer), with rows side by side instead of features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import lightgbm

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
    def of(cls, booster: lightgbm.Booster) -> Self | None:
        """None where the trees are too many, or ask what is not known here."""
        trees = [_Tree(each["tree_structure"]) for each in booster.dump_model()["tree_info"]]
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

    def __init__(self, structure: dict[str, Any]) -> None:
        self.plain = True
        self.leaves: list[float] = []
        self.nodes = list(self._walked(structure))

    def _walked(self, node: dict[str, Any]) -> Iterator[tuple[Condition, int]]:
        if "leaf_value" in node:
            self.leaves.append(float(node["leaf_value"]))
            return
        first = len(self.leaves)
        yield from self._walked(node["left_child"])
        bits = (1 << len(self.leaves)) - (1 << first)
        yield self._condition(node), bits
        yield from self._walked(node["right_child"])

    def _condition(self, node: dict[str, Any]) -> Condition:
        if node["decision_type"] != "<=" or node["missing_type"] not in ("NaN", "None"):
            self.plain = False
            return False, 0, 0.0
        threshold = float(node["threshold"])
        # Where no value was missing when the tree grew, a missing one goes where 0 goes.
        holds = node["default_left"] if node["missing_type"] == "NaN" else threshold >= 0
        return bool(holds), int(node["split_feature"]), _not_above(threshold)


def _not_above(threshold: float) -> float:
    """The largest number of 32 bits that is not above; what such numbers compare with it stays the same."""
    most = float(np.finfo(np.float32).max)
    if abs(threshold) > most:
        return most if threshold > 0 else -np.inf
    near = float(np.float32(threshold))
    return float(np.nextafter(np.float32(near), np.float32(-np.inf))) if near > threshold else near
