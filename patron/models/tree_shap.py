"""TreeSHAP looked up instead of computed: exact, and fast for one row.

The SHAP values of a tree are a function of its decisions alone. A tree of eight leaves makes seven, so that
128 rows of a table say everything that it can answer. Source of the values: Lundberg et al. 2020,
path-dependent. With z the share of training rows that follow a leaf's path at the nodes of one input (o:
whether this row does), an input adds to the leaf's value v

    v (o_i - z_i) * integral over t in 0..1 of product over j != i of (t o_j + (1 - t) z_j),

which is Shapley's sum over subsets, since k! (d-k-1)! / d! is the integral of t^k (1-t)^(d-k-1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

MOST_NODES = 7
"""Trees with more decisions are not tabled: their table would be too large."""
SLOTS = 8
"""Values of one tree for one pattern of decisions: those of its inputs, and last that of the leaf."""
MOST_BYTES = 128 << 20
FEW = 128
"""Up to so many rows are looked up one by one."""
AT_ONCE = 8192
"""Rows that are looked up in one go: few enough for the processor's cache."""
CATEGORICAL, DEFAULT_LEFT = 1, 2
"""Bits of LightGBM's decision types; the two above them say what counts as missing."""
ZERO_IS_MISSING, NAN_IS_MISSING = 1, 2

Numbers = NDArray[np.float64]
Steps = dict[int, tuple[int, int, float]]


COLUMNS: tuple[tuple[str, str, Any], ...] = (
    ("feature", "split_feature", np.int64),
    ("threshold", "threshold", np.float64),
    ("decision", "decision_type", np.int64),
    ("left", "left_child", np.int64),
    ("right", "right_child", np.int64),
    ("value", "leaf_value", np.float64),
    ("leaf_rows", "leaf_count", np.float64),
    ("node_rows", "internal_count", np.float64),
)
"""Field of a Tree, its name in LightGBM's text, and its type."""


@dataclass(frozen=True)
class Tree:
    """One tree of LightGBM's text. A child below 0 is leaf -(child + 1)."""

    feature: NDArray[np.int64]
    threshold: Numbers
    decision: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: Numbers
    leaf_rows: Numbers
    node_rows: Numbers

    def rows(self, child: int) -> float:
        """How many training rows came through a node or into a leaf."""
        return float(self.node_rows[child] if child >= 0 else self.leaf_rows[-child - 1])

    def paths(self) -> Iterator[tuple[int, list[tuple[int, bool, float]]]]:
        """Each leaf with its path: (node, whether left, share of the node's rows that go there)."""
        waiting: list[tuple[int, list[tuple[int, bool, float]]]] = [(0, [])]
        while waiting:
            node, path = waiting.pop()
            if node < 0:
                yield -node - 1, path
                continue
            for child, left in ((int(self.left[node]), True), (int(self.right[node]), False)):
                share = self.rows(child) / self.rows(node)
                waiting.append((child, [*path, (node, left, share)]))


def parsed(text: str) -> list[Tree] | None:
    """The trees of LightGBM's text that have a decision; None where there is one of a kind not known here."""
    found = []
    for block in text.split("\nTree=")[1:]:
        facts = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if facts.get("num_cat", "0") != "0" or facts.get("is_linear", "0") != "0":
            return None
        if facts["num_leaves"] == "1":
            continue
        found.append(Tree(**{field: np.array(facts[name].split(), kind) for field, name, kind in COLUMNS}))
    return found


