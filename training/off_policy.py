"""What a policy would have earned, told from the log of another one that drew its answers at random.

Rows are logged decisions: reward r, chance p that the logging policy gave to the action it took, chance t
that the judged policy gives to the same action. Weights w = t / p. See docs/off-policy.md.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

LEAST = 300
"""Effective samples under which nothing is concluded."""
STRAY = 0.1
"""Weights average 1 where propensities are true; further off than this, and than chance: no conclusion."""


@dataclass(frozen=True)
class Value:
    """Mean reward of one decision, its standard error and interval; NaN where there is nothing to count."""

    value: float
    error: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A policy's value by three estimators, and whether the log can tell it at all."""

    ips: Value
    snips: Value
    dr: Value | None
    """None without a model of rewards."""
    samples: int
    effective_samples: float
    clip: float
    """The largest weight that counts; inf where weights are not clipped."""
    clipped_share: float
    """Rows whose weight was cut."""
    missing: float
    """Weight that was cut, per row: times the largest reward, the most that clipping may understate by."""
    mean_weight: float
    concludes: bool
    why: str

    @property
    def best(self) -> Value:
        """Doubly robust where there is a model, self-normalised otherwise."""
        return self.dr or self.snips

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Contributions:
    """One number a row whose mean is the estimate, (n,): differences of policies on one log pair by row."""

    ips: Numbers
    snips: Numbers
    """Linearised: value + w * (r - value) / mean(w)."""
    dr: Numbers | None

    @property
    def best(self) -> Numbers:
        return self.snips if self.dr is None else self.dr


def estimate(
    reward: Numbers,
    propensity: Numbers,
    target: Numbers,
    *,
    clip: float | None = None,
    model_taken: Numbers | None = None,
    model_target: Numbers | None = None,
    groups: NDArray[Any] | None = None,
    least: float = LEAST,
    level: float = 0.95,
) -> Estimate:
    """The judged policy's mean reward by IPS, SNIPS and, given a model of rewards, doubly robust.

    reward, propensity (0 < p <= 1), target (0..1): (n,). clip: largest weight; None is sqrt(n) times the mean
    weight (Ionides 2008); inf is none. model_taken: expected reward of the action taken; model_target: of the
    judged policy's draw; both (n,), of a model that was not fitted on the row. groups: (n,), whose rows
    belong together (customers): errors then count groups, not rows.
    Effective samples are Kish's, of weights before they are clipped. Raises ValueError on unequal lengths, on
    propensities outside (0, 1], targets outside [0, 1] or a reward that is NaN.
    Source: Horvitz & Thompson 1952 (IPS); Swaminathan & Joachims 2015 (SNIPS); Dudik et al. 2011 (DR).
    """
    weights = _weights(reward, propensity, target)
    if not len(weights):
        return _nothing()
    most = limit(weights) if clip is None else clip
    found = contributions(
        reward, propensity, target, clip=most, model_taken=model_taken, model_target=model_target
    )
    effective = effective_samples(weights, groups)
    concludes, why = _verdict(weights, groups, effective, least)
    return Estimate(
        mean(found.ips, groups, level),
        mean(found.snips, groups, level),
        None if found.dr is None else mean(found.dr, groups, level),
        len(weights),
        effective,
        float(most),
        float((weights > most).mean()),
        float(np.maximum(weights - most, 0).mean()),
        float(weights.mean()),
        concludes,
        why,
    )


def contributions(
    reward: Numbers,
    propensity: Numbers,
    target: Numbers,
    *,
    clip: float | None = None,
    model_taken: Numbers | None = None,
    model_target: Numbers | None = None,
) -> Contributions:
    """What every row adds to each estimate; arguments and errors as of `estimate`."""
    weights = _weights(reward, propensity, target)
    kept = np.minimum(weights, limit(weights) if clip is None else clip)
    total = float(kept.sum())
    normal = float(kept @ reward) / total if total > 0 else math.nan
    snips = (
        normal + kept * (reward - normal) / (total / len(kept)) if total > 0 else np.full(len(kept), normal)
    )
    robust = None
    if model_taken is not None and model_target is not None:
        robust = model_target + kept * (reward - model_taken)
    return Contributions(kept * reward, snips, robust)


