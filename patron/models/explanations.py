"""Why a product was recommended, in a code for machines and words for people.

| code | when |
| --- | --- |
| due_again | bought before, and about the usual interval has passed |
| bought_before | bought before, not due or without an interval yet |
| because_you_bought | shares customers with a product of the history (named in product_id) |
| similar_taste | customers with similar taste buy it |
| often_bought_with | shares orders with a product of the history or of the page (named in product_id) |
| often_bought_after | customers who bought a product of the history bought it next (named in product_id) |
| similar_product | alike in category, brand or title to a product of the history (named in product_id) |
| because_you_viewed | the same about a product that was looked at lately (named in product_id) |
| in_your_basket | the same about a product of the basket (named in product_id) |
| viewed | looked at lately |
| trending | more customers than usual buy it this week |
| new | came to the shop lately |
| promoted | the shop chose it |
| exploration | shown to learn who likes it |
| popular | many customers bought it lately |
| popular_in_category | the same, in a category that the customer buys |
| popular_in_region | the same, among customers of the region or tier |
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from patron.models.base import CustomerHistory, Reason, Recommender
from patron.models.buy_again import BuyAgain
from patron.models.catalogue import Catalogue
from patron.models.category_popularity import CategoryPopularity
from patron.models.content import Content
from patron.models.neighbours import NeighbourModel
from patron.models.popularity import Popularity
from patron.models.regional_popularity import RegionalPopularity

DUE = 0.75
"""Share of the usual interval after which a product counts as due."""


CONTEXT = "context_"
"""Before a source's name: asked about the products of the page or basket instead of the history."""
SESSION = "session_"
"""Before a source's name: asked about what was viewed or put into the basket lately."""


def prefixed(name: str) -> tuple[str, str]:
    """(prefix, source) of a name: what the source is asked about, "" for the history."""
    prefix = next((each for each in (CONTEXT, SESSION) if name.startswith(each)), "")
    return prefix, name.removeprefix(prefix)


def as_history(product_ids: Collection[str]) -> CustomerHistory:
    """Products of a page or basket as if bought once, now."""
    if not product_ids:
        return NOBODY
    ids = np.asarray(list(dict.fromkeys(product_ids)), dtype=np.str_)
    size = len(ids)
    return CustomerHistory(ids, np.ones(size, dtype=np.int64), np.zeros(size), np.full(size, np.nan))


NOBODY = CustomerHistory.empty()


class Explainer:
    """Tells one answer's reasons; sources are asked only for the products that made it into the answer."""

    def __init__(
        self,
        catalogue: Catalogue,
        sources: Mapping[str, Recommender],
        given: Mapping[str, CustomerHistory],
        basket: Collection[str] = (),
    ) -> None:
        """given: the prefix of a source's name -> what the source was asked about."""
        self.catalogue, self.sources = catalogue, sources
        self.given, self.basket = given, basket

    def reasons(self, chosen: NDArray[np.int64], sources: list[list[str]]) -> list[list[Reason]]:
        """For each chosen position one reason a source that contributed, in the order given."""
        told: list[dict[str, Reason]] = [{} for _ in sources]
        for name in {each for names in sources for each in names}:
            rows = [row for row, names in enumerate(sources) if name in names]
            for row, reason in zip(rows, self._told_by(name, chosen[rows]), strict=True):
                told[row][name] = reason
        return [[told[row][name] for name in names] for row, names in enumerate(sources)]

    def _told_by(self, name: str, positions: NDArray[np.int64]) -> list[Reason]:
        prefix, plain = prefixed(name)
        source = self.sources[plain]
        if isinstance(source, Popularity):
            return [popular(source, each) for each in positions.tolist()]
        if isinstance(source, BuyAgain):
            history = self.given[prefix]
            bought = self.catalogue.index.positions(history.product_ids).tolist()
            entries = {position: entry for entry, position in enumerate(bought)}
            return [repeat(history, entries[each]) for each in positions.tolist()]
        if isinstance(source, CategoryPopularity):
            return [popular_in_category(self.catalogue, each) for each in positions.tolist()]
        if isinstance(source, RegionalPopularity):
            return [popular_in_region() for _ in positions]
        if isinstance(source, NeighbourModel | Content):
            return self._shared(name, source, positions)
        return [similar_taste() for _ in positions]

    def _shared(
        self, name: str, source: NeighbourModel | Content, positions: NDArray[np.int64]
    ) -> list[Reason]:
        prefix = prefixed(name)[0]
        tell = self._because_seen if prefix == SESSION else TELL.get(name, with_product)
        strongest = source.strongest_each(self.given[prefix], positions)
        return [similar_taste() if each is None else tell(self.catalogue, each) for each in strongest]

    def _because_seen(self, catalogue: Catalogue, product_id: str) -> Reason:
        title = _title(catalogue, product_id)
        if product_id in self.basket:
            return Reason("in_your_basket", f"Goes with {title} in your basket", product_id)
        return Reason("because_you_viewed", f"Because you viewed {title}", product_id)


