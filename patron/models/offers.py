"""Next best offer: which one to show to a customer of a segment, or none, and with what chance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, field_validator

from patron.errors import DataError
from patron.files import publish_json
from patron.models.base import Config, Model, Reason
from patron.models.response_rates import NONE, Exposures, ResponseRates
from patron.models.segments import Segments

ON_CONVERSION = frozenset({"coupon", "percent_off", "free_shipping", "upgrade", "points"})
"""Kinds that cost something only when a customer takes them up."""


class OfferTerms(Config):
    """One offer: to whom, where and when it may be shown."""

    offer_id: str
    name: str = ""
    kind: str = "coupon"
    group: str = ""
    """Campaign type: offers of one group lend each other evidence. Empty: the kind."""
    cost: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Of one conversion for kinds in `ON_CONVERSION`, of one showing for others; in the shop's currency."""
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    """Shown before this moment only."""
    channels: tuple[str, ...] = ()
    """Empty: any."""
    min_tier: str | None = None
    """The lowest customer tier that may see it."""

    @field_validator("valid_from", "valid_to")
    @classmethod
    def in_utc(cls, moment: datetime | None) -> datetime | None:
        """A moment without a time zone is taken as UTC."""
        return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


class OfferPolicyConfig(Config):
    """What `configs/models/offers.toml` may set."""

    epsilon: float = Field(default=0.1, ge=0, le=1)
    """Share of decisions drawn uniformly over the eligible arms, `none` among them: learning lives on it."""
    margin_rate: float = Field(default=0.3, gt=0, le=1)
    """Share of a conversion's value that the shop keeps, before the offer's cost."""
    prior_rate: float = Field(default=0.02, gt=0, lt=1)
    """Response rate believed before anything was shown."""
    prior_strength: float = Field(default=50.0, gt=0)
    """Exposures that a level's parent is worth."""
    tiers: tuple[str, ...] = ("bronze", "silver", "gold", "platinum")
    """Customer tiers, the lowest first."""


@dataclass(frozen=True)
class OfferDecision:
    """One line of an answer. Uplift is in response rate, margin in currency: both beside showing nothing."""

    offer_id: str
    expected_uplift: float
    expected_margin: float
    propensity: float
    """P(this arm is shown first), given the same eligible arms."""
    reasons: list[Reason]


