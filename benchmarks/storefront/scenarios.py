"""What is asked: a plan of requests for each endpoint of the service, from the shop's own ids."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from patron.lake.tables import Lake
from patron.settings import Settings
from storefront.load import Plan, request

Document = dict[str, Any]
EVENTS = "/v1/events"
PLANNED = 20_000
"""Requests that are made beforehand, in small shops fewer; then they come again."""
VISITORS = 5_000
"""Customers with a session, and guest sessions, whose events are posted before they are asked for."""
VIEWED = 2_000
"""Views that posts are made of; then they come again under new ids."""
VIEWS = 4
"""Events of each of them."""
VIEW_SHARE = 10
"""One in so many answers follows a view that is posted just before."""
LIMIT = 10
MANY = 100


@dataclass
class Shoppers:
    """Ids that requests are made of, in an order drawn by the seed, and what is sent with them."""

    port: int
    key: str
    customers: list[str]
    products: list[str]
    price: float
    """Three quarters of the products cost less."""
    rng: np.random.Generator
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    """Told apart from other runs: sessions and events are new each time."""

    @classmethod
    def of(cls, settings: Settings, port: int, key: str, seed: int = 5) -> Shoppers:
        lake, rng = Lake(settings.lake), np.random.default_rng(seed)
        customers = ids(lake, "order_lines", "customer_id")
        shown = [row for path in lake.files("products") for row in pq.read_table(path).to_pylist()]
        on_sale = [row for row in shown if row["in_stock"] is not False and row["visible"] is not False]
        return cls(
            port=port,
            key=key,
            customers=[customers[each] for each in rng.permutation(len(customers))],
            products=[on_sale[each]["product_id"] for each in rng.permutation(len(on_sale))],
            price=float(np.quantile([float(row["price"] or 0) for row in on_sale], 0.75)),
            rng=rng,
        )

    def ask(self, method: str, path: str, body: Document | None = None) -> bytes:
        encoded = None if body is None else json.dumps(body).encode()
        return request(self.port, method, path, encoded, x_api_key=self.key)

    def some(self, names: list[str], count: int) -> list[str]:
        """`count` of the names, drawn with repeats where there are fewer."""
        return [names[each] for each in self.rng.integers(0, len(names), count)]

    @property
    def planned(self) -> int:
        return min(PLANNED, 5 * len(self.customers))

    @property
    def visitors(self) -> list[str]:
        return self.customers[:VISITORS]

    def session(self, customer: str) -> str:
        return f"s-{self.run}-{customer}"

    @property
    def guests(self) -> list[str]:
        return [f"g-{self.run}-{each}" for each in range(min(VISITORS, len(self.customers)))]


def ids(lake: Lake, table: str, column: str) -> list[str]:
    found: set[str] = set()
    for path in lake.files(table):
        found |= set(pq.read_table(path, columns=[column])[column].unique().drop_null().to_pylist())
    return sorted(found)


@dataclass(frozen=True)
class Scenario:
    name: str
    path: str
    """As the OpenAPI document of the service names it."""
    plan: Callable[[Shoppers], Plan]
    good: Callable[[Document], bool] = lambda document: True
    """Whether an answer is the one that was wanted: personal, scored, of any length."""
    method: str = "post"


def posted(
    path: str, body: Callable[[Shoppers, str, str], Document], each_costs: int = 1
) -> Callable[[Shoppers], Plan]:
    """A plan of requests that each are made from a customer and a product; of costly ones fewer."""

    def plan(shop: Shoppers) -> Plan:
        count = max(shop.planned // each_costs, 1)
        pairs = zip(shop.some(shop.visitors, count), shop.some(shop.products, count), strict=True)
        name = path.rpartition("/")[2]
        made = [(name, shop.ask("POST", path, body(shop, *pair))) for pair in pairs]
        return itertools.cycle(made)

    return plan


def home(shop: Shoppers, customer: str, _: str = "") -> Document:
    """Everything that an answer can be asked for."""
    return {
        "customer_id": customer,
        "session_id": shop.session(customer),
        "placement": "home",
        "limit": LIMIT,
        "filter": {"max_price": shop.price, "in_stock": True},
        "diversity": 0.3,
        "explain": True,
    }


def guest(shop: Shoppers, _: str, product: str) -> Document:
    return {"session_id": shop.some(shop.guests, 1)[0], "placement": "home", "limit": LIMIT, "explain": True}


def page(placement: str, products: int) -> Callable[[Shoppers, str, str], Document]:
    def body(shop: Shoppers, customer: str, product: str) -> Document:
        return {
            "customer_id": customer,
            "session_id": shop.session(customer),
            "placement": placement,
            "product_ids": list(dict.fromkeys([product, *shop.some(shop.products, products - 1)])),
            "limit": LIMIT,
            "explain": True,
        }

    return body


def ranking(shop: Shoppers, customer: str, _: str) -> Document:
    products = list(dict.fromkeys(shop.some(shop.products, MANY)))
    return {"customer_id": customer, "product_ids": products}


def many(path: str, size: int) -> Callable[[Shoppers], Plan]:
    """Plans about `size` customers at once; all customers of the shop take part."""

    def plan(shop: Shoppers) -> Plan:
        drawn = shop.some(shop.customers, MANY * -(-shop.planned // MANY))
        groups = [drawn[start : start + size] for start in range(0, len(drawn), size)]
        name = path.rpartition("/")[2]
        return itertools.cycle([(name, shop.ask("POST", path, {"customer_ids": each})) for each in groups])

    return plan


def profiles(shop: Shoppers) -> Plan:
    paths = (f"/v1/customers/{each}" for each in shop.some(shop.customers, shop.planned))
    return itertools.cycle([("customers", shop.ask("GET", path)) for path in paths])


def events(size: int, ask: Callable[[Shoppers], Plan] | None = None) -> Callable[[Shoppers], Plan]:
    """Posts of `size` views, each event new; with `ask` one before every tenth of its requests."""

    def plan(shop: Shoppers) -> Plan:
        views = view_posts(shop, size)
        if ask is None:
            yield from views
            return
        for place, each in enumerate(ask(shop)):
            if place % VIEW_SHARE == 0:
                yield next(views)
            yield each

    return plan


def view_posts(shop: Shoppers, size: int) -> Iterator[tuple[str, bytes]]:
    """Bodies are made once; the ids in them, all of one length, are new in each post."""
    mark = "0" * 32
    pairs = [*zip(shop.some(shop.visitors, VIEWED), shop.some(shop.products, VIEWED), strict=True)]
    groups = [pairs[start : start + size] for start in range(0, VIEWED, size)]
    bodies = [split_post(shop, [view(shop, mark, *pair) for pair in group], mark) for group in groups]
    number, start = itertools.count(), f"{shop.run}".encode()
    for parts in itertools.cycle(bodies):
        whole = [parts[0]]
        for part in parts[1:]:
            whole += (b"%s%024x" % (start, next(number)), part)
        yield "events", b"".join(whole)


def split_post(shop: Shoppers, made: list[Document], mark: str) -> list[bytes]:
    return shop.ask("POST", EVENTS, {"events": made}).split(mark.encode())


def view(shop: Shoppers, event_id: str, customer: str, product: str) -> Document:
    return {
        "event_id": event_id,
        "occurred_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "name": "view_item",
        "customer_id": customer,
        "session_id": shop.session(customer),
        "product_id": product,
    }


def beginnings(shop: Shoppers) -> list[bytes]:
    """Posts that give every visitor and every guest session its first views."""
    made = []
    for names, known in ((shop.visitors, True), (shop.guests, False)):
        for place, name in enumerate(name for name in names for _ in range(VIEWS)):
            one = view(shop, f"{shop.run}-{int(known)}-{place}", name, shop.some(shop.products, 1)[0])
            made.append(one if known else {**one, "customer_id": None, "session_id": name})
    kept = [{key: value for key, value in each.items() if value is not None} for each in made]
    groups = (kept[start : start + MANY] for start in range(0, len(kept), MANY))
    return [shop.ask("POST", EVENTS, {"events": group}) for group in groups]


def scored(document: Document) -> bool:
    rows = document.get("scores") or document.get("values") or [{}]
    return any(each.get("status") in ("scored", "already_churned") for each in rows)


def full(document: Document) -> bool:
    return len(document["items"]) == LIMIT and not document["degraded"]


def personal(document: Document) -> bool:
    return full(document) and document["fallback"] in (None, "personal")


def accepted(document: Document) -> bool:
    return bool(document["accepted"]) and not document["duplicates"] and not document["rejected"]


RECOMMENDATIONS = "/v1/recommendations"
CHURN = "/v1/churn-scores"
CHURN_ONE = "churn, 1 customer"
HOME = "recommendations, home"
HOME_PLAN = posted(RECOMMENDATIONS, home)
SCENARIOS = (
    Scenario(CHURN_ONE, CHURN, many(CHURN, 1), scored),
    Scenario("churn, 100 customers", CHURN, many(CHURN, MANY), scored),
    Scenario(HOME, RECOMMENDATIONS, HOME_PLAN, personal),
    Scenario("recommendations, home, 1 in 10 after a view", RECOMMENDATIONS, events(1, HOME_PLAN), personal),
    Scenario("recommendations, guest session", RECOMMENDATIONS, posted(RECOMMENDATIONS, guest), full),
    Scenario("recommendations, product", RECOMMENDATIONS, posted(RECOMMENDATIONS, page("product", 1)), full),
    Scenario("recommendations, cart of 3", RECOMMENDATIONS, posted(RECOMMENDATIONS, page("cart", 3)), full),
    Scenario(
        "similar products",
        "/v1/similar-products",
        posted("/v1/similar-products", lambda shop, _, product: {"product_id": product, "limit": LIMIT}),
        full,
    ),
    Scenario("rankings of 100", "/v1/rankings", posted("/v1/rankings", ranking, 10)),
    Scenario("lifetime value, 1 customer", "/v1/lifetime-values", many("/v1/lifetime-values", 1), scored),
    Scenario(
        "next best offer",
        "/v1/next-best-offers",
        posted(
            "/v1/next-best-offers", lambda shop, customer, _: {"customer_id": customer, "channel": "email"}
        ),
        lambda document: bool(document["offers"]),
    ),
    Scenario("events, 1 a post", EVENTS, events(1), accepted),
    Scenario("events, 100 a post", EVENTS, events(MANY), accepted),
    Scenario("customer profile", "/v1/customers/{customer_id}", profiles, method="get"),
)
