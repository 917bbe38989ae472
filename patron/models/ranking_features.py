"""What the ranker looks at: each candidate as seen by the sources, the customer and the shop.

The same code describes candidates when the ranker is fitted and when it answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
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

Columns = Mapping[str, NDArray[np.floating]]
"""Numbers by name, all of one length."""


class Table(Columns):
    """Columns side by side in one array. cells: shape (columns, m)."""

    def __init__(self, names: tuple[str, ...], cells: NDArray[np.float32]) -> None:
        self.names, self.cells = names, cells

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        try:
            return self.cells[self.names.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


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

    @cached_property
    def rows(self) -> NDArray[np.float32]:
        """The columns side by side, a product's numbers together: shape (n_products, columns)."""
        if not self.columns:
            return np.zeros((len(self.categories), 0), dtype=np.float32)
        return np.stack(list(self.columns.values()), axis=1).astype(np.float32)

    @cached_property
    def kinds(self) -> int:
        """How many categories there are."""
        return int(self.categories.max(initial=-1)) + 1

    @classmethod
    def of(cls, interactions: Interactions, catalogue: Catalogue) -> Self:
        columns: dict[str, NDArray[np.floating]] = {
            f"buyers_{days}d": distinct_buyers(
                interactions, interactions.at >= interactions.as_of - days * DAY
            ).astype(np.float64)
            for days in WINDOWS
        }
        columns["trend_28d"] = (columns["buyers_28d"] + 1) / (columns["buyers_91d"] * 28 / 91 + 1)
        columns |= {**_ages(interactions), **_habits(interactions)}
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
) -> Table:
    """Features of each candidate by name; NaN is 'does not apply'.

    own: catalogue positions of the history's products, -1 where unknown.
    """
    near = {name: each for name, each in sources.items() if isinstance(each, NeighbourModel)}
    names = _names(shortlist.names, tuple(numbers.columns), tuple(near))
    cells = np.empty((len(names), len(shortlist)), dtype=np.float32)
    proposed, more = 3 * len(shortlist.names), len(numbers.columns)
    cells[:proposed:3] = shortlist.scores.T
    cells[1:proposed:3] = shortlist.values.T
    cells[2:proposed:3] = shortlist.ranks.T
    cells[proposed : proposed + more] = numbers.rows[shortlist.positions].T
    rest = cells[proposed + more :]
    _fill_own(rest[: len(OWN)], shortlist.positions, history, own, numbers)
    rest = rest[len(OWN) :]
    rest[: len(CUSTOMER)] = _of_customer(history)
    _fill_category(rest[len(CUSTOMER) :], shortlist.positions, history, own, numbers)
    rest = rest[len(CUSTOMER) + len(CATEGORY) :]
    for row, source in enumerate(near.values()):
        _fill_similarities(
            rest[row * len(NEAR) : (row + 1) * len(NEAR)], source, shortlist.positions, history
        )
    return Table(names, cells)


OWN = (
    "own_times",
    "own_days",
    "own_interval",
    "own_due",
    "own_due_usually",
    "own_times_share",
    "own_recency_rank",
    "own_times_28d",
    "own_times_91d",
)
CUSTOMER = ("history_products", "history_recency_days", "history_mean_times", "history_repeat_share")
CATEGORY = ("category_share", "category_days", "price_to_usual")
NEAR = ("to_recent_max", "to_recent_sum", "to_last_order")


@lru_cache
def _names(sources: tuple[str, ...], numbers: tuple[str, ...], near: tuple[str, ...]) -> tuple[str, ...]:
    """What the rows of a table are called, in their order."""
    told = (f"{source}_{each}" for source in sources for each in ("score", "value", "rank"))
    similar = (f"{source}_{each}" for source in near for each in NEAR)
    return (*told, *numbers, *OWN, *CUSTOMER, *CATEGORY, *similar)


