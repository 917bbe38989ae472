"""What a policy would have earned on exposures that it did not see, as a judgement of the last window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patron.models.activity import Numbers
from patron.models.offer_log import OfferLog
from patron.models.offer_worth import Worth
from patron.models.offers import OfferPolicy
from patron.offers.catalogue import Catalogue
from patron.offers.eligibility import outside
from patron.offers.terms import NONE
from training import metrics
from training.bootstrap import Indices, Judgement
from training.off_policy import Contributions, contributions, estimate
from training.uplift_metrics import qini, uplift_at


@dataclass(frozen=True)
class Replay:
    """Exposures of a window, and those drawn at random among them, by which policies are judged.

    `taken`: the arm that was shown, 0 for `none`, -1 for an offer that is not in the catalogue any more, or
    could not be shown then by its terms of today: no policy can be told to show it.
    `may`: which offers ran then, shape (drawn, offers). `reward`: margin of the outcome window less what the
    offer cost. `customer`: a number for each customer; one may stand in many exposures.
    """

    log: OfferLog
    drawn: OfferLog
    catalogue: Catalogue
    taken: NDArray[np.int64]
    may: NDArray[np.bool_]
    reward: Numbers
    customer: NDArray[np.int64]

    @classmethod
    def of(
        cls, log: OfferLog, customers: Sequence[str], moments: Sequence[datetime], catalogue: Catalogue
    ) -> Replay:
        """customers, moments: whose each exposure is, and when it was shown."""
        at = np.flatnonzero(log.randomised)
        drawn = log.take(at)
        arms = {NONE: 0} | {each.offer_id: place + 1 for place, each in enumerate(catalogue.offers)}
        taken = np.array([arms.get(each, -1) for each in drawn.offer_id.tolist()], dtype=np.int64)
        may = open_then(drawn, catalogue, [moments[place] for place in at.tolist()])
        shown = np.flatnonzero(taken > 0)
        closed = shown[~may[shown, taken[shown] - 1]]
        taken[closed] = -1
        customer = np.unique(np.array(customers, dtype=np.str_)[at], return_inverse=True)[1]
        return cls(log, drawn, catalogue, taken, may, rewards(drawn, taken, catalogue), customer)

    def chances(self, policy: OfferPolicy) -> tuple[Worth, Numbers]:
        """(what the arms are worth, with what chance the policy shows each: (drawn, arms))."""
        worth = policy.worth(self.drawn.rows, self.catalogue.offers)
        rows = [policy.propensities(worth, row, self.may[row]) for row in range(len(self.drawn))]
        return worth, np.array(rows).reshape(len(rows), len(self.catalogue.offers) + 1)

    def target(self, chances: Numbers) -> Numbers:
        """P(the policy shows what was shown), 0 where it could not."""
        found = chances[np.arange(len(chances)), np.maximum(self.taken, 0)]
        return np.where(self.taken >= 0, found, 0.0)

    def rows_of(self, at: Indices) -> Indices:
        """The exposures of these customers, each as often as its customer."""
        counts = np.bincount(at, minlength=self.customers)
        return np.repeat(np.arange(len(self.drawn)), counts[self.customer])

    @property
    def customers(self) -> int:
        return int(self.customer.max()) + 1 if len(self.customer) else 0


def open_then(log: OfferLog, catalogue: Catalogue, moments: Sequence[datetime]) -> NDArray[np.bool_]:
    """Which offers could be shown at each exposure, (exposures, offers): as logged, else those that ran."""
    found = running(catalogue, moments)
    for row, told in enumerate(log.told):
        if told is not None:
            found[row] = [told.get(each.offer_id, 0.0) > 0 for each in catalogue.offers]
    return found


def running(catalogue: Catalogue, moments: Sequence[datetime]) -> NDArray[np.bool_]:
    """Which offers were valid at each moment, shape (moments, offers): where no log tells more.

    Who may see them is not asked, as tiers of then are not known; nor are occasions: what waits for one is
    left out.
    """
    found = [
        [each.occasion is None and outside(each, moment, None) is None for each in catalogue.offers]
        for moment in moments
    ]
    return np.array(found, dtype=bool).reshape(len(moments), len(catalogue.offers))


def rewards(log: OfferLog, taken: NDArray[np.int64], catalogue: Catalogue) -> Numbers:
    """Margin of the window less the cost: of one showing, or of what was taken up.

    Where nobody knows that yet, whoever ordered is taken to have used it.
    """
    costs = np.array([0.0, *(each.cost for each in catalogue.offers)])
    at_showing = np.array([True, *(not each.costs_on_conversion for each in catalogue.offers)])
    used = np.where(np.isnan(log.converted), log.ordered, log.converted)
    paid = np.where(at_showing[taken], 1.0, used)
    return log.margin - np.where(taken >= 0, costs[taken] * paid, 0.0)


def expected(policy: OfferPolicy, worth: Worth) -> Numbers | None:
    """The policy's own expectation of the reward of each arm, (drawn, arms); None where it has none."""
    if policy.effects is None:
        return None
    amounts = policy.config.outcome == "margin"
    unit = [1.0 if amounts else policy.order_margin(str(each)) for each in worth.segments]
    without = worth.without * np.array(unit)
    return np.asarray(without[:, None] + np.nan_to_num(worth.margin), dtype=np.float64)


