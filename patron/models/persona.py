"""Who a customer is as a shopper: favourites, price level, discounts, rhythm, time of day, channel; in words.

A field is None where too little is known to say it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from pydantic import Field

from patron.models.activity import Numbers, column
from patron.models.base import Config, FeatureRows

RHYTHMS = ("weekly", "fortnightly", "monthly", "quarterly", "seldom", "irregular", "one-off")
LEVELS = ("low", "middle", "high")
TIMES = ("morning", "afternoon", "evening", "night")
HABITS = (*(f"{each}_share" for each in TIMES), "weekend_share", "price_percentile")
"""Features of `customer_habits`."""
NUMBERS = (
    *("orders_total", "purchase_days", "mean_gap_days", "sd_gap_days", "discount_share"),
    *HABITS,
)


class PersonaConfig(Config):
    """From where something is said of a customer."""

    favourites: int = Field(default=3, ge=1, le=20)
    """Categories and brands that are named at most."""
    least_orders: int = Field(default=3, ge=1)
    """Fewer orders say nothing about a time of day, a day of the week or a price level."""
    dominant: float = Field(default=0.5, gt=0, le=1)
    """Share of the orders from which a time of day is the customer's own."""
    weekend: float = Field(default=0.5, gt=0, le=1)
    """Share of the orders on Saturdays and Sundays from which a customer is one of the weekend."""
    weekday: float = Field(default=0.1, ge=0, lt=1)
    """Share of the same up to which a customer is one of weekdays: by chance it is two in seven."""
    weekly_days: float = Field(default=10.0, gt=0)
    """The longest mean gap between purchase days that is called weekly..."""
    fortnightly_days: float = Field(default=21.0, gt=0)
    """...fortnightly..."""
    monthly_days: float = Field(default=45.0, gt=0)
    """...monthly..."""
    quarterly_days: float = Field(default=135.0, gt=0)
    """...quarterly; beyond it is seldom."""
    irregular: float = Field(default=1.5, gt=0)
    """Gaps whose standard deviation is over so many times their mean have no rhythm."""


@dataclass(frozen=True)
class Persona:
    """One customer; None, or nothing in a list, where unknown."""

    label: str | None
    """A few words, as a headline."""
    top_categories: tuple[str, ...]
    top_brands: tuple[str, ...]
    price_level: str | None
    discount_sensitivity: str | None
    rhythm: str | None
    time_of_day: str | None
    weekday_or_weekend: str | None
    channel: str | None
    text: str | None
    """The same as one sentence."""


def thirds(values: Numbers) -> list[float]:
    """The shop's terciles of what is known; [] where all are alike, so that nothing can be said."""
    known = values[np.isfinite(values)]
    if not len(known) or np.ptp(known) == 0:
        return []
    low, high = np.quantile(known, (1 / 3, 2 / 3)).tolist()
    return [low, high]


def learned(rows: FeatureRows, config: PersonaConfig) -> dict[str, list[float]]:
    """Terciles of the customers who ordered often enough, of how dear they buy and of their discounts."""
    often = np.asarray(column(rows, "orders_total") >= config.least_orders)
    dear = column(rows, "price_percentile") if "price_percentile" in rows else np.zeros(len(often))
    return {"price": thirds(dear[often]), "discount": thirds(column(rows, "discount_share")[often])}


def personas(rows: FeatureRows, config: PersonaConfig, edges: Mapping[str, Sequence[float]]) -> list[Persona]:
    """One a customer. edges: what `learned` gave."""
    size = len(rows["orders_total"])
    unknown = [nan] * size
    numbers = [column(rows, each).tolist() if each in rows else unknown for each in NUMBERS]
    lists = [favourites(rows, kind, config.favourites, size) for kind in ("category", "brand")]
    channels = rows["preferred_channel"].tolist() if "preferred_channel" in rows else [None] * size
    return [
        persona(dict(zip(NUMBERS, each, strict=True)), categories, brands, channel or None, config, edges)
        for each, categories, brands, channel in zip(
            zip(*numbers, strict=True), *lists, channels, strict=True
        )
    ]


def favourites(rows: FeatureRows, kind: str, most: int, size: int) -> list[tuple[str, ...]]:
    """The things bought most often, the more recent first where equal, of each customer.

    Lists of `<kind>_names` are the most recent last.
    """
    if f"{kind}_names" not in rows:
        return [()] * size
    names, times = rows[f"{kind}_names"], rows[f"{kind}_times_bought"]
    return [best(one, other, most) for one, other in zip(names, times, strict=True)]


