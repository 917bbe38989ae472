"""Whether an offer may be made to a customer at all: its terms, whatever was shown or spent so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from patron.offers.terms import OfferTerms

NO_CONSENT = "no_consent"
"""Of every offer, to a customer who does not want offers."""


@dataclass(frozen=True)
class Who:
    """What the terms of offers ask about a customer."""

    segment: str
    stage: str | None = None
    tier: str | None = None
    consent: bool = True
    """To offers; who has not said anything has not refused."""
    owned: frozenset[str] = frozenset()
    """Products that the customer has bought."""
    occasions: frozenset[str] = field(default_factory=frozenset)
    """Of OCCASIONS, those that hold for the customer today."""


def refusal(
    terms: OfferTerms, who: Who, now: datetime, channel: str | None, tiers: Sequence[str]
) -> str | None:
    """The first reason why the offer may not be made, as a code; None where it may.

    channel: None where it does not matter. tiers: the lowest first. `now` needs a time zone.
    """
    if not who.consent:
        return NO_CONSENT
    return outside(terms, now, channel) or not_for(terms, who, tiers)


def outside(terms: OfferTerms, now: datetime, channel: str | None) -> str | None:
    """The reason that holds for everybody: the offer does not run now, or not on this channel."""
    if terms.valid_from is not None and now < terms.valid_from:
        return "not_yet_valid"
    if terms.valid_to is not None and now >= terms.valid_to:
        return "expired"
    return "channel" if terms.channels and channel is not None and channel not in terms.channels else None


def not_for(terms: OfferTerms, who: Who, tiers: Sequence[str]) -> str | None:
    """The reason that lies in the customer."""
    if terms.min_tier and not reaches(terms.min_tier, who.tier, tiers):
        return "tier"
    if terms.segments and who.segment not in terms.segments:
        return "segment"
    if terms.stages and who.stage not in terms.stages:
        return "stage"
    if terms.owns and who.owned.isdisjoint(terms.owns):
        return "product_not_owned"
    return "no_occasion" if terms.occasion and terms.occasion not in who.occasions else None


def reaches(least: str, tier: str | None, tiers: Sequence[str]) -> bool:
    """Whether a tier is at least as high as another, in any case. One that `tiers` lacks is reached by
    itself alone."""
    ranks = {name.lower(): rank for rank, name in enumerate(tiers)}
    if least.lower() not in ranks:
        return tier == least
    return tier is not None and ranks.get(tier.lower(), -1) >= ranks[least.lower()]