def contributed(
    policy: OfferPolicy, replay: Replay, worth: Worth, chances: Numbers
) -> tuple[Contributions, Numbers]:
    """(what each exposure adds to the estimates, the policy's chance of what was shown)."""
    target, model = replay.target(chances), expected(policy, worth)
    found = contributions(
        replay.reward,
        replay.drawn.propensity,
        target,
        model_taken=None if model is None else taken_of(model, replay.taken),
        model_target=None if model is None else (chances * model).sum(axis=1),
    )
    return found, target


def taken_of(model: Numbers, taken: NDArray[np.int64]) -> Numbers:
    """The expectation of the arm that was shown."""
    return model[np.arange(len(model)), np.maximum(taken, 0)]


def judgement(policy: OfferPolicy, replay: Replay, primary: str) -> Judgement:
    """Values in margin a decision, over the customers of the window; responses beside them."""
    whole = response_metrics(policy, replay.log)
    if not len(replay.drawn):
        return Judgement(lambda at: {primary: float("nan")}, 0, primary, whole=whole)
    worth, chances = replay.chances(policy)
    found, target = contributed(policy, replay, worth, chances)
    ranked = ranking(policy, replay, worth)
    told = estimate(replay.reward, replay.drawn.propensity, target, groups=replay.customer)
    whole |= {
        "effective_samples": told.effective_samples,
        "mean_weight": told.mean_weight,
        "conclusive": float(told.concludes),
    }

    def measure(at: Indices) -> dict[str, float]:
        rows = replay.rows_of(at)
        return {
            primary: float(found.best[rows].mean()),
            "policy_value_ips": float(found.ips[rows].mean()),
            "policy_value_snips": float(found.snips[rows].mean()),
            "contact_share": float(1 - chances[rows, 0].mean()),
            **ranked(rows),
        }

    return Judgement(measure, replay.customers, primary, whole=whole)


def ranking(policy: OfferPolicy, replay: Replay, worth: Worth) -> Any:
    """A function of rows: Qini and uplift at 30% on orders, of the arm that was shown most against `none`."""
    offers = replay.catalogue.offers
    groups = np.array(["", *(policy.groups.get(each.offer_id, each.arm) for each in offers)])
    shown = groups[np.maximum(replay.taken, 0)]
    names, counts = np.unique(shown[replay.taken > 0], return_counts=True)
    if policy.effects is None or not len(names) or not (replay.taken == 0).any():
        return lambda rows: {}
    arm = names[counts.argmax()]
    place = int(np.flatnonzero(groups == arm)[0])
    effect = worth.margin[:, place] + worth.cost[:, place]
    treated = shown == arm
    arms = {NONE: NONE} | {each.offer_id: str(group) for each, group in zip(offers, groups[1:], strict=True)}
    propensity, could = replay.drawn.arms(arms)
    kept = (treated & (replay.taken > 0)) | ((replay.taken == 0) & could[str(arm)])

    def measure(rows: Indices) -> dict[str, float]:
        rows = rows[kept[rows]]
        told = effect[rows], treated[rows], replay.drawn.ordered[rows], propensity[rows]
        return {"qini": qini(*told), "uplift_at_30": uplift_at(*told)}

    return measure


def responses(policy: OfferPolicy, log: OfferLog) -> tuple[Numbers, Numbers]:
    """(whether each offer shown was taken up, the rate expected), where it is known."""
    kept = (log.offer_id != NONE) & ~np.isnan(log.converted)
    if not kept.any():
        return np.zeros(0), np.zeros(0)
    log = log.take(kept)
    pairs = list(zip(policy.segments.segment(log.rows).tolist(), log.offer_id.tolist(), strict=True))
    rates = {pair: policy.rates.response(*pair).rate for pair in set(pairs)}
    return log.converted, np.array([rates[pair] for pair in pairs])


def response_metrics(policy: OfferPolicy, log: OfferLog) -> dict[str, float]:
    """How well responses are told: what people take up, not what it changes."""
    outcome, rate = responses(policy, log)
    if not len(outcome):
        return {}
    return {
        "response_roc_auc": metrics.roc_auc(outcome, rate),
        "response_log_loss": metrics.log_loss(outcome, rate),
        "response_calibration_error": metrics.expected_calibration_error(outcome, rate, bins=5),
    }
