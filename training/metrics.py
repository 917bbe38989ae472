"""Every metric, defined once. Arrays are of shape (n,) unless said; rates are 0..1.

Ranking metrics take the full catalogue's ranking, never a sample of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def recall_at(hits: NDArray[np.bool_], relevant: NDArray[np.int64], k: int) -> Numbers:
    """Share of what was bought that stands in the first k, of min(k, bought).

    hits: (customers, >= k), True where the product at that rank was bought. relevant: how many were bought.
    """
    found: Numbers = hits[:, :k].sum(axis=1).astype(np.float64)
    return found / np.maximum(np.minimum(relevant, k), 1)


def ndcg_at(hits: NDArray[np.bool_], relevant: NDArray[np.int64], k: int) -> Numbers:
    """Normalised discounted cumulative gain with binary gains; the ideal has min(k, bought) hits.

    Source: Jarvelin & Kekalainen 2002, with log2(rank + 1) discounts.
    """
    discounts: Numbers = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.clip(relevant, 0, k)]
    gains: Numbers = np.where(hits[:, :k], discounts[: hits[:, :k].shape[1]], 0.0).sum(axis=1)
    return np.asarray(gains / np.maximum(ideal, 1e-12), dtype=np.float64)


def hit_rate_at(hits: NDArray[np.bool_], k: int) -> Numbers:
    """1 where any of the first k was bought."""
    return np.asarray(hits[:, :k].any(axis=1), dtype=np.float64)


def coverage(shown: NDArray[np.int64], products: int) -> float:
    """Share of the catalogue that was shown to anyone. shown: catalogue positions, -1 for an empty place."""
    return len(np.unique(shown[shown >= 0])) / max(products, 1)


def novelty(shown: NDArray[np.int64], buyers: Numbers, customers: int) -> Numbers:
    """Mean self-information of the shown products, in bits: -log2(share of customers who bought it).

    shown: (customers, k). A product that nobody bought counts as bought by one. Source: Zhou et al. 2010.
    """
    bits = -np.log2(np.maximum(buyers, 1) / max(customers, 1))
    total: Numbers = np.where(shown >= 0, bits[shown], 0).sum(axis=1)
    return total / np.maximum((shown >= 0).sum(axis=1), 1)


def intra_list_diversity(categories: Sequence[Sequence[str]]) -> Numbers:
    """Share of pairs in a list whose categories differ; 0 for lists under two."""
    found = []
    for each in categories:
        _, counts = np.unique(np.asarray(each, dtype=str), return_counts=True)
        n = counts.sum()
        found.append(1 - (counts * (counts - 1)).sum() / (n * (n - 1)) if n > 1 else 0.0)
    return np.asarray(found)


def roc_auc(outcome: Numbers, score: Numbers) -> float:
    """P(a positive scores above a negative), ties half; NaN where only one class is there."""
    from scipy.stats import rankdata

    positive = outcome > 0
    n, m = positive.sum(), (~positive).sum()
    if not n or not m:
        return float("nan")
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


def pr_auc(outcome: Numbers, score: Numbers) -> float:
    """Average precision: area under the precision-recall steps, one step for each distinct score."""
    if not outcome.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))
    found = np.cumsum(outcome[order])[ends]
    return float((np.diff(found, prepend=0) * found / (ends + 1)).sum() / found[-1])


def brier(outcome: Numbers, probability: Numbers) -> float:
    """Mean squared error of a probability (Brier 1950)."""
    return float(np.mean((outcome - probability) ** 2))


def log_loss(outcome: Numbers, probability: Numbers) -> float:
    """Mean negative log-likelihood in nats; probabilities are clipped to 1e-6."""
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return float(-np.mean(outcome * np.log(p) + (1 - outcome) * np.log(1 - p)))


def expected_calibration_error(outcome: Numbers, probability: Numbers, bins: int = 10) -> float:
    """Mean |observed rate - mean probability| over bins of equal count, weighted by count."""
    groups = np.array_split(np.argsort(probability, kind="stable"), bins)
    return float(
        sum(len(g) * abs(outcome[g].mean() - probability[g].mean()) for g in groups if len(g)) / len(outcome)
    )


def calibration_band(
    probability: Numbers, seed: int, bins: int = 10, level: float = 0.95, rounds: int = 1000
) -> float:
    """The expected calibration error that a perfect forecaster stays under in `level` of all windows.

    Outcomes are drawn from the probabilities themselves `rounds` times; each draw's error is chance alone.
    It falls with the root of the number of customers. Source: Brocker & Smith 2007, consistency resampling.
    """
    rng = np.random.default_rng(seed)
    ordered = np.sort(probability)
    edges = np.cumsum([0, *(len(each) for each in np.array_split(ordered, bins))])[:-1]
    edges = np.unique(edges[edges < len(ordered)])
    found = [
        np.abs(np.add.reduceat((rng.random(len(ordered)) < ordered) - ordered, edges)).sum() / len(ordered)
        for _ in range(rounds)
    ]
    return float(np.quantile(found, level))


def at_level(outcome: Numbers, probability: Numbers) -> Numbers:
    """The probabilities with one number added to all log-odds, so that their mean is the observed rate.

    NaN where every outcome is the same: no number would do.
    """
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    rate = outcome.mean()
    if not 0 < rate < 1:
        return np.full(len(probability), np.nan)
    odds = logit(np.clip(probability, 1e-9, 1 - 1e-9))
    return np.asarray(
        expit(odds + brentq(lambda shift: expit(odds + shift).mean() - rate, -40, 40, xtol=1e-6))
    )


def shape_error(outcome: Numbers, probability: Numbers, bins: int = 10) -> float:
    """The expected calibration error that is left when the level is put right: see `at_level`.

    The level of a window follows its season, which nobody knows before; the rest is the model's own doing.
    """
    return expected_calibration_error(outcome, at_level(outcome, probability), bins)


def lift_at(outcome: Numbers, score: Numbers, share: float = 0.1) -> float:
    """Rate of the outcome among the top `share` by score, over its rate among all."""
    top = np.argsort(-score, kind="stable")[: max(1, round(share * len(score)))]
    return float(outcome[top].mean() / outcome.mean()) if outcome.any() else float("nan")


def expected_maximum_profit(
    outcome: Numbers,
    score: Numbers,
    value: float = 200.0,
    incentive: float = 10.0,
    contact: float = 1.0,
    alpha: float = 6.0,
    beta: float = 14.0,
    steps: int = 200,
) -> float:
    """Expected maximum profit of a retention campaign per customer, in the currency of `value`.

    The share of contacted churners who accept is Beta(alpha, beta); for each such share the campaign reaches
    the most profitable top of the ranking. Source: Verbraken, Verbeke & Baesens 2013, equations 7 and 12.
    """
    n = len(outcome)
    ordered = outcome[np.argsort(-score, kind="stable")]
    reached = hull(ordered)
    churners = np.concatenate([[0.0], np.cumsum(ordered)])[reached] / n
    others = reached / n - churners
    accepted = acceptance(alpha, beta, steps)[:, None]
    kept, fee = incentive / value, contact / value
    gains = value * (accepted * (1 - kept) - fee) * churners - value * (kept + fee) * others
    return float(gains.max(axis=1).mean())


def hull(ordered: Numbers) -> NDArray[np.int64]:
    """How many customers to contact so that no other number, for any costs, earns more: the corners of the
    ROC curve's convex hull, which pools adjacent violators. ordered: outcomes, best ranked first."""
    from scipy.optimize import isotonic_regression

    return np.asarray(isotonic_regression(ordered, increasing=False).blocks, dtype=np.int64)


