"""A simulated shop whose customers' responses are known: what every offer does to each of them is drawn here.

Never evidence about real customers: it shows whether what is there is found. Features are those of
`customer_activity`, made to agree with each other; effects are smooth functions of a few of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from patron.models.activity import TYPES
from patron.models.offer_log import OfferLog
from patron.offers.terms import NONE, OfferTerms

Numbers = NDArray[np.float64]

DAY = 86_400
TODAY = 20_000
"""The day of the showing, counted from 1970."""
MARGIN_RATE = 0.35
OFFERS = (
    OfferTerms(offer_id="ten-percent", kind="percent_off", cost=5.0),
    OfferTerms(offer_id="free-shipping", kind="free_shipping", cost=3.0),
    OfferTerms(offer_id="early-access", kind="early_access", cost=0.15),
    OfferTerms(offer_id="we-miss-you", kind="care_message", cost=0.15),
)


@dataclass(frozen=True)
class Customers:
    """rows: features. without: P(orders within the window, left alone), (n,). effects: what each offer adds
    to it, (n, offers). margin: of an order, (n,)."""

    rows: dict[str, Numbers]
    without: Numbers
    effects: Numbers
    margin: Numbers

    def __len__(self) -> int:
        return len(self.without)

    @property
    def cost(self) -> Numbers:
        """Expected cost of each offer, (n, offers)."""
        paid = np.array([each.cost for each in OFFERS])
        taken = np.array([each.costs_on_conversion for each in OFFERS], dtype=bool)
        return paid * np.where(taken, self.without[:, None] + self.effects, 1.0)

    @property
    def worth(self) -> Numbers:
        """Expected margin that each offer adds, its cost taken off, (n, offers)."""
        return self.effects * self.margin[:, None] - self.cost


def customers(count: int, rng: np.random.Generator, strength: float = 1.0) -> Customers:
    """Drawn anew. strength: what effects are multiplied by; 0: no offer changes anything."""
    rows = features(count, rng)
    late, gap = rows["recency_to_gap"], rows["mean_gap_days"]
    without = 0.03 + 0.5 * expit(0.8 * np.log(30 / gap) - 0.9 * (late - 0.5))
    effects = strength * true_effects(rows)
    chance = np.clip(without[:, None] + effects, 0.0, 1.0)
    return Customers(rows, without, chance - without[:, None], rows["mean_order_value"] * MARGIN_RATE)


def true_effects(rows: dict[str, Numbers]) -> Numbers:
    """Discounts win back those who are late and buy at a discount; free shipping those of small orders; early
    access those who come often; a message those who are a little late, and it bothers those long gone."""
    late, often = rows["recency_to_gap"], rows["orders_total"]
    discount = 0.38 * expit(10 * (rows["discount_share"] - 0.3)) * expit(4 * (late - 1.0))
    shipping = 0.24 * expit((45 - rows["mean_order_value"]) / 10)
    early = 0.09 * expit((often - 10) / 1.5)
    message = 0.10 * expit(4 * (late - 0.8)) - 0.16 * expit(4 * (late - 2.2))
    return np.column_stack([discount, shipping, early, message])


def features(count: int, rng: np.random.Generator) -> dict[str, Numbers]:
    """`customer_activity` of customers with some orders each."""
    gap = np.exp(rng.normal(np.log(35), 0.5, count))
    recency = gap * rng.gamma(1.3, 0.9, count)
    tenure = recency + gap * (1 + rng.gamma(1.5, 4, count))
    orders = 1 + np.round((tenure - recency) / gap)
    value = np.exp(rng.normal(np.log(55), 0.35, count))
    share = rng.beta(1.2, 3.0, count)
    recent = {days: np.minimum(orders, np.maximum(days - recency, 0) / gap) for days in (30, 90, 365)}
    found = {
        **{f"orders_{days}d": np.round(each) for days, each in recent.items()},
        **{f"spend_{days}d": np.round(each) * value for days, each in recent.items()},
        **dict.fromkeys(("orders_total", "purchase_days", "distinct_products"), orders),
        "first_order_at": np.round((TODAY - tenure) * DAY),
        "last_order_at": np.round((TODAY - recency) * DAY),
        "spend_total": orders * value,
        "units_90d": np.round(recent[90]),
        **dict.fromkeys(("mean_order_value", "repeat_spend_mean"), value),
        **dict.fromkeys(("discount_share", "discount_share_90d"), share),
        "recency_days": recency,
        "tenure_days": tenure,
        "mean_gap_days": gap,
        "sd_gap_days": gap * rng.gamma(4, 0.1, count),
        "last_gap_days": gap * rng.gamma(6, 1 / 6, count),
        "recency_to_gap": recency / gap,
        "order_trend": rng.normal(1.0, 0.2, count),
    }
    return {name: found.get(name, np.zeros(count)) for name in TYPES}


def randomised(shop: Customers, rng: np.random.Generator) -> OfferLog:
    """What happened when each was shown one of the offers, or none, all equally likely."""
    count, arms = len(shop), len(OFFERS) + 1
    arm = rng.integers(arms, size=count)
    chances = np.column_stack([shop.without, shop.without[:, None] + shop.effects])
    ordered = (rng.random(count) < chances[np.arange(count), arm]).astype(np.float64)
    margin = ordered * shop.margin * rng.gamma(8, 1 / 8, count)
    names = np.array([NONE, *(each.offer_id for each in OFFERS)])
    taken = np.where(arm > 0, ordered, 0.0)
    return OfferLog(
        shop.rows,
        names[arm],
        np.full(count, 1 / arms),
        taken,
        taken * margin / MARGIN_RATE,
        ordered,
        margin,
        np.ones(count, dtype=bool),
        np.full(count, None),
    )
