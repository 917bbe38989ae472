"""What a ranking is worth: the metrics of `training.metrics` over the customers of a panel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommending.splits import Fold, Panel
from training import metrics
from training.bootstrap import Indices, Judgement

PRIMARY = "ndcg_at_10"
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Truth:
    """What counts as right under one reading of a panel."""

    rows: Codes
    """The customers judged: those who bought anything that counts."""
    bought: list[Codes]
    again: list[NDArray[np.bool_]]

    @property
    def relevant(self) -> Codes:
        return np.array([len(each) for each in self.bought], dtype=np.int64)


def truth(panel: Panel, reading: str, keep_all: bool = False) -> Truth:
    """keep_all: every customer is judged, whose product was bought before too (it then counts as missed)."""
    if reading == "repeats" or keep_all:
        return Truth(np.arange(len(panel)), panel.bought, panel.again)
    pairs = [(each[~seen], seen[~seen]) for each, seen in zip(panel.bought, panel.again, strict=True)]
    rows = np.flatnonzero([len(each) for each, _ in pairs])
    return Truth(rows, [pairs[row][0] for row in rows], [pairs[row][1] for row in rows])


def judged(shown: Codes, true: Truth, fold: Fold) -> Judgement:
    """shown: (customers of the panel, depth)."""
    shown, relevant = shown[true.rows], true.relevant
    repeats = np.array([each.sum() for each in true.again], dtype=np.int64)
    hits = within(shown, true.bought)
    old = within(shown, [each[seen] for each, seen in zip(true.bought, true.again, strict=True)])
    buyers, customers = popular(fold)
    values = {
        "recall_at_10": metrics.recall_at(hits, relevant, 10),
        PRIMARY: metrics.ndcg_at(hits, relevant, 10),
        "recall_at_20": metrics.recall_at(hits, relevant, 20),
        "novelty_at_10": metrics.novelty(shown[:, :10], buyers, customers),
        "repeat_recall_at_10": where(metrics.recall_at(old, repeats, 10), repeats > 0),
        "explore_recall_at_10": where(
            metrics.recall_at(hits & ~old, relevant - repeats, 10), relevant > repeats
        ),
    }

    def measure(at: Indices) -> dict[str, float]:
        return {name: mean(each[at]) for name, each in values.items()}

    whole = {"coverage_at_10": metrics.coverage(shown[:, :10], len(fold.catalogue))}
    return Judgement(measure, len(shown), PRIMARY, whole=whole)


def ndcg(shown: Codes, true: Truth) -> float:
    hits = within(shown[true.rows], true.bought)
    return float(metrics.ndcg_at(hits, true.relevant, 10).mean())


def found(candidates: Codes, true: Truth) -> float:
    """Mean share of what was bought that is among the candidates: no order of them can show more."""
    hits = within(candidates[true.rows], true.bought)
    return float((hits.sum(axis=1) / np.maximum(true.relevant, 1)).mean())


def within(shown: Codes, lists: list[Codes]) -> NDArray[np.bool_]:
    """True where a shown position is in the customer's list. -1 is in none."""
    span = int(max(shown.max(initial=0), max((each.max(initial=0) for each in lists), default=0))) + 2
    rows = np.repeat(np.arange(len(lists)), [len(each) for each in lists])
    keys = rows * span + (np.concatenate(lists) if lists else rows)
    found = np.isin(np.arange(len(lists))[:, None] * span + shown, keys)
    return np.asarray(found & (shown >= 0))


def popular(fold: Fold) -> tuple[NDArray[np.float64], int]:
    """Distinct customers who bought each product before the cutoff, and how many customers there are."""
    lines, size = fold.interactions, len(fold.catalogue)
    known = lines.customer >= 0
    pairs = np.unique(lines.customer[known] * size + lines.product[known])
    return np.bincount(pairs % size, minlength=size).astype(float), int(lines.customer.max(initial=-1)) + 1


def mean(values: NDArray[np.float64]) -> float:
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else float("nan")


def where(values: NDArray[np.float64], keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    """NaN where the customer has nothing of the kind; means leave those out."""
    return np.where(keep, values, np.nan)
