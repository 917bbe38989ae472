"""A linear model of every product by all others, in closed form: EASE.

Source: Steck 2019, "Embarrassingly shallow autoencoders for sparse data", equation 8.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from patron.errors import DataError
from patron.models.base import Interactions
from patron.models.catalogue import Catalogue
from patron.models.item_item import last_purchases
from patron.models.neighbours import HistoryWeights, NeighbourModel, Row, nearest

BLOCK_ROWS = 256
"""Rows of the inverse, or customers of a dense Gram matrix, that are copied at once."""

BUFFER_ROWS = 4 * BLOCK_ROWS
"""Rows of the matrix that all buffers together take."""

DENSE_GAIN = 300
"""Multiplications of dense matrices in the time of one of sparse ones."""


class EASEConfig(HistoryWeights):
    regularization: float = Field(default=100.0, gt=0)
    """Ridge penalty, in customers: the larger, the less a few shared buyers say."""
    products: int = 4000
    """Only so many most bought products take part: time grows with the cube, memory with the square."""
    neighbours: int = 200
    """Largest positive weights kept for each product."""
    fit_half_life_days: float = 90.0
    """A purchase this old counts half when weights are computed; 0: all count alike."""
    max_memory_mb: int = 0
    """A matrix that needs more is refused; 0: what the machine has left."""
    half_life_days: float = 60.0
    count_weight: float = 1.0


class EASE(NeighbourModel):
    """B = I - P diag(1 / diag(P)), P = (G + regularization * I)^-1, G the products' shared customers."""

    Config = EASEConfig
    config: EASEConfig

    def fit(
        self,
        interactions: Interactions,
        catalogue: Catalogue | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        """Invert the products' Gram matrix; guests are left out, `seed` is not needed.

        Raises DataError where the matrix does not fit into memory.
        """
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        baskets = last_purchases(interactions, "customer", self.config.fit_half_life_days)
        chosen = _most_bought(baskets, self.config.products)
        require_memory(len(chosen), self.config.max_memory_mb * 1_000_000 or memory_left())
        with threadpool_limits(threads, user_api="blas"):
            matrix = gram(baskets[:, chosen].tocsr())
            np.fill_diagonal(matrix, np.diagonal(matrix) + self.config.regularization)
            inverse = inverted(matrix)
        rows = (nearest(*row, self.config.neighbours) for row in weights(inverse))
        self._keep(interactions.product_ids, chosen, rows)


def _most_bought(baskets: sparse.csc_matrix, limit: int) -> NDArray[np.int64]:
    """Positions of the products with most customers, rising; ties go to the first."""
    buyers = np.diff(baskets.indptr)
    chosen = np.argsort(-buyers, kind="stable")[:limit]
    return np.sort(chosen[buyers[chosen] > 0])


def require_memory(size: int, found: int) -> None:
    """Raises DataError where a matrix of `size` products needs more than `found` bytes."""
    needed = size * (size + BUFFER_ROWS) * 4
    if needed > found:
        fits = int(np.sqrt(BUFFER_ROWS**2 / 4 + found / 4) - BUFFER_ROWS / 2)
        raise DataError(
            f"EASE on {size} products needs {needed / 1e6:,.0f} MB of memory for their square matrix; "
            f"found {found / 1e6:,.0f} MB. Set `products` to {fits} or less."
        )


def memory_left() -> int:
    """Bytes that new work can have; all the machine's memory where the system does not tell."""
    facts = Path("/proc/meminfo")
    if facts.exists():
        lines = dict(line.split(":", 1) for line in facts.read_text().splitlines() if ":" in line)
        if "MemAvailable" in lines:
            return int(lines["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def gram(baskets: sparse.csr_matrix) -> NDArray[np.float32]:
    """`baskets.T @ baskets`, shape (products, products), in column order; its lower triangle is right."""
    customers, size = baskets.shape
    matrix = np.zeros((size, size), dtype=np.float32, order="F")
    sparse_cost = float(np.square(np.diff(baskets.indptr).astype(np.float64)).sum())
    if sparse_cost * DENSE_GAIN > customers * size**2 / 2:
        return _dense_gram(baskets, matrix)
    left = baskets.T.tocsr()
    for start in range(0, size, BLOCK_ROWS):
        matrix[:, start : start + BLOCK_ROWS] = (left[start : start + BLOCK_ROWS] @ baskets).toarray().T
    return matrix


def _dense_gram(baskets: sparse.csr_matrix, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy.linalg import get_blas_funcs

    (update,) = get_blas_funcs(("syrk",), (matrix,))
    for start in range(0, baskets.shape[0], BLOCK_ROWS):
        block = baskets[start : start + BLOCK_ROWS].toarray().T
        matrix = update(1.0, block, beta=1.0, c=matrix, lower=1, overwrite_c=1)
    return matrix


def inverted(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inverse of a symmetric positive definite matrix in its own memory; only lower triangles count."""
    from scipy.linalg import get_lapack_funcs

    if not matrix.size:
        return matrix
    factorise, invert = get_lapack_funcs(("potrf", "potri"), (matrix,))
    factor, failed = factorise(matrix, lower=1, clean=0, overwrite_a=1)
    if failed == 0:
        inverse, failed = invert(factor, lower=1, overwrite_c=1)
    if failed:
        raise DataError("EASE found no inverse. Raise `regularization`.")
    return inverse


def weights(inverse: NDArray[np.float32]) -> Iterator[Row]:
    """What each product says about all others, row by row, from the lower triangle of P; its own is 0."""
    size = len(inverse)
    diagonal = np.diagonal(inverse)
    everyone = np.arange(size, dtype=np.int32)
    for start in range(0, size, BLOCK_ROWS):
        end = min(start + BLOCK_ROWS, size)
        block = np.empty((end - start, size), dtype=np.float32)
        square = np.tril(inverse[start:end, start:end])
        block[:, :start] = inverse[start:end, :start]
        block[:, start:end] = square + np.tril(square, -1).T
        block[:, end:] = inverse[end:, start:end].T
        block /= -diagonal
        for offset in range(end - start):
            block[offset, start + offset] = 0
            yield everyone, block[offset]
