"""A seeded shop of any size: products in categories, customers with tastes and habits, a year of orders.

What models can learn is put in on purpose: categories have clusters of customers, a customer comes back for a
few favourites at a pace of their own, products are bought beside their companions, a few products are bought
by many, and customers leave. All of it is drawn as arrays, so that a large shop takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Random = np.random.Generator

DAY = 86_400
CLUSTERS = 24
"""Groups of customers with a taste in common."""
LIKED = 3
"""Categories that a customer likes, the first one most."""
FAVOURITES = 8
"""Products that a customer comes back for, the first ones most."""
MOST_ORDERS = 40
MOST_LINES = 8
SKEW = 3.0
"""The larger, the more of a category's purchases go to its first products."""
EVENLY = 0.15
"""Share that no skew touches: every product is bought now and then."""
COMPANION_SHARE = 0.2
"""Of an order's other lines, those that go with the line before."""
LEAVING = 0.05
"""Chance that an order is a customer's last."""
GUESTS = 0.04
"""Share of the orders, after a customer's first one, that tell no customer."""
DISCOUNTED = 0.08
RETURNED = 0.015
REGIONS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")
TIERS = ("basic", "silver", "gold")
CHANNELS = ("email", "web", "app")


@dataclass(frozen=True)
class Size:
    """What decides a shop: the same size gives the same shop."""

    customers: int = 100_000
    products: int = 50_000
    days: int = 392
    seed: int = 11
    until: datetime = datetime(2025, 1, 1, tzinfo=UTC)
    """A midnight; every order is before it."""

    @property
    def start(self) -> int:
        """Epoch seconds of the first moment."""
        return int(self.until.timestamp()) - self.days * DAY


@dataclass(frozen=True)
class Products:
    """One entry a product; those of a category stand together, the most bought ones first."""

    ids: list[str]
    category: Codes
    brand: Codes
    price: Numbers
    in_stock: Flags
    visible: Flags
    available_day: Numbers
    """Day of the shop on which it was launched; NaN: before the first."""
    starts: Codes
    """Where each category begins, and at last the number of products."""

    @property
    def categories(self) -> int:
        return len(self.starts) - 1

    def pick(self, category: Codes, where: Numbers) -> Codes:
        """Products of these categories; `where` in [0, 1) is spread so that the first ones come often."""
        size = self.starts[category + 1] - self.starts[category]
        place = (1 - EVENLY) * where**SKEW + EVENLY * where
        return self.starts[category] + np.floor(size * place).astype(np.int64)

    def companions(self, product: Codes) -> Codes:
        """What goes with each product: one as much bought as it is, of a category that goes with its own."""
        category = self.category[product]
        other = (category * 7 + 3) % self.categories
        share = (product - self.starts[category]) / (self.starts[category + 1] - self.starts[category])
        size = self.starts[other + 1] - self.starts[other]
        return self.starts[other] + np.floor(size * share).astype(np.int64)


@dataclass(frozen=True)
class Customers:
    ids: list[str]
    liked: Codes
    """Shape (n, LIKED), categories."""
    favourites: Codes
    """Shape (n, FAVOURITES), products."""
    loyalty: Numbers
    """Share of the lines that are favourites."""
    gap_days: Numbers
    first_day: Numbers
    region: Codes
    tier: Codes


@dataclass(frozen=True)
class Lines:
    """One entry an order line, in the order of time; customer -1 is a guest."""

    order: Codes
    customer: Codes
    product: Codes
    at: Codes
    """Epoch seconds."""
    quantity: Numbers
    price: Numbers
    discount: Numbers
    """NaN: none."""


@dataclass(frozen=True)
class Shop:
    size: Size
    products: Products
    customers: Customers
    lines: Lines


def shop(size: Size) -> Shop:
    rng = np.random.default_rng(size.seed)
    products = make_products(size, rng)
    customers = make_customers(size, products, rng)
    return Shop(size, products, customers, make_lines(size, products, customers, rng))


