"""Tables and bars of scoring and of parity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from patron import console

SECONDS, MEMORY_MB = 60.0, 4096.0
BAR_CUSTOMERS = 99_000
"""Of a hundred thousand who were made; those who never ordered have no row."""
TOLERANCE = 1e-6
Bar = dict[str, Any]


def scoring(found: dict[str, Any]) -> Iterator[Any]:
    yield (
        f"Data: a seeded shop, {found['customers']:,} customers of its newest snapshot; {found['columns']} "
        f"columns a customer; without {', '.join(found['missing']) or 'nothing'}"
    )
    yield (
        "Protocol: a new process each, start and imports counted, in turn, the run of median CPU time; 2 "
        "threads at most. The loop scores with the same trees and says less: see customer_models/plain.py"
    )
    columns = ["scoring", "wall s", "CPU s", "customers a CPU second", "peak MB", "Patron / it, CPU", "wall"]
    yield console.table("Scoring, end to end", columns, [scored(each, found) for each in found["rows"]])
    for name, problem in found["skipped"].items():
        yield f"Not run: {name}: {problem}"


def scored(row: dict[str, Any], found: dict[str, Any]) -> list[Any]:
    return [
        row["by"],
        f"{row['wall']:,.1f}",
        f"{row['cpu']:,.1f}",
        f"{found['customers'] / row['cpu']:,.0f}",
        f"{row['memory_mb']:,.0f}",
        *(f"{row['ratio'][clock]:.2f}" if row["ratio"] else None for clock in ("cpu", "wall")),
    ]


def scoring_bars(found: dict[str, Any]) -> Iterator[Bar]:
    ours = found["rows"][0]
    enough = found["customers"] >= BAR_CUSTOMERS
    size = "" if enough else f" with {found['customers']:,} customers only"
    reached = f"{ours['wall']:.1f} s{size}"
    yield {
        "bar": "100,000 customers in at most 60 s",
        "reached": reached,
        "met": ours["wall"] <= SECONDS and enough,
    }
    memory = ours["memory_mb"]
    yield {"bar": "peak memory at most 4 GiB", "reached": f"{memory:,.0f} MB", "met": memory <= MEMORY_MB}


def parity(found: dict[str, Any]) -> Iterator[Any]:
    yield (
        f"Data: {found['customers']:,} random customers of the same shop; rows of `patron score`, answers of "
        "the service over HTTP"
    )
    columns = ["batch and HTTP", "values", "largest difference", "unequal"]
    rows = [
        [each["field"], each["values"], f"{each['largest']:.1e}", each["unequal"]] for each in found["fields"]
    ]
    yield console.table("Batch rows and the answers of the service", columns, rows)
    features = found["features"]
    yield (
        f"Offline and online features: {features['values']:,} values of {features['customers']:,} customers, "
        f"{sum(features['differences'].values()):,} different"
    )


def parity_bars(found: dict[str, Any]) -> Iterator[Bar]:
    unequal = sum(each["unequal"] for each in found["fields"])
    largest = max(each["largest"] for each in found["fields"])
    reached = f"{unequal} unequal, at most {largest:.1e} apart"
    yield {"bar": "batch rows are the answers of HTTP to 1e-6", "reached": reached, "met": not unequal}
    different = sum(found["features"]["differences"].values())
    yield {
        "bar": "offline features are the online ones",
        "reached": f"{different} different",
        "met": not different,
    }
