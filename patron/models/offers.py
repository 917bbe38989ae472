"""Next best offer: what each offer adds beside showing nothing, and with what chance each is shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from patron.errors import DataError
from patron.files import publish_json
from patron.models.activity import DERIVED, INPUTS, Numbers, column, matrix, references, size
from patron.models.base import FeatureRows, Model, Reason
from patron.models.offer_config import OfferPolicyConfig
from patron.models.offer_log import OfferLog
from patron.models.offer_worth import Learned, OfferDecision, Worth, number
from patron.models.order_values import OrderValues
from patron.models.response_rates import VALUE_STRENGTH, ResponseRates
from patron.models.segments import Segments
from patron.models.uplift import FILE as EFFECTS
from patron.models.uplift import Uplift
from patron.models.uplift_choice import ChoiceConfig, choose
from patron.offers.exploration import draw, propensities, thompson_shares
from patron.offers.leaving_alone import alone
from patron.offers.terms import NONE, OfferTerms

COSTLY = ChoiceConfig(least_spread=0.0)
"""Beside costs and budgets small differences matter, though everybody gain something."""
LEAST_SHARE = 0.001
"""What was left alone counts as drawn by this at least, should nobody be left alone any more."""
REMEMBERED = 10_000
"""Shares that are kept: one for each segment and set of offers that was asked for."""
NAMES = (*INPUTS, *DERIVED)
"""What the effect is told apart by."""


class OfferPolicy(Model):
    """Greedy on expected incremental margin, with a Thompson share for offers without evidence and a floor.

    margin = effect on ordering x margin of an order - expected cost (or the effect on the margin itself,
    less the cost). The effect is learned on randomised exposures alone (`patron.models.uplift`); where no
    model is shown to be better than the average, everybody is treated alike. Without evidence the best arm
    is `none`, and offers are shown by the two shares alone, so that evidence comes about.
    """

    Config = OfferPolicyConfig

    def __init__(self, config: OfferPolicyConfig | None = None):
        self.config = config or OfferPolicyConfig()
        self.segments = Segments()
        self.offers: tuple[OfferTerms, ...] = ()
        """As they were at the fit."""
        self.rates = ResponseRates({})
        self.order_margins: dict[str, float] = {}
        self.order_values = OrderValues()
        self.effects: Uplift | None = None
        self.learned = Learned()
        self._shares: dict[tuple[Any, ...], Numbers] = {}

    @property
    def references(self) -> dict[str, str]:
        """Feast reference -> type of every feature that the segments and the effect read."""
        return {**references(INPUTS), **self.segments.references}

    def fit(
        self,
        log: OfferLog | None,
        offers: Sequence[OfferTerms],
        segments: Segments | None = None,
        *,
        alike: bool = False,
        seed: int = 0,
        threads: int = 1,
    ) -> Self:
        """Count responses, and learn effects where chance decided. Neither exposures nor offers are needed.

        alike: treat everybody by the average effect, the baseline. Raises DataError when two offers share an
        id.
        """
        if len({each.offer_id for each in offers}) < len(offers):
            raise DataError("Two offers share an id. Give each its own.")
        self.segments, self._shares = segments or self.segments, {}
        self.offers = tuple(offers)
        self.rates = ResponseRates({}, self.config.prior_rate, self.config.prior_strength)
        self.order_margins, self.order_values = {}, OrderValues()
        self.effects, self.learned = None, Learned()
        if log is not None and len(log):
            self._count(log)
            self._learn(log, alike, seed, threads)
        return self

    def _count(self, log: OfferLog) -> None:
        segment = self.segments.segment(log.rows)
        seen = {
            "offer_id": log.offer_id,
            "segment": segment,
            "converted": log.converted,
            "value": log.value,
        }
        self.rates = ResponseRates.fit(seen, self.groups, self.config.prior_rate, self.config.prior_strength)
        self.order_margins = order_margins(segment, log.ordered, log.margin)
        self.order_values = OrderValues.fit(log, segment)

    def _learn(self, log: OfferLog, alike: bool, seed: int, threads: int) -> None:
        log = log.take(log.trial)
        groups = {NONE: NONE, **self.groups}
        treatment = np.array([groups.get(each, each) for each in log.offer_id.tolist()], dtype=np.str_)
        propensity, could = log.arms(groups)
        if log.rested is not None:
            propensity[log.rested] = max(self.config.left_alone, LEAST_SHARE)
        alone = treatment == NONE
        arms = [
            arm
            for arm in sorted(set(treatment.tolist()) - {NONE})
            if min((treatment == arm).sum(), (alone & could[arm]).sum()) >= self.config.least_exposures
        ]
        if not arms:
            return
        kept = alone | np.isin(treatment, arms)
        log, treatment = log.take(kept), treatment[kept]
        amounts = self.config.outcome == "margin"
        found = choose(
            NAMES,
            matrix(log.rows, NAMES),
            treatment,
            log.margin if amounts else log.ordered,
            propensity[kept],
            "amount" if amounts else "binary",
            seed=seed,
            threads=threads,
            candidates=() if alike else self.config.candidates,
            config=COSTLY,
            possible={arm: could[arm][kept] for arm in arms},
        )
        self.effects, self.learned = found.model, Learned.of(found)

    def alone(self, customer_id: str, now: datetime) -> bool:
        """Whether chance leaves the customer alone for the period of this moment."""
        return alone(customer_id, now, self.config.outcome_days, self.config.left_alone)

    @property
    def groups(self) -> dict[str, str]:
        """Offer -> the treatment that it stands under."""
        return {each.offer_id: each.arm for each in self.offers}

    def worth(self, rows: FeatureRows, offers: Sequence[OfferTerms]) -> Worth:
        """What each offer adds for each customer, whatever its terms: eligibility is the caller's."""
        segments = self.segments.segment(rows)
        effect, without, evidence = self._effects(rows, offers)
        response = self._taken_up(self._responses(segments, offers), offers, without[:, None] + effect)
        costs = np.array([each.cost for each in offers])
        on_conversion = np.array([each.costs_on_conversion for each in offers], dtype=bool)
        cost = costs * np.where(on_conversion, response, 1.0)
        gain = (
            effect
            if self.config.outcome == "margin"
            else effect * self._order_margin(rows, segments)[:, None]
        )
        uplift = np.full_like(effect, np.nan) if self.config.outcome == "margin" else effect
        nothing = np.zeros((len(segments), 1))
        return Worth(
            tuple(offers),
            segments,
            np.hstack([nothing, uplift]),
            np.hstack([nothing, gain - cost]),
            np.hstack([nothing, cost]),
            np.array([True, *evidence], dtype=bool),
            without,
        )

    def _effects(
        self, rows: FeatureRows, offers: Sequence[OfferTerms]
    ) -> tuple[Numbers, Numbers, NDArray[np.bool_]]:
        """(effect of each offer (customers, offers), outcome without any (customers,), which are known)."""
        n = size(rows)
        if self.effects is None:
            unknown = np.full(n, np.nan)
            return np.full((n, len(offers)), np.nan), unknown, np.zeros(len(offers), dtype=bool)
        places = {name: place for place, name in enumerate(self.effects.arms)}
        groups = self.groups
        own = [places.get(groups.get(each.offer_id, each.arm), -1) for each in offers]
        inputs = matrix(rows, NAMES)
        found = np.hstack([self.effects.effects(inputs), np.full((n, 1), np.nan)])
        evidence = np.array([place >= 0 for place in own], dtype=bool)
        return found[:, own] if own else np.zeros((n, 0)), self.effects.without(inputs), evidence

    def _responses(self, segments: NDArray[np.str_], offers: Sequence[OfferTerms]) -> Numbers:
        """P(taken up | shown), shape (customers, offers)."""
        names, place = np.unique(segments, return_inverse=True)
        rates = [[self.rates.response(str(name), each.offer_id).rate for each in offers] for name in names]
        return np.array(rates, dtype=np.float64).reshape(len(names), len(offers))[place]

    def _taken_up(self, response: Numbers, offers: Sequence[OfferTerms], ordering: Numbers) -> Numbers:
        """P(taken up | shown), of each customer where the effect on ordering is known."""
        if self.config.outcome == "margin" or not offers:
            return response
        own = [self.order_values.uptake(each.offer_id, ordering[:, at]) for at, each in enumerate(offers)]
        return np.where(np.isnan(ordering), response, np.column_stack(own))

    def _order_margin(self, rows: FeatureRows, segments: NDArray[np.str_]) -> Numbers:
        """Margin that one more customer who orders brings within the window, shape (customers,)."""
        if not self.order_margins:
            return np.nan_to_num(column(rows, "mean_order_value")) * self.config.margin_rate
        usual = np.array([self.order_margin(str(each)) for each in segments], dtype=np.float64)
        return usual * self.order_values.relative(rows, segments)

    def order_margin(self, segment: str) -> float:
        """Of a segment; of all customers for one never seen; 0 where nothing was ever shown."""
        return self.order_margins.get(segment, self.order_margins.get("", 0.0))

    def decide(
        self, rows: FeatureRows, row: int, offers: Sequence[OfferTerms], limit: int, rng: np.random.Generator
    ) -> list[OfferDecision]:
        """One arm drawn by its propensity, then the best other offers that add margin, at most `limit`.

        offers: those that may be made to this customer now. `none` is drawn alone.
        """
        return self.decided(self.worth(rows, offers), row, limit, rng)

    def decided(self, worth: Worth, row: int, limit: int, rng: np.random.Generator) -> list[OfferDecision]:
        """`decide`, where the worth is known already."""
        chances, margin, best = self.propensities(worth, row), worth.known_margin[row], self.best(worth, row)
        first = draw(chances, rng)
        others = [each for each in self.order(worth, row) if each not in (0, first) and margin[each] > 0]
        shown = [first] if first == 0 else [first, *others][: max(limit, 1)]
        return [
            self.told(worth, row, each, float(chances[each]), each == first and each != best)
            for each in shown
        ]

    def order(self, worth: Worth, row: int) -> list[int]:
        """Arms by expected margin; `none` wins a tie, then the smaller id."""
        names, margin = worth.names, worth.known_margin[row]
        return sorted(range(len(names)), key=lambda each: (-margin[each], each != 0, names[each]))

    def best(self, worth: Worth, row: int) -> int:
        """The arm of the highest expected margin; 0, `none`, where no offer adds any."""
        return self.order(worth, row)[0]

    def propensities(self, worth: Worth, row: int, may: NDArray[np.bool_] | None = None) -> Numbers:
        """P(shown first) of every arm, `none` first; they add up to 1.

        may: which offers may be made, shape (offers,); all by default. The others have 0.
        """
        allowed = np.ones(len(worth.names), dtype=bool)
        if may is not None:
            allowed[1:] = may
        best = next(each for each in self.order(worth, row) if allowed[each])
        kept = np.flatnonzero(allowed)
        shares = self._explored(str(worth.segments[row]), worth, kept, best)
        place = int(np.searchsorted(kept, best))
        found = np.zeros(len(allowed))
        found[kept] = propensities(place, shares, self.config.epsilon, self.config.thompson, len(kept))
        return found

    def _explored(self, segment: str, worth: Worth, kept: NDArray[np.int64], best: int) -> Numbers | None:
        """P(each unknown offer, or none of them, is best) by the responses so far, over the arms `kept`.

        None where all are known, or no share is left to them. What falls to none of them is the best arm's.
        """
        if worth.evidence[kept].all() or not self.config.thompson:
            return None
        offers = [(worth.offers[arm - 1], bool(worth.evidence[arm])) for arm in kept[1:].tolist()]
        key = (segment, tuple((each.offer_id, each.cost, evidence) for each, evidence in offers))
        if key not in self._shares:
            if len(self._shares) >= REMEMBERED:
                self._shares.clear()
            self._shares[key] = self._thompson(segment, offers)
        shares = self._shares[key]
        if best:
            shares = shares.copy()
            shares[np.searchsorted(kept, best)] += shares[0]
            shares[0] = 0.0
        return shares

    def _thompson(self, segment: str, offers: Sequence[tuple[OfferTerms, bool]]) -> Numbers:
        """Beta posteriors of response rates, worth the margin of an order less the cost; `none` is worth 0.

        offers: with whether there is evidence of each.
        Where no order was ever seen an order counts 1 and costs are not counted. Offers with evidence take no
        part: they are no longer a question.
        """
        value = self.order_margin(segment)
        counted = 1.0 if value > 0 else 0.0
        value = value or 1.0
        known = self.rates.response(segment, NONE).rate * value
        prior, gain, offset = [(1.0, 1.0)], [0.0], [0.0]
        for each, evidence in offers:
            found = self.rates.response(segment, each.offer_id)
            weight = found.shown + self.config.prior_strength
            cost = counted * each.cost
            prior.append((found.rate * weight, (1 - found.rate) * weight))
            gain.append(0.0 if evidence else value - cost * each.costs_on_conversion)
            offset.append(-np.inf if evidence else -known - cost * (not each.costs_on_conversion))
        nothing = np.zeros(len(gain))
        return thompson_shares(nothing, nothing, np.array(gain), np.array(offset), np.array(prior))

    def told(self, worth: Worth, row: int, arm: int, propensity: float, explored: bool) -> OfferDecision:
        """One arm of a customer in words and numbers."""
        learning = (
            [Reason("exploration", "chosen at random, to learn how customers respond")] if explored else []
        )
        if arm == 0:
            why = learning or [Reason("no_better_offer", "no eligible offer is expected to add margin")]
            return OfferDecision(NONE, 0.0, 0.0, propensity, why)
        uplift, margin = (number(each[row, arm]) for each in (worth.uplift, worth.margin))
        reasons = [*learning, *self._why(worth, row, arm)]
        return OfferDecision(worth.names[arm], uplift, margin, propensity, reasons)

    def _why(self, worth: Worth, row: int, arm: int) -> list[Reason]:
        segment = str(worth.segments[row])
        found = self.rates.response(segment, worth.names[arm])
        text = (
            f"{found.rate:.1%} of {segment.replace('_', ' ')} customers respond, shown {found.shown:,} times"
        )
        reasons = [Reason("response_rate", text)]
        if not worth.evidence[arm]:
            text = "response, not effect: not yet tried against leaving customers alone"
            return [*reasons, Reason("no_evidence", text)]
        if self.config.outcome == "margin":
            gained = worth.margin[row, arm] + worth.cost[row, arm]
            return [
                *reasons,
                Reason("uplift", f"{gained:+.2f} margin within {self.config.outcome_days} days"),
            ]
        without, uplift = worth.without[row], worth.uplift[row, arm]
        text = f"{without + uplift:.1%} order with it, {without:.1%} without an offer"
        return [*reasons, Reason("uplift", text)]

    def save(self, folder: Path) -> None:
        document: dict[str, Any] = {
            "config": self.config.model_dump(mode="json"),
            "offers": [each.model_dump(mode="json") for each in self.offers],
            "rates": self.rates.document(),
            "order_margins": self.order_margins,
            "order_values": asdict(self.order_values),
            "segments": self.segments.document(),
            "learned": asdict(self.learned),
        }
        publish_json(folder / "offers.json", document)
        if self.effects is not None:
            self.effects.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        document = json.loads((folder / "offers.json").read_text(encoding="utf-8"))
        model = cls(OfferPolicyConfig(**document["config"]))
        model.offers = tuple(OfferTerms(**each) for each in document["offers"])
        model.order_margins = document["order_margins"]
        model.order_values = OrderValues(**document["order_values"])
        model.rates = ResponseRates.of(document["rates"])
        model.segments = Segments.of(document["segments"])
        model.learned = Learned(**document["learned"])
        if (folder / EFFECTS).is_file():
            model.effects = Uplift.load(folder)
        return model


def order_margins(segment: NDArray[np.str_], ordered: Numbers, margin: Numbers) -> dict[str, float]:
    """Segment -> mean margin of the window of those who ordered in it, leaning on the mean of all.

    "" stands for all customers. Empty where nobody ordered.
    """
    bought = ordered > 0
    if not bought.any():
        return {}
    overall = max(float(margin[bought].mean()), 0.0)
    found = {"": overall}
    for name in np.unique(segment).tolist():
        mine = margin[bought & (segment == name)]
        found[str(name)] = max(
            float((mine.sum() + VALUE_STRENGTH * overall) / (len(mine) + VALUE_STRENGTH)), 0.0
        )
    return found
