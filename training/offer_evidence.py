"""What the log of exposures can and cannot show, said before anybody reads a number from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from patron.models.activity import Numbers
from patron.models.offers import OfferPolicy
from patron.offers.terms import NONE
from training.observed import observed
from training.off_policy import Estimate, estimate
from training.policy_value import Replay, expected, taken_of

if TYPE_CHECKING:
    from training.offers import OffersJob

MOST = 5
"""Offers whose 'to everybody' is estimated: those shown most."""


def evidence(job: OffersJob, policy: OfferPolicy) -> dict[str, Any]:
    """{"kind", "learned", "values", "observed", "can", "cannot"} of a judged policy.

    kind: randomised, observational or nothing. values: policy -> its estimate on the last window. observed:
    what is seen, and not proven, in exposures that were not drawn at random.
    """
    found = values(policy, job.last)
    seen = observed(job) if len(job.exposures) and not job.exposures.randomised.all() else []
    can, cannot = said(job, policy, found)
    for each in seen:
        can += each["can"]
        cannot += each["cannot"]
    return {
        "kind": kind(job),
        "learned": {"name": policy.learned.name, "reason": policy.learned.reason},
        "values": found,
        "observed": seen,
        "can": can,
        "cannot": cannot,
    }


def kind(job: OffersJob) -> str:
    if not len(job.exposures):
        return "nothing"
    return "randomised" if job.exposures.randomised.any() else "observational"


def values(policy: OfferPolicy, replay: Replay) -> dict[str, Any]:
    """What the policy, nobody, chance, and each frequent offer to everybody would have earned a decision."""
    if not len(replay.drawn):
        return {}
    worth, chances = replay.chances(policy)
    model = expected(policy, worth)
    open_arms = np.hstack([np.ones((len(replay.may), 1)), replay.may])
    rivals: dict[str, Numbers] = {
        "the policy": chances,
        "nobody is shown anything": one(chances, 0),
        "every arm alike": open_arms / open_arms.sum(axis=1, keepdims=True),
    }
    for arm in frequent(replay):
        rivals[f"{replay.catalogue.offers[arm - 1].offer_id} to everybody"] = one(chances, arm)
    return {name: told(judged(replay, found, model)) for name, found in rivals.items()}


def one(like: Numbers, arm: int) -> Numbers:
    """The chances of a policy that shows one arm always."""
    found = np.zeros_like(like)
    found[:, arm] = 1.0
    return found


def frequent(replay: Replay) -> list[int]:
    arms, counts = np.unique(replay.taken[replay.taken > 0], return_counts=True)
    return [int(each) for each in arms[np.argsort(-counts, kind="stable")][:MOST]]


def judged(replay: Replay, chances: Numbers, model: Numbers | None) -> Estimate:
    return estimate(
        replay.reward,
        replay.drawn.propensity,
        replay.target(chances),
        model_taken=None if model is None else taken_of(model, replay.taken),
        model_target=None if model is None else (chances * model).sum(axis=1),
        groups=replay.customer,
    )


def told(found: Estimate) -> dict[str, Any]:
    best = found.best
    return {"value": best.value, "low": best.low, "high": best.high, **found.document()}


def said(job: OffersJob, policy: OfferPolicy, found: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(what this log can show, what it cannot)."""
    if not len(job.exposures):
        return [], ["Nothing was ever shown: neither responses nor effects can be told."]
    can, cannot = [], []
    shown = [row for row in job.exposures.rows if row["offer_id"] != NONE]
    known = sum(row["converted"] is not None for row in shown)
    if known:
        can.append(f"How often offers are taken up: {known:,} of {len(shown):,} showings have an outcome.")
    drawn = int(job.exposures.randomised.sum())
    if not drawn:
        cannot.append(
            "What offers change: nobody was left without an offer by chance, so whoever responds may have "
            "bought anyway. Serve offers with the shares that explore, or import a randomised test and name "
            "its policy in randomised_policies (configs/models/offers.toml)."
        )
        return can, cannot
    used = int((job.exposures.randomised & job.exposures.apart).sum())
    can.append(
        f"What offers change, from {used:,} of {drawn:,} exposures drawn at random: whose outcomes stand "
        f"apart. {policy.learned.reason}"
    )
    for name, each in found.items():
        (can if each["concludes"] else cannot).append(f"What is earned when {name}: {each['why']}")
    return can, cannot
