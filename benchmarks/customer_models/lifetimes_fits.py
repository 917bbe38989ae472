"""The models of `lifetimes` without penalties, as `timed` asks for them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import lifetimes

VERSION = version("lifetimes")


def purchases(family: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda data: family(penalizer_coef=0.0).fit(data["x"], data["t_x"], data["T"])


def spend(data: dict[str, Any]) -> Any:
    some = data["x"] > 0
    return lifetimes.GammaGammaFitter(penalizer_coef=0.0).fit(data["x"][some], data["mean"][some])


FITS = {
    "BG/NBD": purchases(lifetimes.BetaGeoFitter),
    "MBG/NBD": purchases(lifetimes.ModifiedBetaGeoFitter),
    "Pareto/NBD": purchases(lifetimes.ParetoNBDFitter),
    "Gamma-Gamma": spend,
}


def told(name: str, fitted: Any, data: dict[str, Any], weeks: float) -> tuple[dict[str, float], Any]:
    if name == "Gamma-Gamma":
        return dict(fitted.params_), None
    ask = fitted.conditional_expected_number_of_purchases_up_to_time
    return dict(fitted.params_), ask(weeks, data["x"], data["t_x"], data["T"])