def make_products(size: Size, rng: Random) -> Products:
    count = size.products
    categories = int(np.clip(count // 250, min(4, count), 200))
    category = np.sort(
        np.concatenate([np.arange(categories), rng.integers(0, categories, count - categories)])
    )
    usual = rng.lognormal(2.5, 0.7, categories)
    return Products(
        ids=[f"p{each:06d}" for each in rng.permutation(count)],
        category=category,
        brand=rng.integers(0, max(count // 150, 2), count),
        price=np.maximum(np.round(usual[category] * rng.lognormal(0, 0.5, count), 2), 0.5),
        in_stock=rng.random(count) >= 0.04,
        visible=rng.random(count) >= 0.005,
        available_day=np.where(rng.random(count) < 0.02, size.days - rng.integers(1, 60, count), np.nan),
        starts=np.searchsorted(category, np.arange(categories + 1)),
    )


def make_customers(size: Size, products: Products, rng: Random) -> Customers:
    count = size.customers
    tastes = rng.integers(0, products.categories, (CLUSTERS, 2 * LIKED))
    cluster = rng.integers(0, CLUSTERS, count)
    places = rng.permuted(np.tile(np.arange(2 * LIKED), (count, 1)), axis=1)[:, :LIKED]
    liked = tastes[cluster[:, None], places]
    which = np.minimum(rng.geometric(0.6, (count, FAVOURITES)) - 1, LIKED - 1)
    new = rng.random(count) < 0.4
    return Customers(
        ids=[f"c{each:06d}" for each in rng.permutation(count)],
        liked=liked,
        favourites=products.pick(np.take_along_axis(liked, which, 1), rng.random((count, FAVOURITES))),
        loyalty=0.1 + 0.7 * rng.beta(2, 2, count),
        gap_days=rng.lognormal(np.log(32), 0.6, count),
        first_day=np.where(new, rng.uniform(0, size.days - 2, count), rng.uniform(0, 60, count)),
        region=rng.integers(0, len(REGIONS), count),
        tier=rng.choice(len(TIERS), count, p=(0.7, 0.22, 0.08)),
    )


def make_lines(size: Size, products: Products, customers: Customers, rng: Random) -> Lines:
    buyer, day = orders(size, customers, rng)
    at = size.start + (np.floor(day) * DAY + rng.integers(7 * 3600, 22 * 3600, len(day))).astype(np.int64)
    lines = np.minimum(1 + rng.poisson(1.7, len(day)), MOST_LINES)
    order = np.repeat(np.arange(len(day)), lines)
    product = chosen(products, customers, buyer[order], order, rng)
    launched = products.available_day[product] * DAY + size.start
    kept = ~(at[order] < launched)
    order, product = order[kept], product[kept]
    _, first = np.unique(order * size.products + product, return_index=True)
    order, product = order[first], product[first]
    guest = (rng.random(len(day)) < GUESTS) & (np.diff(buyer, prepend=-1) == 0)
    customer = np.where(guest, -1, buyer)[order]
    price = products.price[product]
    quantity = 1.0 + rng.poisson(0.3, len(order))
    discount = np.where(rng.random(len(order)) < DISCOUNTED, np.round(quantity * price * 0.1, 2), np.nan)
    found = Lines(order, customer, product, at[order], quantity, price, discount)
    return in_time(with_returns(found, size, rng))


def orders(size: Size, customers: Customers, rng: Random) -> tuple[Codes, Numbers]:
    """(customer, day) of each order: at their own pace, until they leave or the year is over."""
    count = size.customers
    gaps = rng.gamma(2.0, customers.gap_days[:, None] / 2, (count, MOST_ORDERS))
    gaps[:, 0] = customers.first_day
    day = np.cumsum(gaps, axis=1)
    stays = np.arange(MOST_ORDERS) < rng.geometric(LEAVING, count)[:, None]
    buyer, which = np.nonzero((day < size.days) & stays)
    return buyer, day[buyer, which]


def chosen(products: Products, customers: Customers, buyer: Codes, order: Codes, rng: Random) -> Codes:
    """The product of each line: a favourite, what goes with the line before, or one that is new."""
    count = len(buyer)
    favourite = customers.favourites[buyer, np.floor(FAVOURITES * rng.random(count) ** 2).astype(np.int64)]
    liked = customers.liked[buyer, np.minimum(rng.geometric(0.5, count) - 1, LIKED - 1)]
    any_category = np.floor(products.categories * rng.random(count) ** 2).astype(np.int64)
    category = np.where(rng.random(count) < 0.65, liked, any_category)
    product = products.pick(category, rng.random(count))
    product = np.where(rng.random(count) < customers.loyalty[buyer], favourite, product)
    beside = (np.diff(order, prepend=-1) == 0) & (rng.random(count) < COMPANION_SHARE)
    return np.where(beside, products.companions(np.roll(product, 1)), product)


def with_returns(lines: Lines, size: Size, rng: Random) -> Lines:
    """Some lines come back within ten days, as lines of negative quantity."""
    back = np.flatnonzero(rng.random(len(lines.order)) < RETURNED)
    at = lines.at[back] + rng.integers(2, 10, len(back)) * DAY
    back, at = back[at < size.until.timestamp()], at[at < size.until.timestamp()]
    both = np.concatenate
    return Lines(
        both([lines.order, lines.order[back]]),
        both([lines.customer, lines.customer[back]]),
        both([lines.product, lines.product[back]]),
        both([lines.at, at]),
        both([lines.quantity, -lines.quantity[back]]),
        both([lines.price, lines.price[back]]),
        both([lines.discount, np.full(len(back), np.nan)]),
    )


def in_time(lines: Lines) -> Lines:
    by = np.argsort(lines.at, kind="stable")
    return Lines(**{name: values[by] for name, values in vars(lines).items()})
