"""What a log that was not drawn at random can show about an effect, and what it cannot.

Whoever was treated was chosen by somebody, for reasons that may also move the outcome. The diagnosis adjusts
for what is known of customers before the treatment, and checks whether that is enough: do both kinds of
customers occur (overlap), are they alike after weighting (balance), is no "effect" found before the treatment
began (placebo), and how strong an unknown cause would have to be to explain all of it away (E-value).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.adjustment import (
    BALANCED,
    LEAST,
    OVERLAP,
    Balance,
    Flags,
    Numbers,
    adjusted,
    balances,
    chances,
    folds,
    prepared,
    raw,
)
from training.metrics import roc_auc
from training.observational_words import cannot, limits, shown
from training.off_policy import Value

WORST = 10
"""Features whose imbalance is listed."""


@dataclass(frozen=True)
class Diagnosis:
    """All that was checked, the effect as it stands after adjustment, and the sentences that follow."""

    rows: int
    treated: int
    overlap: float
    """Share of rows whose estimated chance of treatment lies within `OVERLAP`; the rest is left out."""
    told_apart: float
    """ROC AUC of the estimated chance: 0.5 where features do not tell who is treated, 1 where they do."""
    balance: tuple[Balance, ...]
    """The worst features, worst after weighting first."""
    unbalanced: int
    features: int
    raw: Value | None
    """Mean of the treated less mean of the others, as it is."""
    effect: Value | None
    """Adjusted, per treated or untreated row within the overlap, in the outcome's unit."""
    placebo: Value | None
    """The same estimate on the outcome of a time before the treatment; None where none was given."""
    e_value: float
    """Least risk ratio that an unknown cause needs with both treatment and outcome to explain the effect."""
    e_value_limit: float
    """The same for the interval's end next to 0; 1 where the interval holds 0."""
    trusted: bool
    can: tuple[str, ...]
    cannot: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        return asdict(self)


def diagnose(
    names: Sequence[str],
    features: Numbers,
    treated: Flags,
    outcome: Numbers,
    placebo: Numbers | None = None,
    placebo_features: Numbers | None = None,
    groups: NDArray[Any] | None = None,
    *,
    outcome_name: str = "the outcome",
    seed: int = 0,
) -> Diagnosis:
    """Diagnose one comparison of treated rows with others.

    names: (d,). features: (n, d), NaN for unknown, as known before the treatment. treated: (n,).
    outcome: (n,), 0/1 or an amount, after the treatment began. placebo: (n,), the outcome of an equally long
    time before it; placebo_features: (n, d), as known before that time, since features that already hold the
    placebo's own time would explain it away (None: `features`). groups: (n,), rows that belong together
    (households): they share a fold, and errors count groups. Never raises for data that cannot tell: then
    `effect` is None and `cannot` says why. Raises ValueError on unequal lengths.
    Source: Robins, Rotnitzky & Zhao 1994 (the estimate), Chernozhukov et al. 2018 (cross-fitting), Crump et
    al. 2009 (leaving rows without overlap out), VanderWeele & Ding 2017 (E-values).
    """
    if not len(features) == len(treated) == len(outcome):
        raise ValueError("Features, treatments and outcomes need one row each.")
    few = min(int(treated.sum()), int((~treated).sum()))
    if few < LEAST:
        return _nothing(len(treated), int(treated.sum()), len(names))
    design, fold = prepared(features), folds(len(treated), groups, seed)
    chance = chances(design, treated, fold)
    kept = (chance >= OVERLAP[0]) & (chance <= OVERLAP[1])
    found = balances(names, features, treated, chance, kept)
    effect = adjusted(design, treated, outcome, chance, fold, groups)
    before = None
    if placebo is not None:
        earlier, alike = design, chance
        if placebo_features is not None:
            earlier = prepared(placebo_features)
            alike = chances(earlier, treated, fold)
        before = adjusted(earlier, treated, placebo, alike, fold, groups)
    strength = e_values(effect, outcome, treated) if effect else (1.0, 1.0)
    unbalanced = sum(not abs(each.after) <= BALANCED for each in found)
    reasons = cannot(float(kept.mean()), unbalanced, len(names), before, effect, outcome_name)
    return Diagnosis(
        len(treated),
        int(treated.sum()),
        float(kept.mean()),
        roc_auc(treated.astype(np.float64), chance),
        tuple(found[:WORST]),
        unbalanced,
        len(names),
        raw(outcome, treated, groups),
        effect,
        before,
        *strength,
        not reasons,
        tuple(shown(effect, strength, not reasons, outcome_name)),
        (*reasons, *limits(len(names), strength)),
    )


def e_values(effect: Value, outcome: Numbers, treated: Flags) -> tuple[float, float]:
    """E-values of an effect and of its interval's end next to 0.

    The effect on an amount becomes a risk ratio by exp(0.91 d), d in standard deviations of the outcome
    (VanderWeele & Ding 2017); that on a 0/1 outcome by the rate of those not treated.
    """
    ends = (effect.low, effect.high)
    nearest = 0.0 if ends[0] <= 0 <= ends[1] else min(ends, key=abs)
    return _e_value(effect.value, outcome, treated), _e_value(nearest, outcome, treated)


def _e_value(effect: float, outcome: Numbers, treated: Flags) -> float:
    if set(np.unique(outcome).tolist()) <= {0.0, 1.0}:
        base = float(outcome[~treated].mean())
        ratio = max(base + effect, 1e-6) / base if base > 0 else math.inf
    else:
        spread = float(outcome.std())
        ratio = math.exp(0.91 * effect / spread) if spread > 0 else 1.0
    ratio = max(ratio, 1 / ratio)
    return ratio + math.sqrt(ratio * (ratio - 1)) if math.isfinite(ratio) else math.inf


def _nothing(rows: int, treated: int, features: int) -> Diagnosis:
    why = (
        f"{treated:,} of {rows:,} rows were treated: {LEAST} treated and {LEAST} others are the least that "
        "an effect is estimated on."
    )
    none = (None, None, None)
    return Diagnosis(rows, treated, 0.0, 0.5, (), 0, features, *none, 1.0, 1.0, False, (), (why,))
