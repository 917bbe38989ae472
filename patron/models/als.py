"""Matrix factorisation of implicit feedback by alternating least squares.

Sources: Hu, Koren & Volinsky 2008, equations 4 and 5; Rendle, Krichene, Zhang & Koren 2021, for a penalty
that grows with the purchases of a customer or product. Solved by `implicit`; only the products' factors are
kept, and a customer is solved for from the history at hand, so an artifact knows no customers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from patron.models.asked import Asked
from patron.models.base import DAY, Config, CustomerHistory, Interactions, Recommender
from patron.models.by_length import ByLength, Nearest
from patron.models.catalogue import Catalogue
from patron.models.products import ProductIndex, decay, read_arrays, read_config, write_arrays


class ALSConfig(Config):
    factors: int = 64
    """Length of a product's vector."""
    regularization: float = 0.1
    """Ridge penalty on the vector of a customer who bought one product, or of a product with one buyer."""
    regularization_exponent: float = 1.0
    """Power of the number of products, or buyers, that it grows with: 0 the same for all, 1 in proportion."""
    alpha: float = 3.0
    """Weight of a purchase against the absence of one."""
    iterations: int = 16
    """Passes over customers and products."""
    confidence: Literal["log", "bm25", "one"] = "log"
    """What times bought turn into: 1 + their logarithm, BM25 weights, or 1."""
    half_life_days: float = 60.0
    """A product last bought this long ago weighs half; 0: all weigh alike."""


BM25_K1 = 1.2
BM25_B = 0.75
PENALTY_LEVELS = 8
"""Rows whose penalties are about the same are solved with their mean: each level costs a pass of its own."""


