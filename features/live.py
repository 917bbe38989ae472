"""Features of what a customer did a moment ago: those of `customer_browsing`, computed from the event log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import floor
from typing import TYPE_CHECKING, Any

from features import customer_browsing as batch
from features.view import DAY

if TYPE_CHECKING:
    from patron.events.event import Event


def browsing(events: Sequence[Event], now: datetime) -> dict[str, Any] | None:
    """Field -> value as of `now`, of one customer's events in any order; None without one in 30 days.

    Lists are tuples, or None where no product was browsed, as in the batch view.
    """
    cutoff = floor(now.timestamp())
    known = [(floor(each.occurred_at.timestamp()), each) for each in events]
    known = [(at, each) for at, each in known if cutoff - batch.DAYS * DAY <= at < cutoff]
    if not known:
        return None
    return {**counts(known, cutoff), **browsed(known, cutoff)}


def counts(known: Sequence[tuple[int, Event]], cutoff: int) -> dict[str, float]:
    return {
        batch.LAST: (cutoff - max(at for at, _ in known)) / DAY,
        **{
            f"{name}_{days}d": sum(each.name == counted and at >= cutoff - days * DAY for at, each in known)
            for name, counted in batch.COUNTED.items()
            for days in batch.WINDOWS
        },
    }


def browsed(known: Sequence[tuple[int, Event]], cutoff: int) -> dict[str, Any]:
    latest: dict[str, tuple[int, int]] = {}
    for at, each in known:
        weight = batch.WEIGHTS.get(each.name, 0)
        if weight and each.product_id is not None:
            last, heaviest = latest.get(each.product_id, (0, 0))
            latest[each.product_id] = (max(last, at), max(heaviest, weight))
    kept = sorted((last, product, weight) for product, (last, weight) in latest.items())[-batch.LENGTH :]
    if not kept:
        return dict.fromkeys(batch.LISTS)
    columns = (
        tuple(product for _, product, _ in kept),
        tuple((cutoff - last) / DAY for last, _, _ in kept),
        tuple(weight for _, _, weight in kept),
    )
    return dict(zip(batch.LISTS, columns, strict=True))
