"""Products bought by the same customers, or in the same orders: cosine with shrinkage.

Source of the cosine and the shrinkage: Sarwar et al. 2001; Bell & Koren 2007, section 3.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from patron.models.base import DAY, Interactions
from patron.models.catalogue import Catalogue
from patron.models.neighbours import HistoryWeights, NeighbourModel, Row, nearest, products_of
from patron.models.products import decay


class ItemItemConfig(HistoryWeights):
    basket: Literal["customer", "order"] = "customer"
    """What two products must share: a customer (taste) or an order (bought together)."""
    neighbours: int = 200
    """Most similar products kept for each product."""
    shrinkage: float = 10.0
    """Added to the denominator, so that products with few buyers need more shared ones."""
    min_buyers: int = 3
    """Products with fewer customers (or orders) than this are nobody's neighbour."""
    fit_half_life_days: float = 90.0
    """A purchase this old counts half when similarities are computed; 0: all count alike."""
    half_life_days: float = 60.0
    count_weight: float = 1.0


class ItemItem(NeighbourModel):
    Config = ItemItemConfig
    config: ItemItemConfig

    def fit(
        self,
        interactions: Interactions,
        catalogue: Catalogue | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        """Compute the neighbours block by block. `seed` and `threads` are not needed."""
        baskets = last_purchases(interactions, self.config.basket, self.config.fit_half_life_days)
        eligible = np.flatnonzero(np.diff(baskets.indptr) >= self.config.min_buyers)
        baskets = baskets[:, eligible]
        norms = np.sqrt(np.asarray(baskets.multiply(baskets).sum(axis=0)).ravel()).astype(np.float32)
        shared = products_of(baskets.T.tocsr(), baskets.tocsr())
        rows = [self._similar(product, row, norms) for product, row in shared]
        self._keep(interactions.product_ids, eligible, rows)

    def _similar(self, product: int, row: Row, norms: NDArray[np.float32]) -> Row:
        others, shared = row
        similarity = shared / (norms[product] * norms[others] + np.float32(self.config.shrinkage))
        similarity[others == product] = 0
        return nearest(others, similarity, self.config.neighbours)


def last_purchases(
    interactions: Interactions, basket_of: Literal["customer", "order"], half_life_days: float
) -> sparse.csc_matrix:
    """Basket x product, 1 (or the decayed weight of the last purchase) where bought; guests only by order."""
    basket = interactions.customer if basket_of == "customer" else interactions.order
    known = basket >= 0
    basket, product = basket[known], interactions.product[known]
    shape = (int(basket.max(initial=-1)) + 1, len(interactions.product_ids))
    pairs, inverse = np.unique(basket * max(shape[1], 1) + product, return_inverse=True)
    last = np.zeros(len(pairs), dtype=np.int64)
    np.maximum.at(last, inverse, interactions.at[known])
    weight = decay((interactions.as_of - last) / DAY, half_life_days).astype(np.float32)
    rows, columns = np.divmod(pairs, max(shape[1], 1))
    return sparse.csc_matrix((weight, (rows, columns)), shape=shape)
