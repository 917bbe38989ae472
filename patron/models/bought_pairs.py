"""What customers bought as one long table: an entry for each customer and product, and what tells of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from patron.errors import FeatureError
from patron.models.activity import Numbers
from patron.models.base import HISTORY, CustomerHistory, FeatureRows

LISTS = tuple(reference.partition(":")[2] for reference in HISTORY)
"""The features that pairs are read of, in the order of HISTORY."""


@dataclass(frozen=True)
class Pairs:
    """Arrays of shape (pairs,), the pairs of a customer together in the order of the customers' rows.

    `interval_days` is NaN where a product was bought once. The last five are of the customer, repeated: they
    are told by what the lists hold, so an order counts as a visit while it is the last one of some product.
    """

    customers: int
    customer: NDArray[np.int64]
    """Row of the customer."""
    product_ids: NDArray[np.str_]
    times: Numbers
    days_since: Numbers
    interval_days: Numbers
    times_28d: Numbers
    times_91d: Numbers
    recency: Numbers
    """Days since the customer bought anything."""
    visits_28d: Numbers
    visits_91d: Numbers
    bought_28d: Numbers
    """Times that any product was bought."""
    bought_91d: Numbers

    def __len__(self) -> int:
        return len(self.customer)

    def take(self, at: NDArray[Any]) -> Self:
        """The pairs at `at` (indices or a mask); what tells of the customer stays as it was."""
        chosen = {
            each.name: getattr(self, each.name)[at] for each in fields(self) if each.name != "customers"
        }
        return replace(self, **chosen)


def pairs(rows: FeatureRows) -> Pairs:
    """The pairs of rows that hold the HISTORY features, each list the most recently bought last.

    Raises FeatureError when one was not read.
    """
    lacking = [each for each in LISTS if each not in rows]
    if lacking:
        raise FeatureError(f"The rows lack {', '.join(lacking)}. Read every feature of the manifest.")
    lists = [list(rows[each]) for each in LISTS]
    sizes = np.fromiter((len(each) for each in lists[0]), dtype=np.int64, count=len(lists[0]))
    ids = joined(lists[0], np.str_)
    return _told(sizes, ids, *(joined(each, np.float64) for each in lists[1:]))


def of_history(history: CustomerHistory) -> Pairs:
    """The pairs of one customer. Where nobody counted the last days, the last purchase alone counts."""
    days = history.days_since
    lately = (
        (days <= window).astype(np.float64) if counted is None else counted.astype(np.float64)
        for window, counted in ((28, history.times_28d), (91, history.times_91d))
    )
    sizes = np.array([len(history)])
    times = history.times_bought.astype(np.float64)
    return _told(
        sizes, history.product_ids, times, days, np.nan_to_num(history.interval_days, nan=-1), *lately
    )


def summed(values: NDArray[Any], groups: NDArray[np.int64], size: int) -> Numbers:
    """Sum of the values of each group 0..size-1."""
    return np.asarray(np.bincount(groups, values, minlength=size), dtype=np.float64)


def joined(lists: Sequence[Any], kind: Any) -> NDArray[Any]:
    """All lists in one array."""
    return np.concatenate(lists).astype(kind, copy=False) if len(lists) else np.zeros(0, dtype=kind)


def _told(
    sizes: NDArray[np.int64],
    ids: NDArray[np.str_],
    times: Numbers,
    days: Numbers,
    interval: Numbers,
    times_28d: Numbers,
    times_91d: Numbers,
) -> Pairs:
    customer = np.repeat(np.arange(len(sizes)), sizes)
    days = np.maximum(days, 0.0)
    visit = np.ones(len(days), dtype=bool)
    visit[1:] = (days[1:] != days[:-1]) | (customer[1:] != customer[:-1])

    def total(values: NDArray[Any]) -> Numbers:
        return summed(values, customer, len(sizes))[customer]

    return Pairs(
        customers=len(sizes),
        customer=customer,
        product_ids=ids,
        times=np.maximum(times, 1.0),
        days_since=days,
        interval_days=np.where(interval < 0, np.nan, interval),
        times_28d=times_28d,
        times_91d=times_91d,
        recency=days[np.cumsum(sizes) - 1][customer] if len(days) else days,
        visits_28d=total(visit & (days <= 28)),
        visits_91d=total(visit & (days <= 91)),
        bought_28d=total(times_28d),
        bought_91d=total(times_91d),
    )