def mean(rows: Numbers, groups: NDArray[Any] | None = None, level: float = 0.95) -> Value:
    """Mean with its normal interval; rows of one group count as one draw (Liang & Zeger 1986)."""
    from scipy.special import ndtri

    value = float(rows.mean())
    residuals: Numbers = rows - value
    if groups is not None:
        codes = np.unique(groups, return_inverse=True)[1]
        residuals = np.bincount(codes, weights=residuals).astype(np.float64)
    draws = len(residuals)
    if draws < 2:
        return Value(value, math.nan, math.nan, math.nan)
    error = math.sqrt(float(residuals @ residuals) * draws / (draws - 1)) / len(rows)
    reach = float(ndtri((1 + level) / 2)) * error
    return Value(value, error, value - reach, value + reach)


def difference(
    one: Numbers, other: Numbers, groups: NDArray[Any] | None = None, level: float = 0.95
) -> Value:
    """How much more `one` is worth than `other`: rows' contributions of two policies on the same log."""
    if len(one) != len(other):
        raise ValueError("Only policies judged on the same log can be compared.")
    return mean(one - other, groups, level)


def effective_samples(weights: Numbers, groups: NDArray[Any] | None = None) -> float:
    """Rows of equal weight that would tell as much: (sum w)^2 / sum w^2. Source: Kish 1965.

    groups: (n,), whose rows belong together; then it is groups that count.
    """
    if groups is not None and len(weights):
        codes = np.unique(groups, return_inverse=True)[1]
        weights = np.bincount(codes, weights=weights).astype(np.float64)
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def limit(weights: Numbers) -> float:
    """Largest weight that counts: sqrt(n) times their mean. Source: Ionides 2008, section 3."""
    return math.sqrt(len(weights)) * float(weights.mean()) if len(weights) else math.inf


def _weights(reward: Numbers, propensity: Numbers, target: Numbers) -> Numbers:
    if not len(reward) == len(propensity) == len(target):
        raise ValueError("Rewards, propensities and targets need one row per decision.")
    wrong = int((~((propensity > 0) & (propensity <= 1))).sum())
    if wrong:
        raise ValueError(
            f"{wrong:,} of {len(propensity):,} logged propensities are not above 0 and at most 1: "
            "such rows cannot be weighted; leave them out and say so."
        )
    if not ((target >= 0) & (target <= 1 + 1e-9)).all() or np.isnan(reward).any():
        raise ValueError("Targets are chances from 0 to 1, and every decision has a reward.")
    return np.asarray(target / propensity, dtype=np.float64)


def _verdict(
    weights: Numbers, groups: NDArray[Any] | None, effective: float, least: float
) -> tuple[bool, str]:
    rows = len(weights) if groups is None else len(np.unique(groups))
    told = f"{effective:,.0f} effective samples of {rows:,}"
    if effective < least:
        return False, (
            f"Only {told}, under the {least:,.0f} asked for: the log seldom showed what this policy would "
            "show. Explore more, or judge a policy nearer to the one that was running."
        )
    found = mean(weights, groups)
    off, error = found.value - 1, found.error
    if abs(off) > max(STRAY, 4 * error):
        return False, (
            f"{told}, but weights average {1 + off:.2f}, not 1: the logged propensities are not the chances "
            "with which arms were shown, or this policy shows what the log never could."
        )
    return True, f"{told}; at least {least:,.0f} are asked for."


def _nothing() -> Estimate:
    none = Value(math.nan, math.nan, math.nan, math.nan)
    return Estimate(none, none, None, 0, 0.0, math.inf, 0.0, 0.0, math.nan, False, "Nothing was logged.")
