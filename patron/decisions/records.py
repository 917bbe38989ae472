"""What is asked of the ledger, what a policy answers it, and what it writes down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from patron.offers.eligibility import NO_CONSENT
from patron.offers.terms import OfferTerms

CONTROL = "control"
"""Reason of who is left alone for a whole period, so that it can be told what offers change."""


@dataclass(frozen=True)
class Offered:
    """One line of a decision: an offer, or `none`. Uplift in response rate, margin in currency."""

    offer_id: str
    propensity: float
    """P(this arm is shown first) among those that were available."""
    expected_uplift: float | None = None
    expected_margin: float | None = None
    reasons: Sequence[Mapping[str, Any]] = ()
    """`code` and `text` each."""


@dataclass(frozen=True)
class Choice:
    """What a policy chose, best or drawn first; and how probably it could have shown each arm first."""

    offered: Sequence[Offered]
    """At least one line; `none` stands alone."""
    propensities: Mapping[str, float] = field(default_factory=dict)
    """Arm -> P(shown first), `none` among them; they add up to 1."""


@dataclass(frozen=True)
class Asked:
    """One question: a customer, and the offers whose terms are met.

    `refused`: offer -> code of why its terms are not met, as far as that was told.
    """

    customer_id: str
    offers: Sequence[OfferTerms]
    refused: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    experiment: str | None = None
    """`name:arm`, where the customer is in one."""

    @property
    def unwanted(self) -> bool:
        """Whether the customer does not want offers."""
        return NO_CONSENT in self.refused.values()

    def under(self, key: str | None) -> Asked:
        """The same question, asked under an idempotency key."""
        return replace(self, idempotency_key=key)


@dataclass(frozen=True)
class Circumstances:
    """What is the same for all decisions of a request."""

    now: datetime
    channel: str | None
    policy: str
    model_version: str
    features_as_of: datetime | None


@dataclass(frozen=True)
class Shown:
    """One line of an answer, with what it holds of a budget."""

    offered: Offered
    showing_id: str | None
    """What its events are sent back with; None of `none`."""
    expires_at: datetime | None
    """Until when it may be taken up; None where that costs nothing more."""


@dataclass(frozen=True)
class Decided:
    decision_id: str
    shown: Sequence[Shown]
    model_version: str
    features_as_of: datetime | None
    experiment: str | None = None
    again: bool = False
    """Whether it had been made before, for the same idempotency key."""


Choose = Callable[[Sequence[OfferTerms]], Choice]
"""Chooses among the offers that may be made this very moment; called within the transaction."""