class OfferPolicy(Model):
    """Greedy on expected margin over arms, with a uniform floor.

    expected_margin = rate * (value * margin_rate - cost) - the same of `none`, where kinds outside
    ON_CONVERSION cost as much at every showing; expected_uplift = rate - rate of `none`. While nobody was
    left without an offer, `none` counts as 0 and a reason `observational` says so: responders may be those
    who would have bought anyway.
    """

    Config = OfferPolicyConfig

    def __init__(self, config: OfferPolicyConfig | None = None):
        self.config = config or OfferPolicyConfig()
        self.segments = Segments()
        self.offers: tuple[OfferTerms, ...] = ()
        self.rates = ResponseRates({})
        self._known: dict[str, dict[str, OfferDecision]] = {}

    @property
    def references(self) -> dict[str, str]:
        """Feast reference -> type of every feature that the segments read."""
        return self.segments.references

    def fit(
        self,
        exposures: Exposures,
        offers: Sequence[OfferTerms],
        segments: Segments | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> Self:
        """Count responses by (segment, offer). Neither exposures nor offers are needed; nothing is random.

        Raises DataError when two offers share an id, or one is called `none`.
        """
        ids = [each.offer_id for each in offers]
        if len(set(ids)) < len(ids) or NONE in ids:
            raise DataError(f"Offers need ids of their own, other than '{NONE}'.")
        self.offers, self.segments = tuple(offers), segments or self.segments
        groups = {each.offer_id: each.group or each.kind for each in offers}
        self.rates = ResponseRates.fit(exposures, groups, self.config.prior_rate, self.config.prior_strength)
        self._known = {}
        return self

    def decide(
        self,
        segment: str,
        now: datetime,
        channel: str | None,
        limit: int,
        rng: np.random.Generator,
        tier: str | None = None,
    ) -> list[OfferDecision]:
        """One arm drawn by its propensity, then the best other offers that add margin, at most `limit`.

        `none` is drawn alone. Consent, budgets and daily caps are the caller's. `now` needs a time zone.
        """
        arms = self.propensities(segment, now, channel, tier)
        names = list(arms)
        first = names[int(rng.choice(len(names), p=np.array(list(arms.values()))))]
        worth = self._worth(segment)
        others = sorted(
            (name for name in names if name not in (first, NONE)), key=lambda name: self._order(worth, name)
        )
        useful = [name for name in others if worth[name].expected_margin > 0]
        shown = [first] if first == NONE else [first, *useful][: max(limit, 1)]
        best = self._best(worth, names)
        return [self._decision(worth[name], arms[name], name == first and name != best) for name in shown]

    def propensities(
        self, segment: str, now: datetime, channel: str | None, tier: str | None = None
    ) -> dict[str, float]:
        """P(shown first) of every eligible arm, `none` first; they add up to 1."""
        names = [NONE, *(each.offer_id for each in self.offers if self.eligible(each, now, channel, tier))]
        floor = self.config.epsilon / len(names)
        best = self._best(self._worth(segment), names)
        return {name: floor + (1 - self.config.epsilon if name == best else 0.0) for name in names}

    def eligible(self, offer: OfferTerms, now: datetime, channel: str | None, tier: str | None) -> bool:
        """Whether the offer is valid now, on this channel (None: any) and for this tier."""
        running = (offer.valid_from is None or offer.valid_from <= now) and (
            offer.valid_to is None or now < offer.valid_to
        )
        placed = not offer.channels or channel is None or channel in offer.channels
        return running and placed and self._tier_reaches(offer.min_tier, tier)

    def _tier_reaches(self, least: str | None, tier: str | None) -> bool:
        ranks = {name.lower(): rank for rank, name in enumerate(self.config.tiers)}
        if not least:
            return True
        if least.lower() not in ranks:
            return tier == least
        return tier is not None and ranks.get(tier.lower(), -1) >= ranks[least.lower()]

    def _best(self, worth: dict[str, OfferDecision], names: Sequence[str]) -> str:
        return min(names, key=lambda name: self._order(worth, name))

    def _order(self, worth: dict[str, OfferDecision], name: str) -> tuple[float, bool, str]:
        """Most margin first; `none` wins a tie."""
        return -worth[name].expected_margin, name != NONE, name

    def _worth(self, segment: str) -> dict[str, OfferDecision]:
        """Every arm as it stands in a segment, computed once; its propensity is left at 0."""
        if segment not in self._known:
            arms = [self._arm(segment, each) for each in (OfferTerms(offer_id=NONE), *self.offers)]
            self._known[segment] = {each.offer_id: each for each in arms}
        return self._known[segment]

    def _arm(self, segment: str, offer: OfferTerms) -> OfferDecision:
        if offer.offer_id == NONE:
            text = "no eligible offer is expected to add margin"
            return OfferDecision(NONE, 0.0, 0.0, 0.0, [Reason("no_better_offer", text)])
        found = self.rates.response(segment, offer.offer_id)
        rate, kept = 0.0, 0.0
        if self.rates.causal:
            without = self.rates.response(segment, NONE)
            rate, kept = without.rate, without.rate * without.value * self.config.margin_rate
        spent = offer.cost * (found.rate if offer.kind in ON_CONVERSION else 1.0)
        margin = found.rate * found.value * self.config.margin_rate - spent - kept
        text = (
            f"{found.rate:.1%} of {segment.replace('_', ' ')} customers respond, shown {found.shown:,} times"
        )
        reasons = [Reason("response_rate", text)]
        if self.rates.causal:
            reasons.append(Reason("uplift", f"{found.rate:.1%} with it, {rate:.1%} without an offer"))
        else:
            reasons.append(
                Reason("observational", "response, not yet causal: nobody was left without an offer")
            )
        return OfferDecision(offer.offer_id, found.rate - rate, margin, 0.0, reasons)

    @staticmethod
    def _decision(arm: OfferDecision, propensity: float, explored: bool) -> OfferDecision:
        learning = (
            [Reason("exploration", "chosen at random, to learn how customers respond")] if explored else []
        )
        reasons = learning if explored and arm.offer_id == NONE else [*learning, *arm.reasons]
        return OfferDecision(arm.offer_id, arm.expected_uplift, arm.expected_margin, propensity, reasons)

    def save(self, folder: Path) -> None:
        document: dict[str, Any] = {
            "config": self.config.model_dump(mode="json"),
            "offers": [each.model_dump(mode="json") for each in self.offers],
            "rates": self.rates.document(),
            "segments": self.segments.document(),
        }
        publish_json(folder / "offers.json", document)

    @classmethod
    def load(cls, folder: Path) -> Self:
        document = json.loads((folder / "offers.json").read_text(encoding="utf-8"))
        model = cls(OfferPolicyConfig(**document["config"]))
        model.offers = tuple(OfferTerms(**each) for each in document["offers"])
        model.rates = ResponseRates.of(document["rates"])
        model.segments = Segments.of(document["segments"])
        return model
