"""How often each arm is shown: the best one mostly, the others to learn, every chance told as it is."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

DRAWS = 1024
"""Posterior draws that shares are counted over: a share is a multiple of 1/1024."""


def thompson_shares(
    successes: Numbers,
    failures: Numbers,
    gain: Numbers,
    offset: Numbers,
    prior: tuple[float, float] | Numbers = (1.0, 1.0),
    draws: int = DRAWS,
    seed: int = 0,
) -> Numbers:
    """P(each arm is worth most) under its Beta posterior: (arms,), adding up to 1.

    An arm is worth `rate * gain + offset`, rate ~ Beta(prior[0] + successes, prior[1] + failures).
    successes, failures: (arms,), >= 0, fractions allowed; gain, offset: (arms,), money; prior: two numbers,
    > 0, or one pair per arm, (arms, 2). Ties go to the earlier arm; an arm of offset -inf is never best.
    The draws are fixed (scrambled Sobol points of `seed`), so that the same counts have the same shares:
    an arm drawn from them afterwards was shown with exactly the chance that is logged.
    Raises ValueError on no arms, negative counts, or a prior that is not above 0.
    Source: Thompson 1933; Chapelle & Li 2011.
    """
    from scipy.special import betaincinv

    won, lost, beliefs = np.asarray(successes), np.asarray(failures), np.asarray(prior, dtype=np.float64)
    if not len(won) or (won < 0).any() or (lost < 0).any() or (beliefs <= 0).any():
        raise ValueError("Shares need at least one arm, counts of 0 or more and a prior above 0.")
    a, b = beliefs[..., 0] + won, beliefs[..., 1] + lost
    worth = betaincinv(a, b, _points(len(won), draws, seed)) * gain + offset
    return np.asarray(np.bincount(worth.argmax(axis=1), minlength=len(won)) / len(worth))


@cache
def _points(arms: int, draws: int, seed: int) -> Numbers:
    """Quasi-random points of the open unit cube: (draws rounded up to a power of two, arms)."""
    from scipy.stats import qmc

    points = qmc.Sobol(arms, scramble=True, seed=seed).random_base2(max(draws - 1, 1).bit_length())
    return np.clip(points, 1e-12, 1 - 1e-12)


def propensities(best: int, shares: Numbers | None, epsilon: float, thompson: float, arms: int) -> Numbers:
    """P(shown) of every arm: (arms,), adding up to 1, none below epsilon / arms.

    `epsilon` of the decisions are spread evenly, `thompson` of them by `shares` (None: they go to `best`),
    the rest go to `best`. Raises ValueError when the two exceed 1, or shares are of another length.
    """
    if not 0 <= best < arms or min(epsilon, thompson) < 0 or epsilon + thompson > 1 + 1e-12:
        raise ValueError(f"No arm {best} of {arms}, or {epsilon} + {thompson} of the decisions is above 1.")
    if shares is not None and len(shares) != arms:
        raise ValueError(f"There are {len(shares)} shares for {arms} arms.")
    found = np.full(arms, epsilon / arms)
    learned = 0.0 if shares is None else thompson
    if shares is not None:
        found += thompson * shares
    found[best] += max(1 - epsilon - learned, 0.0)
    return found


def draw(propensities: Numbers, rng: np.random.Generator) -> int:
    """One arm by its propensity. propensities: (arms,), >= 0, adding up to 1."""
    edges = np.cumsum(propensities)
    found = int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))
    return min(found, len(edges) - 1)
