"""What the numbers of products say of their course: which are new, and which sell faster than usual."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patron.models.ranking_features import ProductNumbers

NEW_DAYS = 28.0
"""A product counts as new for so long after it first sold."""
USUAL_BUYERS = 5.0
"""Buyers a week that a product's own pace is shrunk to, so that one buyer more is not a trend."""


def newcomers(numbers: ProductNumbers) -> NDArray[np.bool_]:
    """Products that never sold, or only since NEW_DAYS, shape (n_products,)."""
    age = numbers.columns["age_days"]
    return np.isnan(age) | (age <= NEW_DAYS)


def rising(numbers: ProductNumbers) -> NDArray[np.int64]:
    """Positions of products with more buyers this week than a usual week of the last four, the most first."""
    week, usual = numbers.columns["buyers_7d"], numbers.columns["buyers_28d"] / 4
    pace = (week + USUAL_BUYERS) / (usual + USUAL_BUYERS)
    found = np.flatnonzero(pace > 1)
    return found[np.lexsort((found, -week[found], -pace[found]))]
