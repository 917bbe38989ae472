"""The last resort: a list of products that needs no model, no feature store and no event log."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from patron.files import publish_json
from patron.models.base import Reason, Recommendation
from patron.models.catalogue import FIELDS
from serving.shapes import ProductFilter

SIZE = 500
log = logging.getLogger(__name__)


class StaticProducts:
    """What was popular when a model was last loaded, with what filters ask about, in one small file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: list[dict[str, Any]] | None = None

    def keep(self, blend: Any, chosen: Collection[str] = ()) -> None:
        """Write down what is popular now, and the facts of what the shop itself has chosen for such times.

        A disk that refuses is no reason not to answer.
        """
        popular = [each.product_id for each in blend.popular(SIZE)]
        ids = [*popular, *(each for each in dict.fromkeys(chosen) if each not in popular)]
        known = [each for each in ids if blend.catalogue.position(each) is not None]
        found = [facts(blend.catalogue, each) for each in known]
        self._known = found
        try:
            publish_json(self.path, found)
        except OSError:
            log.warning("The list of last resort could not be written", exc_info=True)

    def products(self) -> list[dict[str, Any]]:
        if self._known is None:
            try:
                self._known = json.loads(self.path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                return []
        return self._known

    def page(
        self,
        limit: int,
        chosen: Sequence[str],
        wanted: ProductFilter,
        exclude: Collection[str],
        changes: Mapping[str, Mapping[str, Any]],
    ) -> list[Recommendation]:
        """chosen: the shop's own list, answered first. changes: what is known of products since."""
        known = {each["product_id"]: each for each in self.products()}
        order = [known.get(each, {"product_id": each}) for each in chosen] + list(known.values())
        current = [{**each, **changes.get(each["product_id"], {})} for each in order]
        left = {each["product_id"]: each for each in current if sellable(each) and passes(each, wanted)}
        ids = [each for each in left if each not in exclude][:limit]
        reason = Reason("popular", "Popular in this shop")
        return [Recommendation(each, 0.0, "static", [reason]) for each in ids]


def facts(catalogue: Any, product_id: str) -> dict[str, Any]:
    """What a filter may ask about a product, as JSON can hold it."""
    position = catalogue.position(product_id)
    found = {field: getattr(catalogue, array)[position].item() for field, array in FIELDS.items()}
    return {"product_id": product_id, **{k: None if v != v else v for k, v in found.items()}}


def sellable(product: Mapping[str, Any]) -> bool:
    return product.get("visible") is not False and product.get("in_stock") is not False


def passes(product: Mapping[str, Any], wanted: ProductFilter) -> bool:
    """Whether the filter lets it through; what is not known of it passes no bound."""
    price = product.get("price")
    return (
        (wanted.category is None or product.get("category") in wanted.category)
        and (wanted.brand is None or product.get("brand") in wanted.brand)
        and (wanted.min_price is None or (price is not None and price >= wanted.min_price))
        and (wanted.max_price is None or (price is not None and price <= wanted.max_price))
    )