def best(names: Any, times: Any, most: int) -> tuple[str, ...]:
    """The names with the largest times, the later first where equal."""
    if names is None or not len(names):
        return ()
    order = np.argsort(-np.asarray(times)[::-1], kind="stable")[:most]
    return tuple(np.asarray(names)[::-1][order].tolist())


def persona(
    known: Mapping[str, float],
    categories: tuple[str, ...],
    brands: tuple[str, ...],
    channel: str | None,
    config: PersonaConfig,
    edges: Mapping[str, Sequence[float]],
) -> Persona:
    """One customer. known: NUMBERS, NaN where missing."""
    enough = known["orders_total"] >= config.least_orders
    dear = level(known["price_percentile"], edges["price"]) if enough else None
    discounts = level(known["discount_share"], edges["discount"]) if enough else None
    often = rhythm(known["purchase_days"], known["mean_gap_days"], known["sd_gap_days"], config)
    time = time_of_day([known[f"{each}_share"] for each in TIMES], config) if enough else None
    day = weekday_or_weekend(known["weekend_share"], config) if enough else None
    told = clauses(categories, brands, dear, discounts, often, time, day, channel) if often else ()
    return Persona(
        label=label(dear, discounts, often) if often else None,
        top_categories=categories,
        top_brands=brands,
        price_level=dear,
        discount_sensitivity=discounts,
        rhythm=often,
        time_of_day=time,
        weekday_or_weekend=day,
        channel=channel,
        text="; ".join(told) + "." if often else None,
    )


def level(value: float, edges: Sequence[float]) -> str | None:
    """The third that a value is in: low up to the first edge, high above the second."""
    if not edges or value != value:
        return None
    return LEVELS[(value > edges[0]) + (value > edges[1])]


def rhythm(purchase_days: float, gap: float, spread: float, config: PersonaConfig) -> str | None:
    """One of RHYTHMS, None without an order. gap, spread: mean and standard deviation of the days between
    purchase days."""
    if not purchase_days > 0:
        return None
    if purchase_days == 1:
        return "one-off"
    if spread > config.irregular * gap:
        return "irregular"
    steps = (config.weekly_days, config.fortnightly_days, config.monthly_days, config.quarterly_days)
    return RHYTHMS[sum(gap > each for each in steps)]


def time_of_day(shares: Sequence[float], config: PersonaConfig) -> str | None:
    """The time of day that dominates, 'any' where none does, None where it is not known."""
    largest = max(shares)
    if largest != largest:
        return None
    return TIMES[shares.index(largest)] if largest >= config.dominant else "any"


def weekday_or_weekend(share: float, config: PersonaConfig) -> str | None:
    """'weekend', 'weekday' or 'any', by the share of orders at weekends; None where it is not known."""
    if share != share:
        return None
    return "weekend" if share >= config.weekend else "weekday" if share <= config.weekday else "any"


def label(price_level: str | None, discounts: str | None, rhythm: str | None) -> str:
    """Such as 'weekly bargain hunter': the rhythm, and what is most telling about prices."""
    kind = {"high": "premium shopper", "low": "thrifty shopper"}.get(price_level or "", "shopper")
    if discounts == "high":
        kind = "premium bargain hunter" if price_level == "high" else "bargain hunter"
    return f"{rhythm} {kind}"


OFTEN = {"one-off": "bought once", "irregular": "buys at irregular times", "seldom": "buys seldom"}
PRICES = {"low": "the cheaper products", "high": "the dearer products"}
DISCOUNTS = {"low": "seldom at a discount", "high": "often at a discount"}


def clauses(
    categories: tuple[str, ...],
    brands: tuple[str, ...],
    price_level: str | None,
    discounts: str | None,
    rhythm: str | None,
    time: str | None,
    day: str | None,
    channel: str | None,
) -> Iterator[str]:
    """Parts of the sentence; what is unknown or says nothing is left out."""
    often = OFTEN.get(rhythm or "", f"buys {rhythm}")
    when = [{"weekend": "at weekends", "weekday": "on weekdays"}.get(day or ""), moment(time)]
    told = " ".join(each for each in when if each)
    sentence = often + (f", mostly {told}" if told else "")
    yield sentence[0].upper() + sentence[1:]
    liked = [" and ".join(categories[:2]), f"the brand {brands[0]}" if brands else ""]
    if any(liked):
        yield f"favours {', '.join(each for each in liked if each)}"
    bought = [PRICES.get(price_level or ""), DISCOUNTS.get(discounts or "")]
    if any(bought):
        yield f"takes {', '.join(each for each in bought if each)}" if bought[0] else f"buys {bought[1]}"
    if channel:
        yield f"answers by {channel}"


def moment(time: str | None) -> str | None:
    """A time of day in a sentence."""
    if time in (None, "any"):
        return None
    return "at night" if time == "night" else f"in the {time}"
