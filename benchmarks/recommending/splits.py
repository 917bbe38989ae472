"""Splits that never look ahead: what models are fitted on, and the customers they are then asked about.

Leave-one-out: each customer's last product is the test, the one before it the validation; models are fitted
once, without both, and answer the test from everything but the last. Global: the last 28 days are the test,
the 28 before them the validation; models are fitted before each.

What ships also learns how to order its candidates. Leave-one-out: from a fold that is the test's, a step
earlier: fitted without the last three, asked from everything but the last two. Global: from the validation
and, where the history reaches so far, the 28 days before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patron.models.base import DAY, Interactions
from patron.models.catalogue import Catalogue
from recommending.data import Events

LEAVE_ONE_OUT, GLOBAL = "leave-one-out", "global"
LEARNING = {LEAVE_ONE_OUT: ("learning",), GLOBAL: ("earlier", "validation")}
"""Panels that what ships learns from, with their answers; the last of them chooses."""
WINDOW_DAYS = 28
SOLD_WITHIN_DAYS = 365
"""Products sold within so many days before the cutoff are ranked."""
READINGS = {LEAVE_ONE_OUT: ("new",), GLOBAL: ("repeats", "new")}
"""repeats: what was bought before may be recommended, and counts. new: it is masked, and does not count."""
GLOBAL_PLACES = {"earlier": 3, "validation": 2, "test": 1}
"""Windows from the end, counted from 1."""
EPOCH = 20_000 * DAY
"""The cutoff where a data set has no times."""

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Panel:
    """Customers of one window: what each had bought, and what each then bought.

    Positions are of the fold's catalogue. Lists of all customers stand in one array, with `starts` as in
    compressed rows, shape (customers + 1,). `past_*` are the lines known, oldest first, one row a line.
    """

    past_row: Codes
    past_order: Codes
    past_product: Codes
    past_at: Codes
    bought: list[Codes]
    """Distinct positions bought in the window; -1 for one outside the catalogue, which counts as missed."""
    again: list[NDArray[np.bool_]]
    """For each of `bought`: the customer had bought it before."""

    def __len__(self) -> int:
        return len(self.bought)


@dataclass(frozen=True)
class Fold:
    name: str
    interactions: Interactions
    catalogue: Catalogue
    panels: dict[str, Panel]


def folds(events: Events, protocol: str) -> dict[str, Fold]:
    """Which fold answers which panel: those learned from, "validation" and "test"."""
    if protocol == LEAVE_ONE_OUT:
        fold = without(events, 2, {"validation": 2, "test": 1}, "fit")
        return {"learning": without(events, 3, {"learning": 2}, "learning"), "validation": fold, "test": fold}
    end = int(events.at.max()) + 1
    cuts = {name: end - places * WINDOW_DAYS * DAY for name, places in GLOBAL_PLACES.items()}
    if not anybody(events, cuts["earlier"]):
        del cuts["earlier"]
    return {name: before(events, cutoff, name) for name, cutoff in cuts.items()}


def without(events: Events, last: int, asked: dict[str, int], fold: str) -> Fold:
    """Fitted without the `last` products of each customer; who has no more is left out.

    asked: panel -> which product from the end is to be found, from all before it.
    """
    sizes = np.bincount(events.customer)
    left = sizes[events.customer] - events.at  # 1 for the last product of a customer, 2 for the one before it
    long = sizes[events.customer] > last
    fit = stepped(events, (left > last) & long)
    panels = {}
    for name, place in asked.items():
        known, target = (left > place) & long, (left == place) & long
        customers = np.unique(events.customer[target])
        past = stepped(events, known)
        row = np.searchsorted(customers, past.customer)
        order = np.argsort(events.customer[target])
        bought = events.product[target][order]
        seen = np.unique(events.customer[known] * len(events.catalogue) + events.product[known])
        again = np.isin(customers * len(events.catalogue) + bought, seen)
        panels[name] = Panel(
            past_row=row,
            past_order=past.order,
            past_product=past.product,
            past_at=past.at,
            bought=list(bought[:, None]),
            again=list(again[:, None]),
        )
    return Fold(fold, fit, events.catalogue, panels)


def stepped(events: Events, kept: NDArray[np.bool_]) -> Interactions:
    """Lines without times: a customer's last lies a day before the cutoff, the one before it two, ..."""
    sizes = np.bincount(events.customer[kept], minlength=int(events.customer.max()) + 1)
    at = EPOCH - (sizes[events.customer[kept]] - events.at[kept]) * DAY
    order = np.argsort(at, kind="stable")
    where = np.flatnonzero(kept)[order]
    return Interactions(
        customer=events.customer[where],
        order=np.arange(len(where)),
        product=events.product[where],
        at=at[order],
        product_ids=events.catalogue.product_ids,
        as_of=EPOCH,
    )


def anybody(events: Events, cutoff: int) -> bool:
    """Whether known customers bought before the cutoff, and in the window after it."""
    known = events.customer >= 0
    later = known & (events.at >= cutoff) & (events.at < cutoff + WINDOW_DAYS * DAY)
    return bool((known & (events.at < cutoff)).any() and later.any())


def before(events: Events, cutoff: int, panel: str) -> Fold:
    """Fitted on everything before the cutoff, asked about known customers who bought within 28 days after."""
    past = events.at < cutoff
    sold = np.unique(events.product[past & (events.at >= cutoff - SOLD_WITHIN_DAYS * DAY)])
    place = np.full(len(events.catalogue), -1)
    place[sold] = np.arange(len(sold))
    kept = past & (place[events.product] >= 0)
    customers, customer = np.unique(events.customer[kept], return_inverse=True)
    guests = int(len(customers) > 0 and customers[0] < 0)
    interactions = Interactions(
        customer=customer - guests,
        order=np.unique(events.order[kept], return_inverse=True)[1],
        product=place[events.product[kept]],
        at=events.at[kept],
        product_ids=events.catalogue.product_ids[sold],
        as_of=cutoff,
        price=None if events.price is None else events.price[kept],
    )
    catalogue = events.catalogue.aligned(interactions.product_ids)
    return Fold(panel, interactions, catalogue, {panel: window(events, cutoff, place)})


def window(events: Events, cutoff: int, place: Codes) -> Panel:
    later = (events.at >= cutoff) & (events.at < cutoff + WINDOW_DAYS * DAY) & (events.customer >= 0)
    size = len(events.catalogue)
    pairs = np.unique(events.customer[later] * size + events.product[later])
    past = (events.at < cutoff) & (events.customer >= 0)
    again = np.isin(pairs, np.unique(events.customer[past] * size + events.product[past]))
    asked, starts = np.unique(pairs // size, return_index=True)
    known = past & np.isin(events.customer, asked) & (place[events.product] >= 0)
    return Panel(
        past_row=np.searchsorted(asked, events.customer[known]),
        past_order=events.order[known],
        past_product=place[events.product[known]],
        past_at=events.at[known],
        bought=np.split(place[pairs % size], starts[1:]),
        again=np.split(again, starts[1:]),
    )


def described(fold: Fold) -> dict[str, Any]:
    lines = fold.interactions
    return {
        "fitted_on_lines": len(lines.at),
        "fitted_on_customers": int(lines.customer.max(initial=-1)) + 1,
        "products": len(lines.product_ids),
        "customers_asked": {name: len(panel) for name, panel in fold.panels.items()},
    }
