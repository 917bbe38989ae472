"""What customer models read of browsing where a shop sends events: fields of `customer_browsing`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from patron.errors import FeatureError
from patron.models.activity import One, column, filled
from patron.models.base import FeatureRows

VIEW = "customer_browsing"
DAYS = 30
"""How far back the view looks: who did nothing in that time has no row in it."""
LAST = "days_since_event"
TYPES = {
    **dict.fromkeys(
        ("views_7d", "views_30d", "carts_7d", "carts_30d", "searches_7d", "searches_30d"), "Int64"
    ),
    LAST: "Float64",
}
"""Feature -> Feast type."""


def references(names: Iterable[str]) -> dict[str, str]:
    """Feast reference -> type, as a manifest lists them."""
    return {f"{VIEW}:{name}": TYPES[name] for name in names}


def numbers(rows: FeatureRows | One, names: Iterable[str]) -> dict[str, Any]:
    """The named features; without a row in the view 0 events, the last DAYS ago. Arrays or single numbers.

    Raises FeatureError for one that was not read.
    """
    found = {}
    for name in names:
        if name not in rows:
            raise FeatureError(
                f"The rows lack the feature {VIEW}:{name}. Read every feature of the manifest."
            )
        found[name] = filled(column(rows, name), float(DAYS) if name == LAST else 0.0)
    return found
