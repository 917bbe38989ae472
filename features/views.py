"""Every feature view of the project, and which of them each model's feature service offers."""

from __future__ import annotations

from features import (
    customer_activity,
    customer_brand_affinity,
    customer_browsing,
    customer_care,
    customer_category_affinity,
    customer_channel,
    customer_habits,
    customer_product_affinity,
    customer_profile,
    product_popularity,
    purchase_history,
)
from features.view import View
from patron.errors import FeatureError

VIEWS: tuple[View, ...] = (
    customer_activity.VIEW,
    purchase_history.VIEW,
    customer_product_affinity.VIEW,
    customer_category_affinity.VIEW,
    customer_brand_affinity.VIEW,
    customer_habits.VIEW,
    customer_care.VIEW,
    customer_channel.VIEW,
    customer_browsing.VIEW,
    customer_profile.VIEW,
    product_popularity.VIEW,
)

SERVICES: dict[str, tuple[str, ...]] = {
    "recommender": ("customer_product_affinity", "purchase_history", "customer_profile"),
    "churn": ("customer_activity",),
    "lifetime_value": ("customer_activity",),
    "portrait": (
        "customer_activity",
        "customer_habits",
        "customer_category_affinity",
        "customer_brand_affinity",
        "customer_channel",
    ),
    "replenishment": ("customer_product_affinity",),
    "offers": ("customer_activity", "customer_profile"),
    "profile": (
        "customer_activity",
        "customer_care",
        "customer_category_affinity",
        "customer_product_affinity",
        "customer_profile",
    ),
    "browsing": ("customer_browsing",),
    "popularity": ("product_popularity",),
}


def offered() -> dict[str, str]:
    """Feast reference -> type of every feature there is."""
    return {reference: kind for view in VIEWS for reference, kind in view.references.items()}


def named(name: str) -> View:
    """The view of that name. Raises FeatureError, naming those there are."""
    for view in VIEWS:
        if view.name == name:
            return view
    raise FeatureError(f"No feature view '{name}'. There are: {', '.join(view.name for view in VIEWS)}")


def split(references: list[str]) -> dict[str, list[str]]:
    """References grouped by view. Raises FeatureError for one that no view offers."""
    unknown = sorted(set(references) - set(offered()))
    if unknown:
        raise FeatureError(f"No feature {', '.join(unknown)}. See them all: patron features list")
    grouped: dict[str, list[str]] = {}
    for reference in references:
        view, _, field = reference.partition(":")
        grouped.setdefault(view, []).append(field)
    return grouped