def matrix(columns: Columns, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Features in the order of `names`, shape (features, m)."""
    if isinstance(columns, Table) and columns.names == names:
        return columns.cells
    return np.stack([np.asarray(columns[name], dtype=np.float32) for name in names])


def _fill_own(
    rows: NDArray[np.float32],
    positions: NDArray[np.int64],
    history: CustomerHistory,
    own: NDArray[np.int64],
    numbers: ProductNumbers,
) -> None:
    """What the customer did with the candidate before."""
    size = len(history)
    facts = np.empty((6, size + 1))  # the last: what holds for a product that was never bought
    facts[:, size] = 0, np.nan, np.nan, np.nan, 0, 0
    facts[0, :size], facts[1, :size], facts[2, :size] = (
        history.times_bought,
        history.days_since,
        history.interval_days,
    )
    facts[3, :size] = _bought_later(history)
    for row, counted in ((4, history.times_28d), (5, history.times_91d)):
        facts[row, :size] = np.nan if counted is None else counted
    times, days, interval, later, month, quarter = facts.take(_entries(positions, own), axis=1)
    usual = numbers.columns["usual_interval_days"][positions].astype(np.float64)
    rows[0], rows[1], rows[2] = times, days, interval
    rows[3], rows[4] = days / np.maximum(interval, 1), days / np.maximum(usual, 1)
    rows[5] = times / max(int(history.times_bought.max(initial=1)), 1)
    rows[6], rows[7], rows[8] = later, month, quarter


def _bought_later(history: CustomerHistory) -> NDArray[np.int64]:
    """How many products were bought after each one; those of one order share their number."""
    days = history.days_since.copy()
    days.sort()
    return days.searchsorted(history.days_since)


def _of_customer(history: CustomerHistory) -> NDArray[np.float64]:
    """Shape (4, 1)."""
    if not len(history):
        return np.array([[0.0], [np.nan], [0.0], [0.0]])
    times = history.times_bought
    return np.array([[len(history)], [history.days_since.min()], [times.mean()], [(times > 1).mean()]])


def _fill_category(
    rows: NDArray[np.float32],
    positions: NDArray[np.int64],
    history: CustomerHistory,
    own: NDArray[np.int64],
    numbers: ProductNumbers,
) -> None:
    """How the candidate fits the categories and prices that the customer is used to."""
    known = own >= 0
    kinds, size = np.where(known, numbers.categories[own], -1) if len(own) else own, numbers.kinds
    named = kinds >= 0
    bought, times = kinds[named], history.times_bought[named].astype(np.float64)
    shares, days = np.full(size + 1, np.nan), np.full(size + 1, np.nan)  # the last: of no category
    shares[:size] = np.bincount(bought, times, minlength=size) / max(times.sum(), 1.0)
    np.fmin.at(days, bought, history.days_since[named])
    prices = numbers.columns["price"][own[known]]
    prices = prices[prices > 0]
    usual = np.exp(np.log(prices).mean()) if len(prices) else np.nan
    price = numbers.columns["price"][positions]
    kind = numbers.categories[positions]
    rows[0], rows[1] = shares[kind], days[kind]
    rows[2] = np.where(price > 0, price, np.nan) / usual


def _fill_similarities(
    rows: NDArray[np.float32], source: NeighbourModel, positions: NDArray[np.int64], history: CustomerHistory
) -> None:
    """Similarity to the customer's recent products: the largest, the sum, and that of the last order."""
    recent = source.recent(history, RECENT)
    cells, row, candidate = recent.hits(positions)
    likeness = np.zeros((len(recent.owners), len(positions)), dtype=np.float32)
    likeness[row, candidate] = recent.similarities[cells]
    newest = history.days_since[recent.owners] == history.days_since.min(initial=np.inf)
    np.maximum.reduce(likeness, axis=0, initial=0, out=rows[0])
    np.add.reduce(likeness, axis=0, out=rows[1])
    np.add.reduce(likeness[newest], axis=0, out=rows[2])


def _entries(positions: NDArray[np.int64], own: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index into the history of each candidate, -1 where it was never bought."""
    if not len(own):
        return np.full(len(positions), -1, dtype=np.int64)
    order = own.argsort(kind="stable")
    place = np.minimum(own.searchsorted(positions, sorter=order), len(own) - 1)
    entries = order[place]
    return np.where(own[entries] == positions, entries, -1)


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
