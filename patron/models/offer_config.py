"""What `configs/models/offers.toml` may set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from patron.models.base import Config
from patron.models.uplift_choice import CANDIDATES


class OfferPolicyConfig(Config):
    """How effects are learned, and what chance has its share for."""

    epsilon: float = Field(default=0.1, ge=0, le=1)
    """Share of decisions drawn uniformly over the eligible arms, `none` among them: learning lives on it."""
    left_alone: float = Field(default=0.05, ge=0, lt=1)
    """Share of customers who are shown nothing for a whole period of twice `outcome_days`: beside them it is
    told what offers change. See `patron.offers.leaving_alone`."""
    thompson: float = Field(default=0.1, ge=0, le=1)
    """Share of decisions drawn by the chance of being best, where an offer has no evidence yet."""
    outcome: Literal["order", "margin"] = "order"
    """What the effect is learned on: whether a customer orders, or the margin of the window. Orders are less
    noisy, the margin also sees larger baskets."""
    outcome_days: int = Field(default=28, ge=1)
    """Days after a showing within which orders count."""
    candidates: tuple[str, ...] = tuple(CANDIDATES)
    """Ways of telling customers apart by the effect that are tried; the simplest first."""
    margin_rate: float = Field(default=0.3, gt=0, le=1)
    """Share of revenue that the shop keeps where its products tell no costs."""
    prior_rate: float = Field(default=0.02, gt=0, lt=1)
    """Response rate believed before anything was shown."""
    prior_strength: float = Field(default=50.0, gt=0)
    """Exposures that a level's parent is worth."""
    randomised_policies: tuple[str, ...] = (
        *("patron-offers", "patron-offers:random", "patron-offers:retention", "patron-offers:plan"),
    )
    """Policies, as exposures name them, that drew by chance with the propensities they logged. What others
    showed counts as observed only: responses are learned from it, effects are not."""
    least_exposures: int = Field(default=200, ge=1)
    """An arm, or the control, with fewer exposures has no evidence: no effect is told from it."""

    @field_validator("candidates")
    @classmethod
    def known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := sorted(set(names) - set(CANDIDATES)):
            raise ValueError(f"no candidate {', '.join(wrong)}. There are: {', '.join(CANDIDATES)}")
        return names
