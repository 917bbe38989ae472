"""What is bought after what: directed rules between products, weighted by how many orders lie between.

Source: sequential rules of Ludewig & Jannach 2018, section 3.1.3, with backward edges and a popularity
normalisation as for item-to-item similarities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from patron.models.base import DAY, Interactions
from patron.models.catalogue import Catalogue
from patron.models.neighbours import HistoryWeights, NeighbourModel, Row, nearest, products_of
from patron.models.products import decay


class SequentialRulesConfig(HistoryWeights):
    window: int = 10
    """Orders of one customer at most this far apart make rules; 1: only the next order."""
    backward: float = 0.3
    """Weight of later -> earlier against earlier -> later."""
    together: float = 10.0
    """Weight of two products in one order, both ways; two in successive orders have 1."""
    source_exponent: float = 0.5
    """A rule is divided by this power of the number of buyers of the product that it starts from."""
    target_exponent: float = 0.2
    """The same for the product that it leads to: 0 favours the popular, 1 the rare."""
    neighbours: int = 200
    """Strongest rules kept for each product."""
    min_customers: int = 1
    """Products with fewer buyers than this take no part."""
    size_exponent: float = 0.75
    """An order's products count less by this power of its number of products; 0: all count alike."""
    fit_half_life_days: float = 60.0
    """A rule between orders this old counts half; 0: all count alike."""
    history_decay: float = 0.6
    half_life_days: float = 60.0
    count_weight: float = 1.0


class SequentialRules(NeighbourModel):
    """w_ij / (d_i^a * d_j^b), w the sum of 1 / distance over the pairs of orders and d the buyers."""

    Config = SequentialRulesConfig
    config: SequentialRulesConfig

    def fit(
        self,
        interactions: Interactions,
        catalogue: Catalogue | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        """Sum up the pairs product by product. An order of a guest is a sequence of its own.

        `seed` and `threads` are not needed.
        """
        orders = Orders.of(interactions)
        buyers = orders.buyers()
        eligible = np.flatnonzero(buyers >= max(self.config.min_customers, 1))
        bought = self._weighted(orders, interactions.as_of)[:, eligible]
        pairs = products_of((bought.T @ self._links(orders.customer)).tocsr(), bought)
        rows = (self._rules(product, row, buyers[eligible]) for product, row in pairs)
        self._keep(interactions.product_ids, eligible, rows)

    def _weighted(self, orders: Orders, as_of: int) -> sparse.csr_matrix:
        """Order x product: the weight that two orders multiply to that of a rule between them."""
        sizes = np.diff(orders.bought.indptr)
        age = (as_of - orders.at) / DAY
        weight = sizes**-self.config.size_exponent * np.sqrt(decay(age, self.config.fit_half_life_days))
        return (sparse.diags(weight.astype(np.float32)) @ orders.bought).tocsr()

    def _links(self, customer: NDArray[np.int64]) -> sparse.csr_matrix:
        """Order x order: weight of a rule from a product of the one to a product of the other."""
        size = len(customer)
        forward = sparse.csr_matrix((size, size), dtype=np.float32)
        for distance in range(1, min(self.config.window, size - 1) + 1):
            earlier = np.flatnonzero(customer[distance:] == customer[:-distance])
            weight = np.full(len(earlier), 1 / distance, dtype=np.float32)
            forward += sparse.csr_matrix((weight, (earlier, earlier + distance)), shape=(size, size))
        own = self.config.together * sparse.identity(size, dtype=np.float32, format="csr")
        return (forward + self.config.backward * forward.T + own).tocsr().astype(np.float32)

    def _rules(self, product: int, row: Row, buyers: NDArray[np.int64]) -> Row:
        others, weight = row
        source = buyers[product] ** -self.config.source_exponent
        strength = (weight * source * buyers[others] ** -self.config.target_exponent).astype(np.float32)
        strength[others == product] = 0
        return nearest(others, strength, self.config.neighbours)


@dataclass(frozen=True)
class Orders:
    """What each customer bought at each time, by customer and time. A guest's order has its own customer."""

    bought: sparse.csr_matrix
    """Order x product, 1 where bought."""
    customer: NDArray[np.int64]
    at: NDArray[np.int64]
    """Epoch seconds. What one customer bought at one time is one order."""

    @classmethod
    def of(cls, interactions: Interactions) -> Orders:
        guests = int(interactions.customer.max(initial=-1)) + 1
        customer = np.where(interactions.customer >= 0, interactions.customer, guests + interactions.order)
        lines = np.lexsort((interactions.product, interactions.at, customer))
        customer, at, product = customer[lines], interactions.at[lines], interactions.product[lines]
        new = np.ones(len(lines), dtype=bool)
        new[1:] = (customer[1:] != customer[:-1]) | (at[1:] != at[:-1])
        first = new.copy()
        first[1:] |= product[1:] != product[:-1]
        ones = np.ones(int(first.sum()), dtype=np.float32)
        cells = ((np.cumsum(new) - 1)[first], product[first])
        shape = (int(new.sum()), len(interactions.product_ids))
        return cls(sparse.csr_matrix((ones, cells), shape=shape), customer[new], at[new])

    def buyers(self) -> NDArray[np.int64]:
        """Distinct customers of each product."""
        customer = np.unique(self.customer, return_inverse=True)[1]
        line, size = np.repeat(customer, np.diff(self.bought.indptr)), max(self.bought.shape[1], 1)
        pairs = np.unique(line * size + self.bought.indices)
        return np.bincount(pairs % size, minlength=self.bought.shape[1])
