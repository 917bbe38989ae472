"""The models of pymc-marketing at their most probable parameters, as `timed` asks for them.

Its priors are its own, so that parameters differ from those of maximum likelihood. Forecasts are made from
them by Patron's formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pandas as pd
from pymc_marketing import clv

VERSION = version("pymc-marketing")
NAMES = {
    "BG/NBD": ("r", "alpha", "a", "b"),
    "MBG/NBD": ("r", "alpha", "a", "b"),
    "Pareto/NBD": ("r", "alpha", "s", "beta"),
    "Gamma-Gamma": ("p", "q", "v"),
}


def purchases(family: Any) -> Callable[[dict[str, Any]], Any]:
    def fit(data: dict[str, Any]) -> Any:
        columns = {"frequency": data["x"], "recency": data["t_x"], "T": data["T"]}
        return most_probable(family, pd.DataFrame({"customer_id": range(len(data["x"])), **columns}))

    return fit


def spend(data: dict[str, Any]) -> Any:
    some = data["x"] > 0
    columns = {"frequency": data["x"][some], "monetary_value": data["mean"][some]}
    return most_probable(
        clv.GammaGammaModel, pd.DataFrame({"customer_id": range(int(some.sum())), **columns})
    )


def most_probable(family: Any, table: pd.DataFrame) -> Any:
    model = family(data=table)
    model.fit(method="map", progressbar=False)
    return model


FITS = {
    "BG/NBD": purchases(clv.BetaGeoModel),
    "MBG/NBD": purchases(clv.ModifiedBetaGeoModel),
    "Pareto/NBD": purchases(clv.ParetoNBDModel),
    "Gamma-Gamma": spend,
}


def told(name: str, fitted: Any, data: dict[str, Any], weeks: float) -> tuple[dict[str, float], None]:
    found = fitted.fit_summary()
    return {each: float(found[each]) for each in NAMES[name]}, None
