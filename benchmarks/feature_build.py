"""`customer_activity` at rolling cutoffs: Patron beside the same features in pandas, on Online Retail.

Run it with `make bench`. Both read the lake's Parquet files, compute every field at every cutoff and write a
Parquet file each. They run several times in turn; the ratio is of the medians. Every value is compared: a
faster wrong answer is no answer. A small shop is faster in pandas, since Ibis writes its SQL anew for each
snapshot.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from features import customer_activity
from features.build import build, built_cutoffs, folder
from features.view import DAY, WINDOWS
from patron import console
from patron.lake.importer import import_files
from patron.lake.tables import Lake
from patron.settings import PROJECT, Settings, load_settings

ROUNDS = 3
COPIES = (1, 8)
"""The shop as it is, and as many of it side by side, each with customers of its own."""
CUTOFFS = 6
DATA = Path(os.environ.get("PATRON_TEST_DATA", PROJECT.parent / "shared" / "data")) / "online_retail.csv.gz"
VIEWS = (customer_activity.VIEW,)
SUMS = ("milli", "gross", "paid")


def main() -> int:
    if not DATA.is_file():
        console.note(f"No {DATA.name} in {DATA.parent}. Set PATRON_TEST_DATA to the folder that holds it.")
        return 1
    rows, different = [], 0
    with tempfile.TemporaryDirectory(prefix="patron-bench-") as scratch:
        for copies in COPIES:
            measured, wrong = measure(Path(scratch) / str(copies), copies)
            rows += measured
            different += wrong
    report(rows, different)
    return 1 if different else 0


def measure(scratch: Path, copies: int) -> tuple[list[tuple[Any, ...]], int]:
    """(a row of the table for each side, how many values differ) on so many copies of the shop."""
    shop = load_settings(home=scratch / "import", threads=2)
    import_files(shop, "online-retail", several(scratch, copies))
    seconds: dict[str, list[float]] = {"patron": [], "pandas": []}
    for turn in range(ROUNDS):
        home = scratch / str(turn)
        home.mkdir()
        (home / "lake").symlink_to(shop.lake.resolve())
        settings = load_settings(home=home, threads=2, max_cutoffs=CUTOFFS)
        seconds["patron"].append(timed(lambda settings=settings: build(settings, views=VIEWS)))
        cutoffs = built_cutoffs(settings)
        seconds["pandas"].append(timed(lambda home=home, cutoffs=cutoffs: peer(home, cutoffs)))
    values, different = compared(settings, cutoffs)
    lines, theirs = Lake(shop.lake).rows("order_lines"), median(seconds["pandas"])
    rows = [
        (name, lines, *(round(each(found), 2) for each in (min, median, max)), theirs / median(found), values)
        for name, found in seconds.items()
    ]
    return rows, different


def several(folder: Path, copies: int) -> list[str]:
    """The data's file, and copies of it under other customers and orders."""
    folder.mkdir()
    files = [str(DATA)]
    shop = pd.read_csv(DATA, dtype=str, keep_default_na=False)
    for copy in range(1, copies):
        mark = f"-{copy}"
        named = shop.CustomerID.where(shop.CustomerID == "", shop.CustomerID + mark)
        files.append(str(folder / f"copy{mark}.csv"))
        shop.assign(InvoiceNo=shop.InvoiceNo + mark, CustomerID=named).to_csv(files[-1], index=False)
    return files


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peer(home: Path, cutoffs: list[datetime]) -> None:
    """The same in pandas: lines as integers once, then one snapshot a cutoff."""
    lines = staged(Lake(home / "lake"))
    for cutoff in cutoffs:
        snapshot(lines, int(cutoff.timestamp())).to_parquet(home / f"{cutoff:%Y-%m-%d}.parquet")


def staged(lake: Lake) -> pd.DataFrame:
    """Lines of known customers with times in seconds, money in hundredths, units in thousandths."""
    names = ["customer_id", "order_id", "product_id", "ordered_at", "quantity", "unit_price", "discount"]
    read = pd.concat([pd.read_parquet(path, columns=names) for path in lake.files("order_lines")])
    products = pd.concat([pd.read_parquet(each) for each in lake.files("products")])
    read = read[read.customer_id.notna()]
    gross = read.quantity * read.unit_price.astype("float64")
    paid = gross - read.discount.astype("float64").fillna(0)
    category = read.product_id.map(products.set_index("product_id").category)
    return pd.DataFrame(
        {
            "customer": read.customer_id.astype("category"),
            "order": read.order_id,
            "product": read.product_id,
            "category": category,
            "at": read.ordered_at.astype("int64") // 1_000_000,
            "milli": (read.quantity * 1000).round().astype("int64"),
            "gross": cents(gross),
            "paid": cents(paid),
            "is_return": read.quantity < 0,
        }
    )


