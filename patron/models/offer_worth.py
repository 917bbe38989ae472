"""What offers are worth to customers, and the decisions that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patron.models.activity import Numbers
from patron.models.base import Reason
from patron.models.uplift_choice import TREAT_ALL, TREAT_NONE, Choice
from patron.offers.terms import NONE, OfferTerms


@dataclass(frozen=True)
class OfferDecision:
    """One line of an answer. Uplift is in P(orders), margin in currency: both beside showing nothing."""

    offer_id: str
    expected_uplift: float | None
    """None: nobody knows yet."""
    expected_margin: float | None
    propensity: float
    """P(this arm is shown first), given the same eligible arms."""
    reasons: list[Reason]


@dataclass(frozen=True)
class Worth:
    """What arms are worth to customers: arrays of the shape (customers, arms), `none` the first arm.

    `margin`: expected incremental margin, the cost taken off; `cost`: expected cost; `uplift`: effect on
    P(orders within the outcome window); all 0 for `none`. `evidence`, shape (arms,): false where nothing is
    known of an arm, whose uplift and margin are NaN then.
    """

    offers: tuple[OfferTerms, ...]
    segments: NDArray[np.str_]
    uplift: Numbers
    margin: Numbers
    cost: Numbers
    evidence: NDArray[np.bool_]
    without: Numbers
    """P(orders within the window) with no offer, shape (customers,); NaN where unknown."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        return (NONE, *(each.offer_id for each in self.offers))

    @cached_property
    def known_margin(self) -> Numbers:
        """`margin`, minus infinity where nothing is known: never the best."""
        return np.where(np.isnan(self.margin), -np.inf, self.margin)

    @property
    def retained(self) -> Numbers:
        """Effect on P(the customer orders again): the uplift."""
        return self.uplift


@dataclass(frozen=True)
class Learned:
    """How the effect was chosen: for each treatment what stands for it, why, and what else was tried."""

    name: str = "unknown"
    reason: str = "nobody was left without an offer at random, so no effect can be told"
    arms: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, choice: Choice) -> Learned:
        return cls(choice.name, choice.reason, {name: asdict(each) for name, each in choice.arms.items()})

    @property
    def personal(self) -> bool:
        """Whether any treatment's effect differs between customers."""
        return any(each["name"] not in (TREAT_ALL, TREAT_NONE) for each in self.arms.values())


def number(value: Any) -> float | None:
    """None for what nobody knows."""
    return None if np.isnan(value) else float(value)
