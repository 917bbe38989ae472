"""Why a product was recommended, in a code for machines and words for people.

| code | when |
| --- | --- |
| due_again | bought before, and about the usual interval has passed |
| bought_before | bought before, not due or without an interval yet |
| because_you_bought | shares customers with a product of the history (named in product_id) |
| similar_taste | customers with similar taste buy it |
| often_bought_with | shares orders with a product of the history or of the page (named in product_id) |
| popular | many customers bought it lately |
"""

from __future__ import annotations

import numpy as np

from patron.models.base import CustomerHistory, Reason
from patron.models.catalogue import Catalogue
from patron.models.popularity import Popularity

DUE = 0.75
"""Share of the usual interval after which a product counts as due."""


def repeat(history: CustomerHistory, entry: int) -> Reason:
    """entry: index into the history."""
    times, days = int(history.times_bought[entry]), history.days_since[entry]
    interval = history.interval_days[entry]
    last = "today" if days < 1 else f"{_days(days)} ago"
    if times < 2 or not np.isfinite(interval) or interval <= 0:
        return Reason("bought_before", f"Bought {_times(times)}, last {last}")
    text = f"Bought {_times(times)}, usually every {_days(interval)}, last {last}"
    return Reason("due_again" if days >= DUE * interval else "bought_before", text)


def because_of(catalogue: Catalogue, product_id: str | None) -> Reason | None:
    """product_id: the product of the history that speaks loudest for the recommended one."""
    if product_id is None:
        return None
    return Reason("because_you_bought", f"Because you bought {_title(catalogue, product_id)}", product_id)


def with_product(catalogue: Catalogue, product_id: str | None) -> Reason | None:
    if product_id is None:
        return None
    return Reason("often_bought_with", f"Often bought with {_title(catalogue, product_id)}", product_id)


def same_customers(catalogue: Catalogue, product_id: str | None) -> Reason | None:
    if product_id is None:
        return None
    text = f"Customers who bought {_title(catalogue, product_id)} also bought this"
    return Reason("similar_taste", text, product_id)


def similar_taste() -> Reason:
    return Reason("similar_taste", "Customers with similar taste buy this")


def popular(model: Popularity, position: int) -> Reason:
    buyers = int(model.buyers[position])
    if buyers == 0:
        return Reason("popular", "Popular in this shop")
    who = "1 customer" if buyers == 1 else f"{buyers} customers"
    return Reason("popular", f"Bought by {who} in the last {model.config.window_days} days")


def _title(catalogue: Catalogue, product_id: str) -> str:
    position = catalogue.position(product_id)
    return product_id if position is None else catalogue.title(position)


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"


def _days(days: float) -> str:
    count = max(1, round(float(days)))
    return "1 day" if count == 1 else f"{count} days"
