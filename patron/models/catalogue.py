"""The products that may be recommended: what they are called, cost, and whether they can be bought."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
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
FIELDS = {
    "title": "titles",
    "category": "categories",
    "brand": "brands",
    "price": "prices",
    "unit_cost": "costs",
    "in_stock": "in_stock",
    "visible": "visible",
}
"""Column of the contract -> array of the catalogue."""


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
            mask &= self._category_codes.isin(categories)
        if brands is not None:
            mask &= self._brand_codes.isin(brands)
        if min_price is not None:
            mask &= self.prices >= min_price
        if max_price is not None:
            mask &= self.prices <= max_price
        return mask

    def category_codes(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """A number for each product's category, -1 for none."""
        names = self._category_codes
        found = names.codes[positions]
        none = names.numbers.get("")
        return found if none is None else np.where(found == none, -1, found)

    @cached_property
    def _category_codes(self) -> Names:
        return Names.of(self.categories)

    @cached_property
    def _brand_codes(self) -> Names:
        return Names.of(self.brands)

    def changed(self, changes: Mapping[str, Mapping[str, Any]]) -> Catalogue:
        """The catalogue with other facts of some products; products that it does not hold are left out.

        changes: product id -> column of the contract -> value, None for what is not known.
        """
        rows = [
            (position, body)
            for product_id, body in changes.items()
            if (position := self.position(product_id)) is not None
        ]
        arrays = {
            name: _filled(
                getattr(self, name), [(row, body[field]) for row, body in rows if field in body], name
            )
            for field, name in FIELDS.items()
            if any(field in body for _, body in rows)
        }
        other = replace(self, **arrays)
        for cached, of in (("index", ""), ("_category_codes", "categories"), ("_brand_codes", "brands")):
            if of not in arrays:
                other.__dict__[cached] = getattr(self, cached)
        return other

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


@dataclass(frozen=True)
class Names:
    """Texts as numbers, so that a filter compares those. codes: shape (n,)."""

    numbers: dict[str, int]
    codes: NDArray[np.int64]

    @classmethod
    def of(cls, texts: NDArray[np.str_]) -> Names:
        distinct, codes = np.unique(texts, return_inverse=True)
        return cls({name: number for number, name in enumerate(distinct.tolist())}, codes)

    def isin(self, names: Collection[str]) -> NDArray[np.bool_]:
        """Which of the texts are among `names`, shape (n,)."""
        wanted = np.zeros(len(self.numbers), dtype=np.bool_)
        wanted[[self.numbers[each] for each in names if each in self.numbers]] = True
        return wanted[self.codes]


def _filled(array: NDArray[Any], values: list[tuple[int, Any]], name: str) -> NDArray[Any]:
    """A copy with these values at their positions; None is what is taken for unknown."""
    found = [UNKNOWN[name] if value is None else value for _, value in values]
    if name == "titles":  # one long text would make all of them as wide
        array = array.astype(object)
    elif array.dtype.kind == "U":  # a longer text would be cut to the width of the array
        array = array.astype(f"<U{max(array.dtype.itemsize // 4, *map(len, found), 1)}")
    else:
        array = array.copy()
    array[[row for row, _ in values]] = found
    return array