def cents(amount: pd.Series) -> pd.Series:
    """Whole hundredths, half away from zero; the tiny push undoes what binary fractions lose."""
    return (np.sign(amount) * np.floor(amount.abs() * 100 + 0.5 + 1e-7)).astype("int64")


def snapshot(lines: pd.DataFrame, cutoff: int) -> pd.DataFrame:
    known = lines[lines["at"] < cutoff]
    bought, returned = known[~known.is_return], known[known.is_return]
    by = bought.groupby("customer", observed=True)
    found = pd.DataFrame({"first_order_at": by["at"].min(), "last_order_at": by["at"].max()})
    for days, name in ((None, "total"), *((days, f"{days}d") for days in WINDOWS)):
        recent, back = (
            part if days is None else part[part["at"] >= cutoff - days * DAY] for part in (bought, returned)
        )
        within = recent.groupby("customer", observed=True)
        sums = within[list(SUMS)].sum().reindex(found.index, fill_value=0)
        found[f"orders_{name}"] = within["order"].nunique().reindex(found.index, fill_value=0)
        found[f"units_{name}"] = sums.milli / 1000
        found[f"spend_{name}"] = sums.paid / 100
        refunds = -back.groupby("customer", observed=True).paid.sum().reindex(found.index, fill_value=0)
        found[f"returned_{name}"] = refunds / 100
        share = "discount_share" if days is None else f"discount_share_{name}"
        found[share] = (sums.gross - sums.paid) / sums.gross.replace(0, np.nan)
        if days is None:
            found["return_share"] = refunds / sums.paid.replace(0, np.nan)
            found["mean_order_value"] = sums.paid / (found.orders_total * 100)
    recency = cutoff - found.last_order_at
    found["recency_days"] = recency / DAY
    found["tenure_days"] = (cutoff - found.first_order_at) / DAY
    found["order_trend"] = found.orders_30d * 3 / found.orders_90d.replace(0, np.nan)
    found["distinct_products"] = by["product"].nunique()
    recent = bought[bought["at"] >= cutoff - 365 * DAY].groupby("customer", observed=True)
    found["distinct_categories_365d"] = recent.category.nunique().reindex(found.index, fill_value=0)
    return found.join(rhythm(bought, recency)).sort_index()


def rhythm(bought: pd.DataFrame, recency: pd.Series) -> pd.DataFrame:
    """Purchase days of each customer and the gaps between them."""
    days = bought.assign(day=bought["at"] // DAY).groupby(["customer", "day"], observed=True).paid.sum()
    days = days.reset_index()
    by = days.groupby("customer", observed=True)
    days["gap"] = by.day.diff()
    days["repeat"] = days.paid.where(days.gap.notna(), 0)
    days["square"] = days.gap**2
    sums = by[["gap", "square", "repeat"]].sum()
    found = pd.DataFrame({"purchase_days": by.size(), "last_gap_days": by.gap.last()})
    gaps = (found.purchase_days - 1).replace(0, np.nan)
    spread = gaps * sums.square - sums.gap**2
    found["mean_gap_days"] = sums.gap / gaps
    found["sd_gap_days"] = np.sqrt(spread / (gaps * (gaps - 1)).replace(0, np.nan))
    found["recency_to_gap"] = recency * gaps / (sums.gap.replace(0, np.nan) * DAY)
    found["repeat_spend_mean"] = sums["repeat"] / (gaps * 100)
    return found


def compared(settings: Settings, cutoffs: list[datetime]) -> tuple[int, int]:
    """(values compared, values that differ by more than a billionth)."""
    values = different = 0
    fields = list(customer_activity.VIEW.fields)
    for cutoff in cutoffs:
        path = folder(settings, customer_activity.VIEW.name, cutoff) / "part.parquet"
        ours = pd.read_parquet(path).set_index("customer_id")[fields].astype("float64")
        theirs = pd.read_parquet(settings.home / f"{cutoff:%Y-%m-%d}.parquet")[fields].astype("float64")
        theirs = theirs.set_axis(theirs.index.astype(str)).reindex(ours.index)
        equal = np.isclose(ours.to_numpy(), theirs.to_numpy(), rtol=1e-9, atol=1e-9, equal_nan=True)
        values, different = values + equal.size, different + int((~equal).sum())
    return values, different


def report(rows: list[tuple[Any, ...]], different: int) -> None:
    """The one table."""
    from rich.console import Console

    out = Console()
    out.print(f"Machine: {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    out.print(f"Data: Online Retail as it is and {COPIES[-1]} times over, {CUTOFFS} cutoffs")
    out.print(f"Protocol: lake to Parquet, {ROUNDS} rounds in turn; DuckDB has 2 threads")
    columns = ["customer_activity", "lines", "min s", "median s", "max s", "pandas is 1", "values"]
    out.print(console.table("Feature build", columns, rows))
    out.print(f"{different:,} values differ.")


if __name__ == "__main__":
    sys.exit(main())
