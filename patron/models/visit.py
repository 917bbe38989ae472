"""What the last events of a customer or session say: purchases no snapshot knows yet, views, a basket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patron.events.event import Event
from patron.models.base import DAY, CustomerHistory

STRENGTH = {"view_item": 1, "select_item": 1, "add_to_wishlist": 2, "add_to_cart": 3, "remove_from_cart": 1}
"""How loudly an event of this name speaks for its product."""
MAX_DAYS = 30.0
"""Events that are older say nothing about what somebody wants now."""
MAX_PRODUCTS = 20


@dataclass(frozen=True)
class Visit:
    """`seen`: products looked at, the newest last, as if each had been bought so often as it speaks loudly.

    `basket`: products put into the basket and not taken out or bought. `viewed`: product ids, newest first,
    as a list of what was viewed shows them. `bought`: (product id, days before the snapshot, so negative) of
    each purchase since then, oldest first.
    """

    seen: CustomerHistory = field(default_factory=CustomerHistory.empty)
    basket: tuple[str, ...] = ()
    viewed: tuple[str, ...] = ()
    bought: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, events: Sequence[Event], now: datetime, since: datetime | None) -> Visit:
        """events: newest last. since: the moment up to which purchases are known from the orders."""
        strength: dict[str, Any] = {}
        days: dict[str, Any] = {}
        basket: dict[str, Any] = {}
        bought: list[tuple[str, float]] = []
        for each in events:
            if each.product_id is None:
                continue
            age = max((now - each.occurred_at).total_seconds() / DAY, 0.0)
            if each.name == "purchase":
                if since is None or each.occurred_at >= since:
                    bought.append(
                        (each.product_id, ((since or now) - each.occurred_at).total_seconds() / DAY)
                    )
                for told in (strength, days, basket):
                    told.pop(each.product_id, None)
            elif each.name in STRENGTH and age <= MAX_DAYS:
                loudest = max(strength.pop(each.product_id, 0), STRENGTH[each.name])
                strength[each.product_id] = loudest  # put in again: the newest stands last
                days[each.product_id] = age
                if each.name == "add_to_cart":
                    basket[each.product_id] = None
                elif each.name == "remove_from_cart":
                    basket.pop(each.product_id, None)
        return cls(looked_at(strength, days), tuple(basket), tuple(reversed(strength)), tuple(bought))


def looked_at(strength: dict[str, int], days: dict[str, float]) -> CustomerHistory:
    """The last products as a history."""
    ids = list(strength)[-MAX_PRODUCTS:]
    return CustomerHistory(
        product_ids=np.asarray(ids, dtype=np.str_),
        times_bought=np.asarray([strength[each] for each in ids], dtype=np.int64),
        days_since=np.asarray([days[each] for each in ids], dtype=np.float64),
        interval_days=np.full(len(ids), np.nan),
    )


def with_purchases(history: CustomerHistory, bought: Sequence[tuple[str, float]]) -> CustomerHistory:
    """The history with purchases that came after it: what the next snapshot would hold of them.

    bought: (product id, days before the snapshot), oldest first. Purchases of one moment are one order.
    """
    if not bought:
        return history
    for product_id, age in bought:
        history = _with(history, product_id, age)
    return replace(history, days_since=np.maximum(history.days_since, 0.0))


def _with(history: CustomerHistory, product_id: str, age: float) -> CustomerHistory:
    at = np.flatnonzero(history.product_ids == product_id)
    before = int(history.times_bought[at[0]]) if len(at) else 0
    interval = np.nan
    if before:
        last = float(history.days_since[at[0]])
        if last <= age:
            return history
        known = history.interval_days[at[0]] if before > 1 else 0.0
        interval = (known * (before - 1) + last - age) / before
    rest = np.delete(np.arange(len(history)), at)

    def put(values: NDArray[Any], value: Any) -> NDArray[Any]:
        return np.append(values[rest], np.asarray([value]))

    def one_more(values: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
        return None if values is None else put(values, (int(values[at[0]]) if len(at) else 0) + 1)

    return replace(
        history,
        product_ids=put(history.product_ids, product_id),
        times_bought=put(history.times_bought, before + 1),
        days_since=put(history.days_since, age),
        interval_days=put(history.interval_days, interval),
        times_28d=one_more(history.times_28d),
        times_91d=one_more(history.times_91d),
    )


def joined(history: CustomerHistory, seen: CustomerHistory) -> CustomerHistory:
    """What was bought and then what was looked at, as one history, each product once, the newest last."""
    if not len(seen):
        return history
    rest = ~np.isin(history.product_ids, seen.product_ids)
    return replace(
        history,
        product_ids=np.concatenate([history.product_ids[rest], seen.product_ids]),
        times_bought=np.concatenate([history.times_bought[rest], seen.times_bought]),
        days_since=np.concatenate([history.days_since[rest], seen.days_since]),
        interval_days=np.concatenate([history.interval_days[rest], seen.interval_days]),
        times_28d=None,
        times_91d=None,
    )
