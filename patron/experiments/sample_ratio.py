"""Sample ratio mismatch: whether the arms have as many units as they should, or something loses some of them.

Looked at daily, a chi-square test would raise a false alarm sooner or later. What decides is the Bayes factor
of a Dirichlet-multinomial mixture against the configured ratio (Lindon & Malek 2022, "Anytime-valid inference
for multinomial count data"): under the right ratio it is a martingale that starts at 1, so that it ever
reaches 1/alpha with a probability of at most alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log

LEVEL = 0.01
"""Chance that a sound experiment is ever called mismatched."""
CONCENTRATIONS = (100.0, 1000.0)
"""Of the mixtures about the configured ratio: even arms that are off by some 5 and 2 points."""


@dataclass(frozen=True)
class Ratio:
    """`p_value` holds at any number of looks; `chi_square_p` only at one."""

    expected: tuple[float, ...]
    counts: tuple[int, ...]
    p_value: float
    chi_square_p: float
    mismatch: bool


def sample_ratio(counts: Sequence[int], shares: Sequence[float], level: float = LEVEL) -> Ratio:
    """Units by arm against the shares that they should have.

    shares: sum to 1, all above 0. Nobody exposed is no mismatch.
    """
    from scipy.stats import chi2

    total = sum(counts)
    expected = tuple(total * share for share in shares)
    p_value = min(1.0, exp(-min(log_bayes_factor(counts, shares), 700.0)))
    distance = sum((n - e) ** 2 / e for n, e in zip(counts, expected, strict=True)) if total else 0.0
    once = float(chi2.sf(distance, len(counts) - 1)) if total else 1.0
    return Ratio(expected, tuple(counts), p_value, once, p_value <= level)


def log_bayes_factor(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Of the mixtures' mean against the shares: a mean of martingales is one, too.

    Source of each: Lindon & Malek 2022, equation 5.
    """
    found = [of_mixture(counts, shares, each) for each in CONCENTRATIONS]
    top = max(found)
    return top + log(sum(exp(each - top) for each in found) / len(found))


def of_mixture(counts: Sequence[int], shares: Sequence[float], concentration: float) -> float:
    """The logarithm of one mixture's Bayes factor."""
    total = lgamma(concentration) - lgamma(concentration + sum(counts))
    for count, share in zip(counts, shares, strict=True):
        weight = concentration * share
        total += lgamma(weight + count) - lgamma(weight) - count * log(share)
    return total
