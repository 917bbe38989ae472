"""Exposures drawn at random, with effects that are known: half of the customers order more with 'ten'."""

from __future__ import annotations

from typing import Any

import numpy as np

from patron.models.offer_config import OfferPolicyConfig
from patron.models.offer_log import OfferLog
from patron.models.offers import OfferPolicy
from patron.models.segments import Segments
from patron.offers.terms import OfferTerms
from tests.patron.models.shop import shop

TEN = OfferTerms(offer_id="ten", name="10 off", kind="early_access", group="coupons", cost=1.0)
TWENTY = OfferTerms(offer_id="twenty", name="20 off", kind="early_access", group="twenties", cost=2.0)
SHIP = OfferTerms(offer_id="ship", kind="free_shipping", cost=0.5)
OFFERS = (TEN, TWENTY, SHIP)
MARGIN = 12.0
"""Of an order."""
BASE, LIFT = 0.1, 0.3
"""P(orders) with nothing, and what 'ten' adds for those who were here lately."""


def recent(rows: dict[str, Any]) -> Any:
    return rows["recency_days"] < np.median(CUSTOMERS.rows["recency_days"])


CUSTOMERS = shop(600, seed=3)


def log(
    size: int = 6000, lift: float = LIFT, randomised: bool = True, seed: int = 1, **more: Any
) -> OfferLog:
    """Each exposure is 'ten' by a half, 'twenty' (which changes nothing) or none by a quarter each."""
    rng = np.random.default_rng(seed)
    at = rng.integers(len(CUSTOMERS.churned), size=size)
    rows = {name: values[at] for name, values in CUSTOMERS.rows.items()}
    offer = rng.choice(["ten", "twenty", "none"], size, p=[0.5, 0.25, 0.25])
    rate = BASE + lift * ((offer == "ten") & recent(rows))
    ordered = (rng.random(size) < rate).astype(np.float64)
    told = {
        "propensity": np.where(offer == "ten", 0.5, 0.25),
        "converted": np.where(offer == "none", 0.0, ordered),
        "value": 40.0 * ordered,
        "randomised": np.full(size, randomised),
    }
    return OfferLog(rows, offer.astype(object), ordered=ordered, margin=MARGIN * ordered, **{**told, **more})


def policy(found: OfferLog | None = None, alike: bool = False, **config: Any) -> OfferPolicy:
    segments = Segments().fit(CUSTOMERS.rows)
    config = {"candidates": ("flag", "t_trees"), **config}
    return OfferPolicy(OfferPolicyConfig(**config)).fit(found, OFFERS, segments, alike=alike)
