"""What the ranker looks at: each candidate as seen by the sources, the customer and the shop.

The same code describes candidates when the ranker is fitted and when it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from patron.models.base import DAY, CustomerHistory, Interactions, Recommender
from patron.models.catalogue import Catalogue
from patron.models.category_popularity import category_codes
from patron.models.neighbours import NeighbourModel
from patron.models.popularity import distinct_buyers
from patron.models.shortlist import Shortlist

WINDOWS = (7, 28, 91, 365)
"""Days before the cutoff in which buyers are counted."""
RECENT = 20
"""Products of the history, the last ones, that similarities are summed over."""
PRICE_DAYS = 91
PRIOR_BUYERS = 5.0
"""Buyers whose usual habit a product's own is shrunk to."""
USUAL_DAYS = 30.0
"""Between two orders of a product, where nobody ever came back for one."""

Columns = dict[str, NDArray[np.floating]]


class ProductNumbers:
    """Numbers of every product as of the cutoff, each of shape (n_products,), by name.

    buyers_{w}d distinct buyers; trend_28d buyers of 28 days over a quarter's pace; age_days and idle_days
    since first and last sold (NaN: never); repeat_share of the buyers who came back for it; times_a_buyer;
    usual_interval_days between two orders of one customer; price, mean of 91 days' sales or else of all;
    margin, the share of the price that is not cost (NaN: unknown). `categories`: codes, -1 for none.
    """

    def __init__(self, columns: Columns, categories: NDArray[np.int64]) -> None:
        self.columns = columns
        self.categories = categories

    @classmethod
    def of(cls, interactions: Interactions, catalogue: Catalogue) -> Self:
        columns: Columns = {
            f"buyers_{days}d": distinct_buyers(
                interactions, interactions.at >= interactions.as_of - days * DAY
            ).astype(np.float64)
            for days in WINDOWS
        }
        columns["trend_28d"] = (columns["buyers_28d"] + 1) / (columns["buyers_91d"] * 28 / 91 + 1)
        columns |= _ages(interactions) | _habits(interactions)
        columns["price"] = _prices(interactions, catalogue)
        columns["margin"] = 1 - catalogue.costs / np.where(columns["price"] > 0, columns["price"], np.nan)
        narrow = {name: np.asarray(each, dtype=np.float32) for name, each in columns.items()}
        return cls(narrow, category_codes(catalogue))

    def save(self, path: Path) -> None:
        """As npz."""
        np.savez(path, allow_pickle=False, categories=self.categories, **self.columns)

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            columns = {name: stored[name] for name in stored.files}
        return cls(columns, columns.pop("categories"))


def described(
    shortlist: Shortlist,
    history: CustomerHistory,
    own: NDArray[np.int64],
    numbers: ProductNumbers,
    sources: Mapping[str, Recommender],
) -> Columns:
    """Features of each candidate by name, each of shape (m,); NaN is 'does not apply'.

    own: catalogue positions of the history's products, -1 where unknown.
    """
    found: Columns = {}
    for column, name in enumerate(shortlist.names):
        found[f"{name}_score"] = shortlist.scores[:, column]
        found[f"{name}_value"] = shortlist.values[:, column]
        found[f"{name}_rank"] = shortlist.ranks[:, column].astype(np.float32)
    found |= {name: each[shortlist.positions] for name, each in numbers.columns.items()}
    found |= _own(shortlist.positions, history, own, numbers)
    found |= _of_customer(history, len(shortlist))
    found |= _category(shortlist.positions, history, own, numbers)
    for name, source in sources.items():
        if isinstance(source, NeighbourModel):
            found |= _similarities(name, source, shortlist.positions, history, own)
    return {name: each.astype(np.float32) for name, each in found.items()}


