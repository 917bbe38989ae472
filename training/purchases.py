"""What recommenders learn from and are judged on: visible products bought, from the staged order lines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.cutoffs import span
from features.engine import connect
from features.staging import lake_table, stage
from patron.lake.tables import Lake
from patron.models.base import DAY, Interactions
from patron.models.catalogue import Catalogue
from patron.settings import Settings
from training.consent import withheld

SOLD_WITHIN_DAYS = 365
"""Products sold within so many days before the cutoff form the catalogue that is ranked."""


class Purchases:
    """Every bought line of a visible product, oldest first, and what the shop says of its products.

    `customers` and `products` name the codes; a guest's line has customer -1. `learned` is when the shop knew
    of a line: as it happened, unless it arrived later.
    """

    def __init__(self, settings: Settings) -> None:
        lake = Lake(settings.lake)
        engine = connect(settings)
        try:
            staged = stage(engine, lake, settings.home / "tmp" / "staged")
            lines = staged.lines.filter(~staged.lines.is_return, staged.lines.visible)
            refused = withheld(settings)
            if refused:
                lines = lines.filter(lines.customer_id.isnull() | lines.customer_id.notin(sorted(refused)))
            found = (
                lines.order_by("at", "order_id", "product_id")
                .select(
                    *("customer_id", "order_id", "product_id", "at", "ingested_at"),
                    "paid_cents",
                    "units_milli",
                )
                .to_pyarrow()
            )
            self.facts = lake_table(engine, lake, "products").to_pyarrow()
            self.people = lake_table(engine, lake, "customers").to_pyarrow()
            self.first, self.last = span(staged)
        finally:
            engine.disconnect()
        self.customer, self.customers = coded(found["customer_id"])
        self.order, _ = coded(found["order_id"])
        launched = self.facts.filter(pc.is_valid(self.facts["available_from"]))
        self.product, self.products = coded(found["product_id"], launched["product_id"])
        self.at = found["at"].to_numpy()
        self.learned = pc.max_element_wise(found["at"], found["ingested_at"]).to_numpy()
        units = np.maximum(found["units_milli"].to_numpy(), 1) / 1000
        self.price = found["paid_cents"].to_numpy() / 100 / units
        self.available_from = np.full(len(self.products), np.inf)
        places = {name: place for place, name in enumerate(self.products.tolist())}
        seconds = launched["available_from"].cast(
            pa.timestamp("s", "UTC"), safe=False
        )  # parts of one fall away
        starts = seconds.cast(pa.int64()).to_pylist()
        for name, start in zip(launched["product_id"].to_pylist(), starts, strict=True):
            self.available_from[places[name]] = start

    def until(self, cutoff: datetime, *, profiles: bool = False) -> Interactions:
        """Everything known before the cutoff, over the products sold or launched in the year before it.

        A product was launched when it became available, which a shop may not tell: it is then unknown until
        it is sold. Customers and orders are numbered anew: how many come later must not show in the numbers.
        With `profiles` it says where customers live today, which is no knowledge of a past cutoff.
        """
        end = int(cutoff.timestamp())
        past = self.learned < end
        since = end - SOLD_WITHIN_DAYS * DAY
        launched = np.flatnonzero((self.available_from >= since) & (self.available_from < end))
        sold = np.union1d(self.product[past & (self.at >= since)], launched)
        position = np.full(len(self.products), -1)
        position[sold] = np.arange(len(sold))
        kept = past & (position[self.product] >= 0)
        return Interactions(
            customer=recoded(self.customer[kept]),
            order=recoded(self.order[kept]),
            product=position[self.product[kept]],
            at=self.at[kept],
            product_ids=self.products[sold],
            as_of=end,
            price=self.price[kept],
            **(self.profiles(self.customer[kept]) if profiles else {}),
        )

    def profiles(self, customer: NDArray[np.int64]) -> dict[str, NDArray[np.str_]]:
        """Region and tier of each of the customers who occur, in the order of their code."""
        names = self.customers[np.unique(customer[customer >= 0])].tolist()
        found = {}
        for kind in ("region", "tier"):
            known = dict(
                zip(self.people["customer_id"].to_pylist(), self.people[kind].to_pylist(), strict=True)
            )
            found[f"{kind}s"] = np.asarray([known.get(name) or "" for name in names], dtype=np.str_)
        return found

    def pairs(self, start: float, end: float) -> NDArray[np.int64]:
        """Distinct (customer, product) of known customers with start <= time < end, shape (n, 2), sorted."""
        within = (self.at >= start) & (self.at < end) & (self.customer >= 0)
        return np.unique(np.column_stack([self.customer[within], self.product[within]]), axis=0)

    def catalogue(self, *, stock: bool) -> Catalogue:
        """What the shop says of its products today; without `stock` everything counts as in stock."""
        facts = self.facts
        in_stock = texts_or(facts["in_stock"], True).astype(bool)
        return Catalogue(
            product_ids=texts_or(facts["product_id"], "").astype(np.str_),
            titles=texts_or(facts["title"], "").astype(np.str_),
            categories=texts_or(facts["category"], "").astype(np.str_),
            brands=texts_or(facts["brand"], "").astype(np.str_),
            costs=facts["unit_cost"].cast(pa.float64()).to_numpy().astype(np.float64),
            prices=facts["price"].cast(pa.float64()).to_numpy().astype(np.float64),
            in_stock=in_stock if stock else np.ones(len(facts), dtype=bool),
            visible=texts_or(facts["visible"], True).astype(bool),
        )


@dataclass(frozen=True)
class Basket:
    """What customers bought in a window, as positions in a catalogue; -1 for a product that is not in it."""

    customers: list[str]
    bought: list[NDArray[np.int64]]
    before: list[NDArray[np.int64]]
    """Positions of what each had bought before the window."""


def baskets(purchases: Purchases, product_ids: NDArray[np.str_], cutoff: datetime, days: int) -> Basket:
    """Known customers who bought anything in [cutoff, cutoff + days), in the order of their code.

    product_ids: the catalogue that positions are of.
    """
    start = cutoff.timestamp()
    later = purchases.pairs(start, start + days * DAY)
    earlier = purchases.pairs(0, start)
    position = {name: place for place, name in enumerate(product_ids.tolist())}
    places = np.array([position.get(name, -1) for name in purchases.products.tolist()], dtype=np.int64)
    codes = np.unique(later[:, 0])
    bought = grouped(later, codes, places)
    return Basket(purchases.customers[codes].tolist(), bought, grouped(earlier, codes, places))


def grouped(
    pairs: NDArray[np.int64], codes: NDArray[np.int64], places: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """The second column's places for each code of the first column. `pairs` is sorted."""
    low = np.searchsorted(pairs[:, 0], codes, side="left")
    high = np.searchsorted(pairs[:, 0], codes, side="right")
    return [places[pairs[a:b, 1]] for a, b in zip(low, high, strict=True)]


def coded(column: Any, more: Any = None) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """Codes 0..n-1 by ascending name, -1 for null, and the names; those of `more` are among them."""
    every = column if more is None else pa.chunked_array([*column.chunks, *more.chunks])
    names = pc.unique(every.drop_null()).sort()
    codes = pc.fill_null(pc.index_in(column, value_set=names), -1)
    found = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
    return found.to_numpy().astype(np.int64), np.asarray(names.to_pylist(), dtype=np.str_)


def recoded(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same codes without gaps, in the same order; -1 stays."""
    names, found = np.unique(codes, return_inverse=True)
    return np.asarray(found, dtype=np.int64) - int(len(names) > 0 and names[0] < 0)


def texts_or(column: Any, default: Any) -> NDArray[Any]:
    return np.asarray([default if value is None else value for value in column.to_pylist()])
