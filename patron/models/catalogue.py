"""The products that may be recommended: what they are called, cost, and whether they can be bought."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from patron.errors import DataError
from patron.models.products import ProductIndex

UNKNOWN: dict[str, Any] = {
    "titles": "",
    "categories": "",
    "brands": "",
    "prices": np.nan,
    "costs": np.nan,
    "in_stock": True,
    "visible": True,
}
"""What is taken for a product of which only the id is known."""


@dataclass(frozen=True)
class Catalogue:
    """One entry a product, all arrays of shape (n,)."""

    product_ids: NDArray[np.str_]
    titles: NDArray[np.str_]
    categories: NDArray[np.str_]
    """"" for none, as for brands."""
    brands: NDArray[np.str_]
    prices: NDArray[np.float64]
    """In the shop's currency; NaN where unknown, as for costs."""
    costs: NDArray[np.float64]
    """What a unit costs the shop."""
    in_stock: NDArray[np.bool_]
    visible: NDArray[np.bool_]
    """False for postage, fees and vouchers: money, never recommended."""

    def __post_init__(self) -> None:
        lengths = {each.name: len(getattr(self, each.name)) for each in fields(self)}
        if len(set(lengths.values())) > 1:
            raise DataError(f"A catalogue needs one entry a product in every array; found {lengths}.")

    def __len__(self) -> int:
        return len(self.product_ids)

    @classmethod
    def of(cls, product_ids: NDArray[np.str_]) -> Catalogue:
        """A catalogue of which only the ids are known: everything visible and in stock."""
        size = len(product_ids)
        return cls(product_ids, **{name: np.full(size, value) for name, value in UNKNOWN.items()})

    @cached_property
    def index(self) -> ProductIndex:
        return ProductIndex(self.product_ids)

    def position(self, product_id: str) -> int | None:
        return self.index.position(product_id)

    def title(self, position: int) -> str:
        """Title for people; the id where there is none."""
        return str(self.titles[position]) or str(self.product_ids[position])

    @cached_property
    def available(self) -> NDArray[np.bool_]:
        """What may be recommended at all: visible and in stock."""
        return self.visible & self.in_stock

    def allowed(
        self,
        categories: Collection[str] | None = None,
        brands: Collection[str] | None = None,
        min_price: float | None = None,
        max_price: float | None = None,
        in_stock_only: bool = True,
    ) -> NDArray[np.bool_]:
        """Mask of the visible products that a filter lets through, shape (n,).

        A product without a price passes no price bound. None stands for 'no such filter'.
        """
        mask = self.available.copy() if in_stock_only else self.visible.copy()
        if categories is not None:
            mask &= np.isin(self.categories, list(categories))
        if brands is not None:
            mask &= np.isin(self.brands, list(brands))
        if min_price is not None:
            mask &= self.prices >= min_price
        if max_price is not None:
            mask &= self.prices <= max_price
        return mask

    def aligned(self, product_ids: NDArray[np.str_]) -> Catalogue:
        """The same facts in the order of `product_ids`; an id without facts is visible and in stock."""
        found = self.index.positions(product_ids)
        known = found >= 0

        def pick(name: str, default: Any) -> NDArray[Any]:
            column: NDArray[Any] = getattr(self, name)
            chosen = np.full(len(product_ids), default, dtype=column.dtype)
            chosen[known] = column[found[known]]
            return chosen

        return Catalogue(product_ids, **{name: pick(name, value) for name, value in UNKNOWN.items()})

    def save(self, folder: Path) -> None:
        arrays = {each.name: getattr(self, each.name) for each in fields(self)}
        np.savez(folder / "catalogue.npz", allow_pickle=False, **arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        with np.load(folder / "catalogue.npz", allow_pickle=False) as stored:
            return cls(**{name: stored[name] for name in stored.files})