def matrix(columns: Columns, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Features in the order of `names`, shape (m, features)."""
    return np.stack([np.asarray(columns[name], dtype=np.float32) for name in names], axis=1)


def _own(
    positions: NDArray[np.int64], history: CustomerHistory, own: NDArray[np.int64], numbers: ProductNumbers
) -> Columns:
    """What the customer did with the candidate before."""
    entries = _entries(positions, own)
    known = entries >= 0

    def pick(values: NDArray[np.floating] | NDArray[np.int64], missing: float) -> NDArray[np.floating]:
        chosen = np.full(len(positions), missing, dtype=np.float64)
        chosen[known] = np.asarray(values, dtype=np.float64)[entries[known]]
        return chosen

    days = pick(history.days_since, np.nan)
    interval = pick(history.interval_days, np.nan)
    times = pick(history.times_bought, 0)
    usual = numbers.columns["usual_interval_days"][positions]
    return {
        "own_times": times,
        "own_days": days,
        "own_interval": interval,
        "own_due": days / np.maximum(interval, 1),
        "own_due_usually": days / np.maximum(usual, 1),
        "own_times_share": times / max(int(history.times_bought.max(initial=1)), 1),
        "own_recency_rank": pick(_bought_later(history), np.nan),
        "own_times_28d": pick(_counted(history.times_28d, len(history)), 0),
        "own_times_91d": pick(_counted(history.times_91d, len(history)), 0),
    }


def _bought_later(history: CustomerHistory) -> NDArray[np.int64]:
    """How many products were bought after each one; those of one order share their number."""
    return np.searchsorted(np.sort(history.days_since), history.days_since)


def _counted(times: NDArray[np.int64] | None, size: int) -> NDArray[np.floating]:
    return np.full(size, np.nan) if times is None else times.astype(np.float64)


def _of_customer(history: CustomerHistory, size: int) -> Columns:
    some = len(history) > 0
    facts = {
        "history_products": len(history),
        "history_recency_days": history.days_since.min() if some else np.nan,
        "history_mean_times": history.times_bought.mean() if some else 0.0,
        "history_repeat_share": (history.times_bought > 1).mean() if some else 0.0,
    }
    return {name: np.full(size, value) for name, value in facts.items()}


def _category(
    positions: NDArray[np.int64], history: CustomerHistory, own: NDArray[np.int64], numbers: ProductNumbers
) -> Columns:
    """How the candidate fits the categories and prices that the customer is used to."""
    known = own >= 0
    named = known.copy()
    named[known] = numbers.categories[own[known]] >= 0
    bought, size = numbers.categories[own[named]], int(numbers.categories.max(initial=-1)) + 1
    times = history.times_bought[named].astype(np.float64)
    shares, days = np.full(size + 1, np.nan), np.full(size + 1, np.nan)  # the last: of no category
    shares[:size] = np.bincount(bought, times, minlength=size) / max(times.sum(), 1.0)
    np.fmin.at(days, bought, history.days_since[named])
    prices = numbers.columns["price"][own[known]]
    prices = prices[prices > 0]
    usual = np.exp(np.log(prices).mean()) if len(prices) else np.nan
    price = numbers.columns["price"][positions]
    return {
        "category_share": shares[numbers.categories[positions]],
        "category_days": days[numbers.categories[positions]],
        "price_to_usual": np.where(price > 0, price, np.nan) / usual,
    }


def _similarities(
    name: str,
    source: NeighbourModel,
    positions: NDArray[np.int64],
    history: CustomerHistory,
    own: NDArray[np.int64],
) -> Columns:
    """Similarity to the customer's recent products: the largest, the sum, and that of the last order."""
    best, total, last = (np.zeros(len(source.product_ids), dtype=np.float32) for _ in range(3))
    newest = history.days_since.min(initial=np.inf)
    for position, days in zip(own[-RECENT:].tolist(), history.days_since[-RECENT:].tolist(), strict=True):
        if position < 0:
            continue
        cells = slice(source.starts[position], source.starts[position + 1])
        near, values = source.neighbours[cells], source.similarities[cells]
        best[near] = np.maximum(best[near], values)
        total[near] += values
        if days == newest:
            last[near] += values
    return {
        f"{name}_to_recent_max": best[positions],
        f"{name}_to_recent_sum": total[positions],
        f"{name}_to_last_order": last[positions],
    }


def _entries(positions: NDArray[np.int64], own: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index into the history of each candidate, -1 where it was never bought."""
    known = np.flatnonzero(own >= 0)
    order = known[np.argsort(own[known], kind="stable")]
    if not len(order):
        return np.full(len(positions), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(own[order], positions), len(order) - 1)
    return np.where(own[order][place] == positions, order[place], -1)


def _ages(interactions: Interactions) -> Columns:
    size = len(interactions.product_ids)
    first, last = np.full(size, np.nan), np.full(size, np.nan)
    np.fmin.at(first, interactions.product, interactions.at.astype(np.float64))
    np.fmax.at(last, interactions.product, interactions.at.astype(np.float64))
    return {"age_days": (interactions.as_of - first) / DAY, "idle_days": (interactions.as_of - last) / DAY}


def _habits(interactions: Interactions) -> Columns:
    """Whether, how often and after how long known customers came back for a product."""
    width = max(len(interactions.product_ids), 1)
    known = interactions.customer >= 0
    keys = interactions.customer[known] * width + interactions.product[known]
    orders = int(interactions.order.max(initial=0)) + 1
    pairs, times = np.unique(
        np.unique(keys * orders + interactions.order[known]) // orders, return_counts=True
    )
    product, again = pairs % width, times > 1
    spans = _spans(np.searchsorted(pairs, keys), interactions.at[known], len(pairs))

    def total(values: NDArray[Any]) -> NDArray[np.float64]:
        found = np.bincount(product, values, minlength=len(interactions.product_ids))
        return found.astype(np.float64)

    buyers, gaps = total(np.ones(len(pairs))), total(times - 1)
    usual_share = again.mean() if len(pairs) else 0.0
    usual_days = spans.sum() / gaps.sum() if gaps.any() else USUAL_DAYS
    return {
        "repeat_share": (total(again) + PRIOR_BUYERS * usual_share) / (buyers + PRIOR_BUYERS),
        "times_a_buyer": total(times) / np.maximum(buyers, 1),
        "usual_interval_days": (total(spans) + PRIOR_BUYERS * usual_days) / (gaps + PRIOR_BUYERS),
    }


def _spans(entry: NDArray[np.int64], at: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Days from the first to the last time of each entry, shape (size,)."""
    first, last = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(first, entry, at)
    np.maximum.at(last, entry, at)
    return (last - first) / DAY


def _prices(interactions: Interactions, catalogue: Catalogue) -> NDArray[np.float64]:
    """What a unit cost lately; what it ever cost; where sales carry no price, the catalogue's."""
    if interactions.price is None:
        return catalogue.prices
    size = len(interactions.product_ids)
    found = np.full(size, np.nan)
    for since in (0, interactions.as_of - PRICE_DAYS * DAY):
        told = (interactions.at >= since) & (interactions.price > 0)
        sold = np.bincount(interactions.product[told], minlength=size)
        total = np.bincount(interactions.product[told], interactions.price[told], minlength=size)
        found = np.where(sold > 0, total / np.maximum(sold, 1), found)
    return found
