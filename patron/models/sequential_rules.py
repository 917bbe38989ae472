"""What is bought after what: directed rules between products, weighted by how many orders lie between.

Source: sequential rules of Ludewig & Jannach 2018, section 3.1.3, with backward edges and a popularity
normalisation as for item-to-item similarities.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from patron.models.base import Interactions
from patron.models.catalogue import Catalogue
from patron.models.neighbours import HistoryWeights, NeighbourModel, Row, nearest, products_of


class SequentialRulesConfig(HistoryWeights):
    window: int = 10
    """Orders of one customer at most this far apart make rules; 1: only the next order."""
    backward: float = 0.3
    """Weight of later -> earlier against earlier -> later."""
    together: float = 1.0
    """Weight of two products in one order, both ways; two in successive orders have 1."""
    source_exponent: float = 0.7
    """A rule is divided by this power of the number of buyers of the product that it starts from."""
    target_exponent: float = 0.3
    """The same for the product that it leads to: 0 favours the popular, 1 the rare."""
    neighbours: int = 200
    """Strongest rules kept for each product."""
    min_customers: int = 1
    """Products with fewer buyers than this take no part."""
    history_decay: float = 0.6


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
        orders, sequence = _orders(interactions)
        buyers = _buyers(orders, sequence)
        eligible = np.flatnonzero(buyers >= max(self.config.min_customers, 1))
        orders = orders[:, eligible]
        pairs = products_of((orders.T @ self._links(sequence)).tocsr(), orders)
        rows = (self._rules(product, row, buyers[eligible]) for product, row in pairs)
        self._keep(
            interactions.product_ids,
            eligible,
            [(eligible[found].astype(np.int32), values) for found, values in rows],
        )

    def _links(self, sequence: NDArray[np.int64]) -> sparse.csr_matrix:
        """Order x order: weight of a rule from a product of the one to a product of the other."""
        size = len(sequence)
        forward = sparse.csr_matrix((size, size), dtype=np.float32)
        for distance in range(1, min(self.config.window, size - 1) + 1):
            earlier = np.flatnonzero(sequence[distance:] == sequence[:-distance])
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


def _orders(interactions: Interactions) -> tuple[sparse.csr_matrix, NDArray[np.int64]]:
    """Order x product, 1 where bought, by customer and time; and each order's customer.

    What one customer bought at one time is one order.
    """
    guests = int(interactions.customer.max(initial=-1)) + 1
    customer = np.where(interactions.customer >= 0, interactions.customer, guests + interactions.order)
    lines = np.lexsort((interactions.product, interactions.at, customer))
    customer, at, product = customer[lines], interactions.at[lines], interactions.product[lines]
    new = np.ones(len(lines), dtype=bool)
    new[1:] = (customer[1:] != customer[:-1]) | (at[1:] != at[:-1])
    order = np.cumsum(new) - 1
    first = new.copy()
    first[1:] |= product[1:] != product[:-1]
    shape = (int(new.sum()), len(interactions.product_ids))
    ones = np.ones(int(first.sum()), dtype=np.float32)
    return sparse.csr_matrix((ones, (order[first], product[first])), shape=shape), customer[new]


def _buyers(orders: sparse.csr_matrix, sequence: NDArray[np.int64]) -> NDArray[np.int64]:
    """Distinct customers of each product."""
    customer = np.unique(sequence, return_inverse=True)[1]
    line = np.repeat(customer, np.diff(orders.indptr))
    size = orders.shape[1]
    bought = np.unique(line * max(size, 1) + orders.indices)
    return np.bincount(bought % max(size, 1), minlength=size)
