"""Who a customer is as a shopper: favourites, price level, discounts, rhythm, time of day, channel; in words.

A field is None where too little is known to say it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from patron.models.activity import Numbers, column, ratio
from patron.models.base import Config, FeatureRows

RHYTHMS = ("weekly", "fortnightly", "monthly", "quarterly", "seldom", "irregular", "one-off")
LEVELS = ("low", "middle", "high")
TIMES = ("morning", "afternoon", "evening", "night")
HABITS = (*(f"{each}_share" for each in TIMES), "weekend_share", "price_percentile")
"""Features of `customer_habits`."""
Texts = list[str | None]


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


def level(values: Numbers, edges: Sequence[float]) -> Texts:
    """The third that each value is in: low up to the first edge, high above the second."""
    if not edges:
        return [None] * len(values)
    place = np.searchsorted(np.asarray(edges), values, side="left").tolist()
    known = np.isfinite(values).tolist()
    return [LEVELS[each] if told else None for each, told in zip(place, known, strict=True)]


def optional(rows: FeatureRows, name: str, size: int) -> Numbers:
    """A number that the shop may not know of anybody; shape (customers,)."""
    return column(rows, name) if name in rows else np.full(size, np.nan)


def price(rows: FeatureRows, config: PersonaConfig) -> Numbers:
    """Mean price percentile of a customer who ordered often enough, else NaN."""
    orders = column(rows, "orders_total")
    return np.where(orders >= config.least_orders, optional(rows, "price_percentile", len(orders)), np.nan)


def rhythms(rows: FeatureRows, config: PersonaConfig) -> Texts:
    """One of RHYTHMS, None without an order."""
    days, gap, spread = (column(rows, name) for name in ("purchase_days", "mean_gap_days", "sd_gap_days"))
    steps = (config.weekly_days, config.fortnightly_days, config.monthly_days, config.quarterly_days)
    by_gap = np.array(RHYTHMS[:5])[np.searchsorted(steps, np.nan_to_num(gap), side="left")]
    irregular = ratio(np.nan_to_num(spread), gap) > config.irregular
    found = np.select([~(days > 0), days == 1, irregular], ["", "one-off", "irregular"], by_gap)
    return [each or None for each in found.tolist()]


def times(rows: FeatureRows, config: PersonaConfig) -> Texts:
    """The time of day that dominates, 'any' where none does, None after too few orders."""
    size = len(column(rows, "orders_total"))
    shares = np.column_stack([optional(rows, f"{each}_share", size) for each in TIMES])
    told = enough(rows, config) & np.isfinite(shares).all(axis=1)
    best = np.nan_to_num(shares).argmax(axis=1)
    own = np.nan_to_num(shares).max(axis=1) >= config.dominant
    found = np.select([~told, own], ["", np.array(TIMES)[best]], "any")
    return [each or None for each in found.tolist()]


def days(rows: FeatureRows, config: PersonaConfig) -> Texts:
    """'weekend', 'weekday' or 'any'; None after too few orders."""
    share = optional(rows, "weekend_share", len(column(rows, "orders_total")))
    told = enough(rows, config) & np.isfinite(share)
    found = np.select(
        [~told, share >= config.weekend, share <= config.weekday], ["", "weekend", "weekday"], "any"
    )
    return [each or None for each in found.tolist()]


def enough(rows: FeatureRows, config: PersonaConfig) -> NDArray[np.bool_]:
    return np.asarray(column(rows, "orders_total") >= config.least_orders)


def favourites(rows: FeatureRows, kind: str, most: int, size: int) -> list[tuple[str, ...]]:
    """The things bought most often, the more recent first where equal, of each customer.

    Lists of `<kind>_names` are the most recent last.
    """
    if f"{kind}_names" not in rows:
        return [()] * size
    names, times = rows[f"{kind}_names"], rows[f"{kind}_times_bought"]
    return [best(one, other, most) for one, other in zip(names, times, strict=True)]


def best(names: Any, times: Any, most: int) -> tuple[str, ...]:
    if names is None or not len(names):
        return ()
    order = np.argsort(np.asarray(times)[::-1] * -1, kind="stable")[:most]
    return tuple(np.asarray(names)[::-1][order].tolist())


def texts(rows: FeatureRows, name: str, size: int) -> Texts:
    """A text that the shop may not know of anybody."""
    return [each or None for each in rows[name].tolist()] if name in rows else [None] * size


def personas(rows: FeatureRows, config: PersonaConfig, edges: Mapping[str, Sequence[float]]) -> list[Persona]:
    """One a customer. edges: the shop's terciles of `price` and `discount`."""
    size = len(column(rows, "orders_total"))
    return list(
        map(
            persona,
            favourites(rows, "category", config.favourites, size),
            favourites(rows, "brand", config.favourites, size),
            level(price(rows, config), edges["price"]),
            level(column(rows, "discount_share"), edges["discount"]),
            rhythms(rows, config),
            times(rows, config),
            days(rows, config),
            texts(rows, "preferred_channel", size),
        )
    )


def persona(
    categories: tuple[str, ...],
    brands: tuple[str, ...],
    price_level: str | None,
    discounts: str | None,
    rhythm: str | None,
    time: str | None,
    day: str | None,
    channel: str | None,
) -> Persona:
    """One customer's fields with the words that follow from them."""
    known = rhythm is not None
    return Persona(
        label=label(price_level, discounts, rhythm) if known else None,
        top_categories=categories,
        top_brands=brands,
        price_level=price_level,
        discount_sensitivity=discounts,
        rhythm=rhythm,
        time_of_day=time,
        weekday_or_weekend=day,
        channel=channel,
        text="; ".join(clauses(categories, brands, price_level, discounts, rhythm, time, day, channel)) + "."
        if known
        else None,
    )


def label(price_level: str | None, discounts: str | None, rhythm: str | None) -> str:
    """Such as 'weekly bargain hunter': the rhythm, and what is most telling about prices."""
    kind = {"high": "premium shopper", "low": "thrifty shopper"}.get(price_level or "", "shopper")
    if discounts == "high":
        kind = "premium bargain hunter" if price_level == "high" else "bargain hunter"
    return f"{rhythm} {kind}"


OFTEN = {"one-off": "bought once", "irregular": "buys at irregular times", "seldom": "buys seldom"}
PRICES = {"low": "takes the cheaper products", "high": "takes the dearer products"}
DISCOUNTS = {"low": "pays the full price", "high": "waits for discounts"}


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
    what = " and ".join(categories[:2]) + (f" by {brands[0]}" if brands and categories else "")
    sentence = often + (f", mostly {told}" if told else "")
    yield sentence[0].upper() + sentence[1:]
    if what:
        yield f"favours {what}"
    prices = " and ".join(
        each for each in (PRICES.get(price_level or ""), DISCOUNTS.get(discounts or "")) if each
    )
    if prices:
        yield prices
    if channel:
        yield f"answers by {channel}"


def moment(time: str | None) -> str | None:
    """A time of day in a sentence."""
    if time in (None, "any"):
        return None
    return "at night" if time == "night" else f"in the {time}"