@cache
def acceptance(alpha: float, beta: float, steps: int) -> Numbers:
    """Mid-quantiles of the share of contacted churners who accept."""
    from scipy.stats import beta as distribution

    return np.asarray(distribution.ppf((np.arange(steps) + 0.5) / steps, alpha, beta), dtype=np.float64)


def gini(actual: Numbers, predicted: Numbers) -> float:
    """Normalized Gini of predicted customer value: 1 for a perfect ordering, 0 for a random one.

    actual, predicted: shape (n,), same currency. Ties in `predicted` share their mean rank.
    Raises ValueError on empty or unequal lengths. Source: Wang, Liu & Miao 2019, section 4.2.
    """
    from scipy.stats import rankdata

    if len(actual) != len(predicted) or not len(actual):
        raise ValueError(f"gini needs two arrays of one length, found {len(actual)} and {len(predicted)}")

    def area(ranks: Numbers) -> float:
        return float((actual * (ranks - (len(actual) + 1) / 2)).sum())

    best = area(rankdata(actual))
    return area(rankdata(predicted)) / best if best > 0 else float("nan")


def spearman(actual: Numbers, predicted: Numbers) -> float:
    """Rank correlation; NaN where either is constant."""
    from scipy.stats import rankdata

    if np.ptp(actual) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(actual), rankdata(predicted))[0, 1])


def mae(actual: Numbers, predicted: Numbers) -> float:
    """Mean absolute error."""
    return float(np.abs(actual - predicted).mean())


def rmse(actual: Numbers, predicted: Numbers) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean((actual - predicted) ** 2)))


def total_bias(actual: Numbers, predicted: Numbers) -> float:
    """Predicted total over actual total, less 1: -0.1 is ten per cent too low."""
    return float(predicted.sum() / actual.sum() - 1) if actual.sum() else float("nan")


def deciles(actual: Numbers, predicted: Numbers, groups: int = 10) -> list[tuple[float, float]]:
    """Mean (predicted, actual) of groups of equal count by ascending prediction."""
    parts = np.array_split(np.argsort(predicted, kind="stable"), groups)
    return [(float(predicted[part].mean()), float(actual[part].mean())) for part in parts if len(part)]


def interval_coverage(actual: Numbers, low: Numbers, high: Numbers) -> float:
    """Share of outcomes within their interval."""
    return float(((actual >= low) & (actual <= high)).mean())