def repeat(history: CustomerHistory, entry: int) -> Reason:
    """entry: index into the history."""
    times, days = int(history.times_bought[entry]), history.days_since[entry]
    interval = history.interval_days[entry]
    last = "today" if days < 1 else f"{_days(days)} ago"
    if times < 2 or not np.isfinite(interval) or interval <= 0:
        return Reason("bought_before", f"Bought {_times(times)}, last {last}")
    text = f"Bought {_times(times)}, usually every {_days(interval)}, last {last}"
    return Reason("due_again" if days >= DUE * interval else "bought_before", text)


def because_of(catalogue: Catalogue, product_id: str) -> Reason:
    """product_id: the product of the history that speaks loudest for the recommended one."""
    return Reason("because_you_bought", f"Because you bought {_title(catalogue, product_id)}", product_id)


def after_product(catalogue: Catalogue, product_id: str) -> Reason:
    text = f"Customers who bought {_title(catalogue, product_id)} bought this next"
    return Reason("often_bought_after", text, product_id)


def alike(catalogue: Catalogue, product_id: str) -> Reason:
    return Reason("similar_product", f"Similar to {_title(catalogue, product_id)}", product_id)


def with_product(catalogue: Catalogue, product_id: str) -> Reason:
    return Reason("often_bought_with", f"Often bought with {_title(catalogue, product_id)}", product_id)


def same_customers(catalogue: Catalogue, product_id: str) -> Reason:
    text = f"Customers who bought {_title(catalogue, product_id)} also bought this"
    return Reason("similar_taste", text, product_id)


TELL = {
    "item_item": because_of,
    "ease": because_of,
    "sequential_rules": after_product,
    "content": alike,
    "context_item_item": same_customers,
    "context_sequential_rules": after_product,
    "context_content": alike,
}


def viewed() -> Reason:
    return Reason("viewed", "You looked at this lately")


def trending(buyers: int) -> Reason:
    who = "1 customer" if buyers == 1 else f"{buyers} customers"
    return Reason("trending", f"Bought by {who} this week, more than usual")


def new() -> Reason:
    return Reason("new", "New in the shop")


def promoted() -> Reason:
    return Reason("promoted", "Chosen by the shop")


def exploration() -> Reason:
    return Reason("exploration", "Something new to discover")


def similar_taste() -> Reason:
    return Reason("similar_taste", "Customers with similar taste buy this")


def popular(model: Popularity, position: int) -> Reason:
    buyers = int(model.buyers[position])
    if buyers == 0:
        return Reason("popular", "Popular in this shop")
    who = "1 customer" if buyers == 1 else f"{buyers} customers"
    return Reason("popular", f"Bought by {who} in the last {model.config.window_days} days")


def popular_in_category(catalogue: Catalogue, position: int) -> Reason:
    return Reason("popular_in_category", f"Popular in {catalogue.categories[position]}")


def popular_in_region() -> Reason:
    return Reason("popular_in_region", "Popular with customers like you")


def _title(catalogue: Catalogue, product_id: str) -> str:
    position = catalogue.position(product_id)
    return product_id if position is None else catalogue.title(position)


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"


def _days(days: float) -> str:
    count = max(1, round(float(days)))
    return "1 day" if count == 1 else f"{count} days"
