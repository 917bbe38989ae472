"""Comparing treated customers with others who are alike in what is known of them before the treatment."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.off_policy import Value, mean

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Answer = Callable[[Numbers], Numbers]
Fit = Callable[[Flags], Answer]
"""From the rows to learn from to what answers others."""

OVERLAP = (0.05, 0.95)
"""Estimated chances of treatment between which both kinds of customers occur."""
BALANCED = 0.1
"""Standardised difference under which a feature counts as alike. Source: Austin 2009."""
LEAST = 50
"""Treated, and not treated, rows under which nothing is estimated."""
FOLDS = 5
PENALTIES = (100.0, 10.0, 1.0, 0.1)
"""Of the squared weights of standardised columns."""


@dataclass(frozen=True)
class Balance:
    """A feature's mean among the treated less that of the others, in standard deviations."""

    feature: str
    before: float
    after: float
    """After weighting by the inverse chance of what happened to each."""


def prepared(features: Numbers) -> Numbers:
    """Columns for linear models: clipped and standardised values, normal scores, flags of unknown ones."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    columns = []
    for values in features.T:
        missing = np.isnan(values)
        if missing.all():
            continue
        filled = np.where(missing, np.nanmedian(values), values)
        scores = ndtri((rankdata(filled) - 0.5) / len(filled))
        columns += [np.clip(filled, *np.quantile(filled, [0.01, 0.99])), scores, missing.astype(np.float64)]
    table = np.column_stack(columns) if columns else np.zeros((len(features), 1))
    spread = table.std(axis=0)
    moving = spread > 1e-12
    if not moving.any():
        return np.zeros((len(features), 1))
    return np.asarray((table[:, moving] - table[:, moving].mean(axis=0)) / spread[moving])


def folds(rows: int, groups: NDArray[Any] | None, seed: int) -> NDArray[np.int64]:
    """A fold of each row; rows of one group share theirs."""
    codes = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1]
    drawn = np.random.default_rng(seed).permutation(int(codes.max()) + 1) % FOLDS
    return np.asarray(drawn[codes], dtype=np.int64)


def chances(design: Numbers, treated: Flags, fold: NDArray[np.int64]) -> Numbers:
    """P(treated) of each row by logistic regression on the other folds' rows: (n,).

    The penalty is the one of `PENALTIES` under which the other folds tell the first one best (log loss).
    """

    def fitted(penalty: float) -> Fit:
        return lambda rows: _logistic(design[rows], treated[rows], penalty)

    first, everyone = fold == 0, np.ones(len(fold), dtype=bool)
    chosen = min(PENALTIES, key=lambda each: _log_loss(treated[first], fitted(each)(~first)(design[first])))
    return _crossed(design, fold, everyone, fitted(chosen))


def _logistic(design: Numbers, treated: Flags, penalty: float) -> Answer:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1 / penalty, solver="newton-cholesky").fit(design, treated)
    return lambda asked: np.asarray(model.predict_proba(asked)[:, 1])


def _log_loss(treated: Flags, chance: Numbers) -> float:
    told = np.clip(np.where(treated, chance, 1 - chance), 1e-12, 1)
    return -float(np.log(told).mean())


def adjusted(
    design: Numbers,
    treated: Flags,
    outcome: Numbers,
    chance: Numbers,
    fold: NDArray[np.int64],
    groups: NDArray[Any] | None,
) -> Value | None:
    """Augmented inverse-probability estimate over the rows within the overlap; None where too few are."""
    from sklearn.linear_model import RidgeCV

    kept = (chance >= OVERLAP[0]) & (chance <= OVERLAP[1])
    if min(int((treated & kept).sum()), int((~treated & kept).sum())) < LEAST:
        return None

    def fitted(rows: Flags) -> Answer:
        model = RidgeCV(alphas=np.logspace(0, 4, 9)).fit(design[rows], outcome[rows])
        return lambda asked: model.predict(asked)

    with_, without = (_crossed(design, fold, arm & kept, fitted) for arm in (treated, ~treated))
    rows = with_ - without
    sure = np.clip(chance, *OVERLAP)
    rows = rows + np.where(treated, (outcome - with_) / sure, -(outcome - without) / (1 - sure))
    return mean(rows[kept], None if groups is None else groups[kept])


def _crossed(
    design: Numbers,
    fold: NDArray[np.int64],
    used: Flags,
    fitted: Fit,
) -> Numbers:
    """Every row answered by a model of the used rows of other folds."""
    found = np.zeros(len(fold))
    for each in range(FOLDS):
        mine = fold == each
        if mine.any():
            found[mine] = fitted(used & ~mine)(design[mine])
    return found


def balances(
    names: Sequence[str], features: Numbers, treated: Flags, chance: Numbers, kept: Flags
) -> list[Balance]:
    """Every feature's standardised difference: before, of all rows; after, weighted, within the overlap."""
    weights = np.where(kept, 1 / np.clip(np.where(treated, chance, 1 - chance), *OVERLAP), 0.0)
    found = [
        Balance(name, _gap(values, treated, np.ones(len(treated))), _gap(values, treated, weights))
        for name, values in zip(names, features.T, strict=True)
    ]
    return sorted(found, key=lambda each: -abs(each.after))


def _gap(values: Numbers, treated: Flags, weights: Numbers) -> float:
    """Difference of weighted means over the unweighted spread (Austin 2009); 0 for a constant feature."""
    known = ~np.isnan(values)
    one, other = known & treated, known & ~treated
    if weights[one].sum() <= 0 or weights[other].sum() <= 0:
        return 0.0
    spread = math.sqrt((float(values[one].var()) + float(values[other].var())) / 2)
    gap = np.average(values[one], weights=weights[one]) - np.average(values[other], weights=weights[other])
    return float(gap) / spread if spread > 1e-12 else 0.0


def raw(outcome: Numbers, treated: Flags, groups: NDArray[Any] | None) -> Value:
    """Difference of plain means, per row's influence on it."""
    share = float(treated.mean())
    gap = float(outcome[treated].mean() - outcome[~treated].mean())
    centred = np.where(
        treated,
        (outcome - outcome[treated].mean()) / share,
        -(outcome - outcome[~treated].mean()) / (1 - share),
    )
    return mean(gap + centred, groups)