@dataclass(frozen=True)
class ShapTable:
    """`table[tree, decisions]` are the SHAP values of the tree's own inputs; a bit is set for left."""

    feature: NDArray[np.int64]
    """The input that each node looks at, shape (trees * 8,)."""
    threshold: Numbers
    missing_left: NDArray[np.bool_]
    """Where each node sends a missing value."""
    owner: NDArray[np.int64]
    """Whose the values are, shape (trees, 8): inputs of the tree, `inputs` for the leaf, beyond: nobody."""
    table: Numbers
    """Shape (trees, patterns of decisions, 8): a look-up touches one line of the processor's cache."""
    inputs: int

    @classmethod
    def of(cls, text: str, inputs: int) -> Self | None:
        """The table of LightGBM's text; None where it would be too large or a tree is of another kind."""
        trees = parsed(text)
        if not trees:
            return None
        nodes = max(len(tree.feature) for tree in trees)
        odd = any(((tree.decision >> 2) & 3 == ZERO_IS_MISSING).any() for tree in trees)
        if nodes > MOST_NODES or len(trees) * 2**nodes * 64 > MOST_BYTES or odd:
            return None
        owner = np.full((len(trees), SLOTS), inputs + 1)
        owner[:, -1] = inputs
        for row, tree in zip(owner, trees, strict=True):
            own = np.unique(tree.feature)
            row[: len(own)] = own
        return cls(*laid_out(trees), owner, shap_values(trees, owner, 2**nodes), inputs)

    def contributions(self, rows: Numbers) -> Numbers:
        """SHAP values, shape (rows, inputs)."""
        if len(rows) <= FEW:
            return np.array([self.one(row)[1] for row in rows]).reshape(len(rows), self.inputs)
        return self.summed(rows, self.slots)[:, : self.inputs]

    def raw(self, rows: NDArray[np.floating]) -> Numbers:
        """The raw scores, shape (rows,), with the bits that `one` gives."""
        return self.summed(rows, [((SLOTS - 1, self.inputs),)] * len(self.table))[:, -1]

    def summed(self, rows: NDArray[np.floating], slots: Sequence[Sequence[tuple[int, int]]]) -> Numbers:
        """For each row the sums of some slots of each tree, by owner: shape (rows, inputs + 1).

        slots: for each tree (slot, its owner). Trees are added in their order, as `one` does.
        """
        found = np.empty((len(rows), self.inputs + 1))
        for start in range(0, len(rows), AT_ONCE):
            columns = np.ascontiguousarray(rows[start : start + AT_ONCE].T, dtype=np.float64)
            sums = np.zeros((self.inputs + 1, columns.shape[1]))
            for tree, decisions in enumerate(self.decisions(columns)):
                for slot, owner in slots[tree]:
                    sums[owner] += self.by_slot[tree, slot].take(decisions)
            found[start : start + AT_ONCE] = sums.T
        return found

    def decisions(self, columns: Numbers) -> Iterator[NDArray[np.intp]]:
        """What `decided` gives, tree after tree, of many rows. columns: shape (inputs, rows)."""
        missing = {place: found for place, each in enumerate(columns) if (found := np.isnan(each)).any()}
        left, bit = np.empty(columns.shape[1], dtype=bool), np.empty(columns.shape[1], dtype=np.uint8)
        for nodes in self.nodes:
            bits = np.zeros(columns.shape[1], dtype=np.uint8)
            for place, (feature, threshold, missing_left) in enumerate(nodes):
                np.less_equal(columns[feature], threshold, out=left)
                if missing_left and feature in missing:
                    left |= missing[feature]
                bits |= np.left_shift(left.view(np.uint8), place, out=bit)
            yield bits.astype(np.intp)

    def one(self, row: Numbers) -> tuple[float, Numbers]:
        """The raw score of one row, and its SHAP values of shape (inputs,).

        The leaves are added in the order of the trees, as LightGBM does: the score has the same bits.
        """
        values = self.rows.take(self.decided(row) + self.starts, axis=0)
        sums: Numbers = np.bincount(self.owners, values.ravel(), self.inputs + 2).astype(
            np.float64, copy=False
        )
        return float(sums[-2]), sums[:-2]

    def decided(self, row: Numbers) -> NDArray[np.uint8]:
        """The decisions of each tree as bits, shape (trees,)."""
        values = row.take(self.feature)
        left = values <= self.threshold
        if np.isnan(row).any():
            left |= np.isnan(values) & self.missing_left
        return np.packbits(left, bitorder="little")

    @cached_property
    def nodes(self) -> list[list[tuple[int, float, bool]]]:
        """Of each tree its nodes: the input, the threshold, and whether a missing value goes left."""
        every = list(
            zip(self.feature.tolist(), self.threshold.tolist(), self.missing_left.tolist(), strict=True)
        )
        trees = (every[start : start + 8] for start in range(0, len(every), 8))
        return [[node for node in tree if not isnan(node[1])] for tree in trees]

    @cached_property
    def slots(self) -> list[list[tuple[int, int]]]:
        """Of each tree its inputs' slots, and whose they are."""
        return [
            [(slot, each) for slot, each in enumerate(row[:-1]) if each < self.inputs]
            for row in self.owner.tolist()
        ]

    @cached_property
    def by_slot(self) -> Numbers:
        """The table with patterns last, shape (trees, 8, patterns)."""
        return np.ascontiguousarray(self.table.transpose(0, 2, 1))

    @cached_property
    def rows(self) -> Numbers:
        """The table without its first dimension..."""
        return self.table.reshape(-1, SLOTS)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """...and where each tree begins in it."""
        return np.arange(len(self.table)) * self.table.shape[1]

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        return self.owner.ravel()


