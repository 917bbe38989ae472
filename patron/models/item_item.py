"""Products bought by the same customers, or in the same orders: cosine with shrinkage.

Source of the cosine and the shrinkage: Sarwar et al. 2001; Bell & Koren 2007, section 3.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from patron.models.base import DAY, Config, CustomerHistory, Interactions, Recommender
from patron.models.catalogue import Catalogue
from patron.models.products import ProductIndex, decay, read_arrays, read_config, write_arrays

BLOCK_CELLS = 20_000_000
"""Similarities held at once while fitting; bounds memory to some 500 MB."""


class ItemItemConfig(Config):
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
    """A product last bought this long ago counts half in a customer's history; 0: all count alike."""
    count_weight: float = 1.0
    """Weight of the logarithm of the times bought in a customer's history; 0: bought is bought."""


class ItemItem(Recommender):
    """Each product's neighbours in compressed rows; a history's score is the weighted sum of its rows."""

    Config = ItemItemConfig

    def __init__(self, config: ItemItemConfig | None = None) -> None:
        self.config = config or ItemItemConfig()
        self.product_ids: NDArray[np.str_] = np.zeros(0, dtype="U1")
        self.starts: NDArray[np.int64] = np.zeros(1, dtype=np.int64)
        self.neighbours: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self.similarities: NDArray[np.float32] = np.zeros(0, dtype=np.float32)

    @cached_property
    def index(self) -> ProductIndex:
        return ProductIndex(self.product_ids)

    def fit(
        self,
        interactions: Interactions,
        catalogue: Catalogue | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        """Compute the neighbours block by block. `seed` and `threads` are not needed."""
        self.product_ids = interactions.product_ids
        self.__dict__.pop("index", None)
        baskets = self._incidence(interactions)
        buyers = np.diff(baskets.indptr)
        eligible = np.flatnonzero(buyers >= self.config.min_buyers)
        rows = self._rows(baskets[:, eligible], eligible)
        sizes = np.zeros(len(self.product_ids), dtype=np.int64)
        sizes[eligible] = [len(found) for found, _ in rows]
        self.starts = np.concatenate([[0], np.cumsum(sizes)])
        self.neighbours = np.concatenate([found for found, _ in rows] or [self.neighbours[:0]])
        self.similarities = np.concatenate([value for _, value in rows] or [self.similarities[:0]])

    def _incidence(self, interactions: Interactions) -> sparse.csc_matrix:
        """Basket x product, 1 (or the decayed weight of the last purchase) where bought."""
        by_customer = self.config.basket == "customer"
        basket = interactions.customer if by_customer else interactions.order
        known = basket >= 0
        basket, product = basket[known], interactions.product[known]
        shape = (int(basket.max(initial=-1)) + 1, len(self.product_ids))
        pairs, inverse = np.unique(basket * max(shape[1], 1) + product, return_inverse=True)
        last = np.zeros(len(pairs), dtype=np.int64)
        np.maximum.at(last, inverse, interactions.at[known])
        weight = decay((interactions.as_of - last) / DAY, self.config.fit_half_life_days).astype(np.float32)
        rows, columns = np.divmod(pairs, max(shape[1], 1))
        return sparse.csc_matrix((weight, (rows, columns)), shape=shape)

    def _rows(
        self, baskets: sparse.csc_matrix, eligible: NDArray[np.int64]
    ) -> list[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """For each eligible product its neighbours (catalogue positions, best first) and similarities."""
        norms = np.sqrt(np.asarray(baskets.multiply(baskets).sum(axis=0)).ravel()).astype(np.float32)
        by_basket, by_product = baskets.tocsr(), baskets.T.tocsr()
        step = max(1, BLOCK_CELLS // max(1, len(eligible)))
        rows = []
        for start in range(0, len(eligible), step):
            shared = (by_product[start : start + step] @ by_basket).tocsr()
            for offset in range(shared.shape[0]):
                cells = slice(shared.indptr[offset], shared.indptr[offset + 1])
                rows.append(
                    self._row(start + offset, shared.indices[cells], shared.data[cells], norms, eligible)
                )
        return rows

    def _row(
        self,
        product: int,
        others: NDArray[np.int32],
        shared: NDArray[np.float32],
        norms: NDArray[np.float32],
        eligible: NDArray[np.int64],
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        similarity = shared / (norms[product] * norms[others] + np.float32(self.config.shrinkage))
        similarity[others == product] = 0
        kept = min(self.config.neighbours, len(similarity))
        edge = np.partition(similarity, len(similarity) - kept)[len(similarity) - kept]
        best = np.flatnonzero((similarity >= edge) & (similarity > 0))
        best = best[np.lexsort((others[best], -similarity[best]))][:kept]  # ties: product order
        return eligible[others[best]].astype(np.int32), similarity[best]

    def scores(self, history: CustomerHistory) -> NDArray[np.float32]:
        """Weighted sum of the similarities to what was bought; a product is no neighbour of itself."""
        cells, weights = self._cells(history)
        contributions = self.similarities[cells] * weights
        total = np.bincount(self.neighbours[cells], contributions, minlength=len(self.product_ids))
        return total.astype(np.float32)

    def _weights(self, history: CustomerHistory) -> NDArray[np.float32]:
        counts = 1 + self.config.count_weight * np.log(np.maximum(history.times_bought, 1))
        return (counts * decay(history.days_since, self.config.half_life_days)).astype(np.float32)

    def _cells(self, history: CustomerHistory) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Indices into the compressed rows of the history's products, and each one's history weight."""
        cells, lengths, weights, _ = self._gather(history)
        return cells, np.repeat(weights, lengths)

    def _gather(
        self, history: CustomerHistory
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        positions = self.index.positions(history.product_ids)
        known = np.flatnonzero(positions >= 0)
        starts = self.starts[positions[known]]
        lengths = self.starts[positions[known] + 1] - starts
        before = np.cumsum(lengths) - lengths
        cells = np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
        return cells, lengths, self._weights(history)[known], known

    def strongest(self, history: CustomerHistory, position: int) -> str | None:
        """The product of the history that contributes most to the score of `position`; None if none does."""
        return self.strongest_each(history, np.asarray([position]))[0]

    def strongest_each(self, history: CustomerHistory, positions: NDArray[np.int64]) -> list[str | None]:
        """`strongest` for many positions at the cost of one."""
        cells, lengths, weights, known = self._gather(history)
        neighbours = self.neighbours[cells]
        contributions = self.similarities[cells] * np.repeat(weights, lengths)
        ends = np.cumsum(lengths)
        found: list[str | None] = []
        for position in positions.tolist():
            hits = np.flatnonzero(neighbours == position)
            if len(hits) == 0:
                found.append(None)
                continue
            best = hits[np.argmax(contributions[hits])]
            row = int(np.searchsorted(ends, best, side="right"))
            found.append(str(history.product_ids[known[row]]))
        return found

    def similar(self, product_id: str, limit: int) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
        """The product's neighbours, best first, and their similarities; empty for an unknown product."""
        positions, values = self.neighbours_of(product_id)
        return self.product_ids[positions[:limit]], values[:limit]

    def neighbours_of(self, product_id: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Positions of the neighbours, best first, and their similarities."""
        position = self.index.position(product_id)
        if position is None:
            return self.neighbours[:0], self.similarities[:0]
        cells = slice(self.starts[position], self.starts[position + 1])
        return self.neighbours[cells], self.similarities[cells]

    def save(self, folder: Path) -> None:
        write_arrays(
            folder,
            self.config,
            product_ids=self.product_ids,
            starts=self.starts,
            neighbours=self.neighbours,
            similarities=self.similarities,
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(read_config(folder, ItemItemConfig))
        stored = read_arrays(folder)
        model.product_ids, model.starts = stored["product_ids"], stored["starts"]
        model.neighbours, model.similarities = stored["neighbours"], stored["similarities"]
        return model
