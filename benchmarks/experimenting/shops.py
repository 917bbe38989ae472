"""Customers to experiment on: what each spent in a window, and in the time before it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
START, BEFORE, AFTER = "2011-09-01", 56, 28
"""Online Retail: days before the start and after it."""


@dataclass(frozen=True)
class Shop:
    """Customers of one kind. outcome, before: shape (n,)."""

    name: str
    outcome: Floats
    before: Floats


def simulated(rng: np.random.Generator, units: int) -> Shop:
    """Customers who differ in rate (gamma) and basket (log-normal); half spend nothing in the window."""
    rate, basket = rng.gamma(1.2, 1.0, units), np.exp(rng.normal(3.0, 0.6, units))

    def spent(times: float) -> Floats:
        found: Floats = rng.poisson(rate * times) * basket * np.exp(rng.normal(0, 0.5, units))
        return found

    return Shop("simulated, revenue", spent(0.7), spent(2.0))


def real(folder: Path | None) -> list[Shop]:
    """Those whose file is there."""
    folder = folder or Path(os.environ.get("PATRON_TEST_DATA", "../shared/data"))
    found = []
    if (folder / "hillstrom.csv.gz").is_file():
        found += hillstrom(folder / "hillstrom.csv.gz")
    if (folder / "online_retail.csv.gz").is_file():
        found.append(online_retail(folder / "online_retail.csv.gz"))
    return found


def hillstrom(path: Path) -> list[Shop]:
    """Customers who got no e-mail: visits and spending of two weeks; before: spending of the past year."""
    import pandas as pd

    rows = pd.read_csv(path)
    rows = rows[rows.segment == "No E-Mail"]
    before = rows.history.to_numpy(np.float64)
    return [
        Shop(f"Hillstrom, {name}", rows[name].to_numpy(np.float64), before) for name in ("visit", "spend")
    ]


def online_retail(path: Path) -> Shop:
    """Known customers: money less returns in the days after the start, and in those before it."""
    import pandas as pd

    rows = pd.read_csv(path, usecols=["Quantity", "InvoiceDate", "UnitPrice", "CustomerID"])
    rows = rows.dropna(subset=["CustomerID"])
    day = (pd.to_datetime(rows.InvoiceDate) - pd.Timestamp(START)).dt.days
    paid = rows.Quantity * rows.UnitPrice
    known = sorted(rows.CustomerID[day < 0].unique())
    after = paid[(day >= 0) & (day < AFTER)].groupby(rows.CustomerID).sum()
    before = paid[(day < 0) & (day >= -BEFORE)].groupby(rows.CustomerID).sum()
    return Shop(
        "Online Retail, revenue",
        after.reindex(known, fill_value=0.0).to_numpy(np.float64),
        before.reindex(known, fill_value=0.0).to_numpy(np.float64),
    )
