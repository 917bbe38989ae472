"""Patron's buy-till-you-die models, as `timed` asks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import patron
from patron.models.btyd import BGNBD, MBGNBD, GammaGamma, ParetoNBD

VERSION = patron.__version__


def purchases(family: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda data: family.fit(data["x"], data["t_x"], data["T"])


FITS = {
    "BG/NBD": purchases(BGNBD),
    "MBG/NBD": purchases(MBGNBD),
    "Pareto/NBD": purchases(ParetoNBD),
    "Gamma-Gamma": lambda data: GammaGamma.fit(data["x"], data["mean"]),
}


def told(name: str, fitted: Any, data: dict[str, Any], weeks: float) -> tuple[dict[str, float], Any]:
    document = fitted.document()
    del document["log_likelihood"]
    if name == "Gamma-Gamma":
        return document, None
    return document, fitted.expected_purchases(weeks, data["x"], data["t_x"], data["T"])