class ALS(Recommender):
    Config = ALSConfig

    def __init__(self, config: ALSConfig | None = None) -> None:
        self.config = config or ALSConfig()
        self.product_ids: NDArray[np.str_] = np.zeros(0, dtype="U1")
        self.products = ByLength.of(np.zeros((0, self.config.factors), dtype=np.float32))
        self.item_weights: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self.mean_length = 1.0

    @cached_property
    def index(self) -> ProductIndex:
        return ProductIndex(self.product_ids)

    @cached_property
    def _gram(self) -> NDArray[np.float64]:
        factors = self.products.vectors.astype(np.float64)
        return factors.T @ factors

    @property
    def item_factors(self) -> NDArray[np.float32]:
        """A copy of the products' vectors, in the order of `product_ids`."""
        return self.factors_of(np.arange(len(self.products.order)))

    @item_factors.setter
    def item_factors(self, factors: NDArray[np.float32]) -> None:
        self.products = ByLength.of(factors)
        self.__dict__.pop("_gram", None)

    def factors_of(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors of some products, shape (len(positions), factors)."""
        return self.products.of_products(positions)

    def fit(
        self,
        interactions: Interactions,
        catalogue: Catalogue | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        """Factorise orders by customer and product. Same seed, same factors; guests' lines are left out."""
        self.product_ids = interactions.product_ids
        self.__dict__.pop("index", None)
        counts, days = _order_counts(interactions)
        self._learn_weights(counts)
        if counts.nnz == 0:
            self.item_factors = np.zeros((counts.shape[1], self.config.factors), dtype=np.float32)
            return
        self.item_factors = self._factorise(self._confidences(counts, days), seed, threads)

    def _factorise(self, confidences: sparse.csr_matrix, seed: int, threads: int) -> NDArray[np.float32]:
        # Imported before the limit is set: it holds only for libraries that are loaded by then.
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        customers, products, order = self._sides(confidences, seed)
        # implicit threads over rows itself; a BLAS that threads as well makes it many times slower.
        with threadpool_limits(1, user_api="blas"):
            solve = AlternatingLeastSquares(factors=self.config.factors, num_threads=threads).solver
            for _ in range(self.config.iterations):
                customers.solve(solve, products.factors, threads)
                products.solve(solve, customers.factors, threads)
        factors = np.empty_like(products.factors)
        factors[order] = products.factors
        return factors

    def _sides(self, confidences: sparse.csr_matrix, seed: int) -> tuple[_Side, _Side, NDArray[np.int64]]:
        """Customers and products, each by rising penalty; and the positions of the products in that order."""
        of_customers = self._penalty(np.diff(confidences.indptr))
        of_products = self._penalty(np.bincount(confidences.indices, minlength=confidences.shape[1]))
        rows, columns = (np.argsort(each, kind="stable") for each in (of_customers, of_products))
        ordered = confidences[rows][:, columns].tocsr()
        draw = np.random.default_rng(seed)
        first, second = (
            draw.random((size, self.config.factors), dtype=np.float32) * np.float32(0.01)
            for size in confidences.shape
        )
        customers = _Side.of(ordered, of_customers[rows], first[rows])
        return customers, _Side.of(ordered.T.tocsr(), of_products[columns], second[columns]), columns

    def _penalty(self, entries: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of rows with so many entries; an empty one counts as having one."""
        scale: NDArray[np.float64] = np.maximum(entries, 1.0) ** self.config.regularization_exponent
        return self.config.regularization * scale

    def _learn_weights(self, counts: sparse.csr_matrix) -> None:
        """Inverse document frequency and mean length, which BM25 needs and fold-in has to repeat."""
        customers = counts.shape[0]
        buyers = np.bincount(counts.indices, minlength=counts.shape[1])
        bm25 = self.config.confidence == "bm25"
        rarity = np.log1p(customers / (buyers + 1.0)) if bm25 else np.ones(len(buyers))
        self.item_weights = rarity.astype(np.float32)
        self.mean_length = float(counts.sum() / max(customers, 1)) or 1.0

    def _confidences(self, counts: sparse.csr_matrix, days: NDArray[np.float64]) -> sparse.csr_matrix:
        lengths = np.repeat(np.asarray(counts.sum(axis=1)).ravel(), np.diff(counts.indptr))
        data = self._confidence(counts.data, days, counts.indices, lengths).astype(np.float32)
        return sparse.csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape)

    def _confidence(
        self,
        times: NDArray[np.float64],
        days: NDArray[np.float64],
        positions: NDArray[np.int64],
        lengths: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Weight of each purchase; the same at fitting and when a customer is folded in."""
        weight = self.config.alpha * decay(days, self.config.half_life_days)
        if self.config.confidence == "one":
            return weight
        if self.config.confidence == "log":
            return weight * (1 + np.log(times))
        penalty = BM25_K1 * (1 - BM25_B + BM25_B * lengths / self.mean_length)
        return weight * self.item_weights[positions] * times * (BM25_K1 + 1) / (times + penalty)

    def customer_factors(self, history: CustomerHistory) -> NDArray[np.float32]:
        """The vector that ALS gives a customer with this history, shape (factors,); zeros without one."""
        positions = self.index.positions(history.product_ids)
        known = positions >= 0
        positions, times = positions[known], np.maximum(history.times_bought[known], 1).astype(np.float64)
        if len(positions) == 0:
            return np.zeros(self.products.vectors.shape[1], dtype=np.float32)
        lengths = np.full(len(times), times.sum())
        confidence = self._confidence(times, history.days_since[known], positions, lengths)
        bought = self.factors_of(positions).astype(np.float64)
        left = (bought.T * (confidence - 1)) @ bought
        left += self._gram
        left.flat[:: len(left) + 1] += self._penalty(np.asarray(len(times)))
        return np.linalg.solve(left, bought.T @ confidence).astype(np.float32)

    def scores(self, history: CustomerHistory) -> NDArray[np.float32]:
        """Predicted preference: about 1 for what the customer surely likes, about 0 for what not."""
        return self.item_factors @ self.customer_factors(history)

    def asked(self, history: CustomerHistory) -> Asked:
        return Nearest(self.products, self.customer_factors(history))

    def save(self, folder: Path) -> None:
        write_arrays(
            folder,
            self.config,
            product_ids=self.product_ids,
            item_factors=self.item_factors,
            item_weights=self.item_weights,
            mean_length=np.asarray(self.mean_length),
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(read_config(folder, ALSConfig))
        stored = read_arrays(folder)
        model.product_ids, model.item_factors = stored["product_ids"], stored["item_factors"]
        model.item_weights, model.mean_length = stored["item_weights"], float(stored["mean_length"])
        return model


@dataclass(frozen=True)
class _Side:
    """The customers, or the products, by rising penalty: their factors, and blocks to be solved in turn."""

    factors: NDArray[np.float32]
    blocks: list[tuple[slice, sparse.csr_matrix, float]]
    """Rows, their confidences (columns are the other side's rows), and the penalty of all of them."""

    @classmethod
    def of(
        cls, confidences: sparse.csr_matrix, penalties: NDArray[np.float64], factors: NDArray[np.float32]
    ) -> _Side:
        starts = _level_starts(penalties)
        blocks = [
            (slice(start, end), confidences[start:end], float(penalties[start:end].mean()))
            for start, end in zip(starts, [*starts[1:], len(penalties)], strict=True)
        ]
        return cls(factors, blocks)

    def solve(self, solver: Callable[..., Any], other: NDArray[np.float32], threads: int) -> None:
        """Change the factors to what fits the other side best, up to a few conjugate gradient steps."""
        for rows, confidences, penalty in self.blocks:
            solver(confidences, self.factors[rows], other, penalty, num_threads=threads)


def _level_starts(penalties: NDArray[np.float64]) -> list[int]:
    """Where each level begins, of rising penalties cut into PENALTY_LEVELS of equal ratio."""
    if penalties[0] == penalties[-1]:
        return [0]
    ratios = np.log(penalties / penalties[0])
    levels = np.floor(ratios / ratios[-1] * PENALTY_LEVELS).clip(max=PENALTY_LEVELS - 1)
    return [int(each) for each in np.flatnonzero(np.diff(levels, prepend=-1))]


def _order_counts(interactions: Interactions) -> tuple[sparse.csr_matrix, NDArray[np.float64]]:
    """Customer x product: in how many orders; and for each entry the days since the last of them.

    A product twice in one order counts once.
    """
    known = interactions.customer >= 0
    order, product = interactions.order[known], interactions.product[known]
    size = len(interactions.product_ids)
    _, first = np.unique(order * max(size, 1) + product, return_index=True)
    pairs = interactions.customer[known][first] * max(size, 1) + product[first]
    pairs, entry, times = np.unique(pairs, return_inverse=True, return_counts=True)
    last = np.zeros(len(pairs), dtype=np.int64)
    np.maximum.at(last, entry, interactions.at[known][first])
    customer, column = np.divmod(pairs, max(size, 1))
    rows = int(customer.max(initial=-1)) + 1
    starts = np.concatenate([[0], np.cumsum(np.bincount(customer, minlength=rows))])
    counts = sparse.csr_matrix((times.astype(np.float64), column, starts), shape=(rows, size))
    return counts, (interactions.as_of - last) / DAY
