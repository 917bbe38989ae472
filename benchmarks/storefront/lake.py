"""The shop as a lake: the tables of the data contract, written as an import would leave them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from patron.lake.commit import Written, only_writer, publish, staging
from patron.lake.contract import ARROW_SCHEMAS, TABLES, TYPES
from patron.lake.tables import Lake
from patron.settings import Settings
from storefront.shop import CHANNELS, DAY, REGIONS, TIERS, Codes, Shop

NAME = "benchmark"
SESSION_DAYS = 14
OFFERS = 8
WORDS = (
    "plain",
    "fine",
    "small",
    "large",
    "soft",
    "bright",
    "dark",
    "light",
    "old",
    "new",
    "round",
    "square",
)
THINGS = ("bowl", "lamp", "towel", "tea", "chair", "bag", "soap", "clock", "plate", "candle", "mug", "rug")


def write(settings: Settings, shop: Shop) -> dict[str, int]:
    """Replace the lake by the shop; rows of each table."""
    lake, written = Lake(settings.lake), []
    with only_writer(settings.home), staging(settings.home, NAME) as folder:
        for name, columns in tables(shop):
            found = table(name, columns)
            path = folder / f"{name}.parquet"
            pq.write_table(found, path)
            written.append(Written(path, f"{name}/{NAME}.parquet", found.num_rows, replaces=True))
        publish(lake, written, {"name": NAME, "seed": shop.size.seed}, "EUR")
    return {each.place[1]: each.rows for each in written}


def table(name: str, columns: dict[str, Any]) -> pa.Table:
    """With every column of the contract; absent ones hold their default."""
    rows = len(next(iter(columns.values())))
    found = {}
    for column, kind in TABLES[name].items():
        if column in columns:
            given = columns[column]
            found[column] = (given if isinstance(given, pa.Array) else pa.array(given)).cast(TYPES[kind.kind])
        else:
            found[column] = pa.array([kind.default] * rows, TYPES[kind.kind])
    found["row_hash"] = pa.array([f"{each:016x}" for each in range(rows)])
    return pa.table(found, ARROW_SCHEMAS[name])


def tables(shop: Shop) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "order_lines", order_lines(shop)
    yield "products", products(shop)
    yield "customers", customers(shop)
    rng = np.random.default_rng([shop.size.seed, 1])
    yield "events", events(shop, rng)
    yield "offers", offers(shop)
    yield "exposures", exposures(shop, rng)


def named(names: Sequence[str], codes: Codes) -> pa.Array:
    """The name of each code, null for -1."""
    return pa.array(names).take(pa.array(codes, mask=codes < 0))


def moments(seconds: NDArray[Any]) -> pa.Array:
    """Times in UTC of epoch seconds, null for NaN."""
    wrong = np.isnan(seconds.astype(np.float64))
    micro = (np.where(wrong, 0, seconds) * 1_000_000).astype(np.int64)
    return pa.array(micro, pa.int64(), mask=wrong).cast(pa.timestamp("us", "UTC"))


def order_lines(shop: Shop) -> dict[str, Any]:
    lines = shop.lines
    ids = [f"o{each:08d}" for each in range(int(lines.order.max()) + 1)]
    returned = pa.array(lines.quantity < 0)
    order = named(ids, lines.order)
    return {
        "order_id": pc.if_else(returned, pc.binary_join_element_wise("r", order, ""), order),
        "customer_id": named(shop.customers.ids, lines.customer),
        "product_id": named(shop.products.ids, lines.product),
        "ordered_at": moments(lines.at),
        "quantity": lines.quantity,
        "unit_price": lines.price,
        "discount": pa.array(lines.discount, from_pandas=True),
    }


def products(shop: Shop) -> dict[str, Any]:
    found = shop.products
    brands = [f"Brand {each}" for each in range(int(found.brand.max()) + 1)]
    categories = [f"{THINGS[each % len(THINGS)]} {each // len(THINGS)}" for each in range(found.categories)]
    titles = [
        f"{brands[brand]} {WORDS[(place * 7) % len(WORDS)]} {WORDS[place % 5]} {categories[category]}"
        for place, (brand, category) in enumerate(zip(found.brand, found.category, strict=True))
    ]
    return {
        "product_id": found.ids,
        "title": titles,
        "category": named(categories, found.category),
        "brand": named(brands, found.brand),
        "price": found.price,
        "unit_cost": np.round(found.price * 0.6, 2),
        "in_stock": found.in_stock,
        "available_from": moments(found.available_day * DAY + shop.size.start),
        "visible": found.visible,
    }


def customers(shop: Shop) -> dict[str, Any]:
    found = shop.customers
    size = len(found.ids)
    return {
        "customer_id": found.ids,
        "signed_up_at": moments(np.floor(found.first_day) * DAY + shop.size.start),
        "tier": named(TIERS, found.tier),
        "region": named(REGIONS, found.region),
        "consent_recommend": np.arange(size) % 100 != 17,
        "consent_offers": np.arange(size) % 50 != 11,
        "consent_training": np.arange(size) % 200 != 5,
    }


def events(shop: Shop, rng: np.random.Generator) -> dict[str, Any]:
    """Views of the last days: three a session, each session of a customer or of nobody known."""
    sessions = max(len(shop.customers.ids) // 5, 1)
    session = np.repeat(np.arange(sessions), 3)
    buyer = rng.integers(0, len(shop.customers.ids), sessions)
    guest = rng.random(sessions) < 0.3
    until = int(shop.size.until.timestamp())
    at = until - rng.integers(3600, SESSION_DAYS * DAY, sessions)[session] + np.tile((0, 40, 90), sessions)
    liked = shop.customers.liked[buyer[session], 0]
    viewed = shop.products.pick(liked, rng.random(len(session)))
    return {
        "event_id": [f"e{each:08d}" for each in range(len(session))],
        "occurred_at": moments(at),
        "name": ["view_item"] * len(session),
        "customer_id": named(shop.customers.ids, np.where(guest, -1, buyer)[session]),
        "session_id": [f"s{each:07d}" for each in session],
        "product_id": named(shop.products.ids, viewed),
    }


def offers(shop: Shop) -> dict[str, Any]:
    until = shop.size.until
    return {
        "offer_id": [f"offer-{each}" for each in range(OFFERS)],
        "name": [f"Offer {each}" for each in range(OFFERS)],
        "kind": [("coupon", "percent_off", "free_shipping", "points")[each % 4] for each in range(OFFERS)],
        "cost": [0.5 + each for each in range(OFFERS)],
        "channels": pa.array([list(CHANNELS)] * OFFERS),
        "valid_from": [until - timedelta(days=200)] * OFFERS,
        "valid_to": [until + timedelta(days=3650)] * OFFERS,
    }


def exposures(shop: Shop, rng: np.random.Generator) -> dict[str, Any]:
    """Offers shown at random, the loyal answering more often, nothing being an arm as well."""
    count = max(len(shop.customers.ids) // 2, OFFERS)
    buyer = rng.integers(0, len(shop.customers.ids), count)
    offer = rng.integers(-1, OFFERS, count)
    at = int(shop.size.until.timestamp()) - rng.integers(1, 150 * DAY, count)
    rate = 0.03 + 0.02 * (offer + 1) + 0.15 * shop.customers.loyalty[buyer]
    converted = rng.random(count) < rate
    names = ["none", *(f"offer-{each}" for each in range(OFFERS))]
    return {
        "decision_id": [f"d{each:07d}" for each in range(count)],
        "customer_id": named(shop.customers.ids, buyer),
        "offer_id": named(names, offer + 1),
        "shown_at": moments(at),
        "propensity": np.full(count, 1 / (OFFERS + 1)),
        "policy": ["random"] * count,
        "converted": converted,
        "value": np.where(converted, np.round(rng.lognormal(3, 0.5, count), 2), 0.0),
    }