def laid_out(trees: list[Tree]) -> tuple[NDArray[np.int64], Numbers, NDArray[np.bool_]]:
    """What each node looks at, eight nodes a tree; those that a tree does not have go right."""
    feature = np.zeros((len(trees), 8), dtype=np.int64)
    threshold = np.full((len(trees), 8), np.nan)  # nothing is at most that
    missing_left = np.zeros((len(trees), 8), dtype=bool)
    for row, tree in enumerate(trees):
        size = len(tree.feature)
        feature[row, :size], threshold[row, :size] = tree.feature, tree.threshold
        by_default = (tree.decision & DEFAULT_LEFT) != 0
        as_zero = (tree.decision >> 2) & 3 != NAN_IS_MISSING
        missing_left[row, :size] = np.where(as_zero, tree.threshold >= 0, by_default)
    return feature.ravel(), threshold.ravel(), missing_left.ravel()


def shap_values(trees: list[Tree], owner: NDArray[np.int64], patterns: int) -> Numbers:
    """The table of ShapTable."""
    table = np.zeros((len(trees), patterns, SLOTS))
    of_size: dict[int, list[tuple[int, float, Steps]]] = {}
    for place, tree in enumerate(trees):
        for leaf, nodes in tree.paths():
            steps = grouped(tree, nodes)
            of_size.setdefault(len(steps), []).append((place, tree.value[leaf], steps))
    for leaves in of_size.values():
        paths = np.array([list(each.values()) for *_, each in leaves])
        lefts, rights = (paths[:, :, part, None].astype(np.int64) for part in (0, 1))
        decisions = np.arange(patterns)
        follows = ((decisions & lefts) == lefts) & ((decisions & rights) == 0)
        values = shapley(follows.astype(np.float64), paths[:, :, 2, None])
        for (place, value, path), added, reached in zip(leaves, values, follows.all(axis=1), strict=True):
            table[place][:, np.searchsorted(owner[place, :-1], list(path))] += value * added.T
            table[place][reached, -1] = value
    return table


def grouped(tree: Tree, path: list[tuple[int, bool, float]]) -> Steps:
    """A path by its distinct inputs: the nodes where it goes left, and right, as bits, and the share of the
    rows that do both."""
    found: Steps = {}
    for node, left, share in path:
        lefts, rights, so_far = found.get(int(tree.feature[node]), (0, 0, 1.0))
        bit = 1 << node
        found[int(tree.feature[node])] = lefts | bit * left, rights | bit * (not left), so_far * share
    return found


def shapley(follows: Numbers, shares: Numbers) -> Numbers:
    """The formula above for v = 1. follows: shape (leaves, inputs, patterns); shares: (leaves, inputs, 1).

    Gauss-Legendre quadrature is exact for its polynomial.
    """
    size = follows.shape[1]
    nodes, weights = np.polynomial.legendre.leggauss(size // 2 + 1)
    total = np.zeros(follows.shape)
    for t, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        factors = t * follows + (1 - t) * shares
        before, after = np.ones(factors.shape), np.ones(factors.shape)
        for each in range(1, size):
            before[:, each] = before[:, each - 1] * factors[:, each - 1]
            after[:, -each - 1] = after[:, -each] * factors[:, -each]
        total += weight * before * after
    return (follows - shares) * total
