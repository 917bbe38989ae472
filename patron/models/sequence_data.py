"""Customers' sequences of distinct products, in the arrays and batches that a sequence model is fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from patron.models.base import Interactions

BUCKET_BATCHES = 16
"""Batches that are sorted by length together: padding becomes rare, and batches stay random enough."""
DENSE_CELLS = 250_000
"""Tables of customers and products up to this size are decomposed whole."""


@dataclass(frozen=True)
class Sequences:
    """Each customer's distinct products by first purchase, one customer after the other.

    product, at: shape (n_purchases,). starts: shape (n_customers + 1,), where each customer begins.
    """

    product: NDArray[np.int64]
    at: NDArray[np.int64]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.starts)

    @property
    def owner(self) -> NDArray[np.int64]:
        """Row of the customer behind each purchase, shape (n_purchases,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def kept(self, chosen: NDArray[np.bool_]) -> Sequences:
        """The chosen purchases; every customer stays, some perhaps with none. chosen: (n_purchases,)."""
        sizes = np.bincount(self.owner[chosen], minlength=len(self))
        return Sequences(self.product[chosen], self.at[chosen], np.concatenate([[0], np.cumsum(sizes)]))

    def shuffled(self, rng: np.random.Generator) -> Sequences:
        """The same with the purchases of one moment in random order: nobody knows which came first."""
        order = np.lexsort((rng.random(len(self.product)), self.at, self.owner))
        return Sequences(self.product[order], self.at, self.starts)

    def padded(self, rows: NDArray[np.int64], length: int, padding: int) -> NDArray[np.int64]:
        """The last `length` products of each row, `padding` before them; shape (len(rows), length)."""
        cells = self.starts[rows + 1][:, None] - np.arange(length, 0, -1)[None]
        inside = cells >= self.starts[rows][:, None]
        return np.where(inside, self.product[np.where(inside, cells, 0)], padding)


def sequences(interactions: Interactions) -> Sequences:
    """First purchases of known customers. A repeat says nothing about which new product comes next."""
    known = interactions.customer >= 0
    customer, product = interactions.customer[known], interactions.product[known]
    at = interactions.at[known]
    by_time = np.argsort(at, kind="stable")
    pairs = customer[by_time] * max(len(interactions.product_ids), 1) + product[by_time]
    first = by_time[np.unique(pairs, return_index=True)[1]]
    first = first[np.lexsort((product[first], at[first], customer[first]))]
    sizes = np.bincount(np.unique(customer[first], return_inverse=True)[1])
    return Sequences(product[first], at[first], np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def held_out(whole: Sequences) -> NDArray[np.bool_]:
    """Each customer's last new products, where two or more came before them; shape (n_purchases,)."""
    ends = np.maximum(whole.starts[1:] - 1, 0)
    last = whole.at == np.repeat(whole.at[ends] if len(whole.at) else ends, whole.lengths)
    before = whole.lengths - np.bincount(whole.owner[last], minlength=len(whole))
    return last & np.repeat(before >= 2, whole.lengths)


def batches(lengths: NDArray[np.int64], size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Rows with two products or more, in random batches of about `size` products in much the same lengths.

    lengths: products of each row that are looked at. A row longer than `size` is a batch by itself.
    """
    rows = rng.permutation(np.flatnonzero(lengths >= 2))
    near = max(1, int(BUCKET_BATCHES * size / max(lengths[rows].mean(), 1))) if len(rows) else 1
    parts: list[NDArray[np.int64]] = []
    for start in range(0, len(rows), near):
        bucket = rows[start : start + near]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        place = (np.cumsum(lengths[bucket]) - 1) // size
        parts += np.split(bucket, np.flatnonzero(np.diff(place)) + 1)
    for chosen in rng.permutation(len(parts)):
        yield parts[chosen]


def taste(whole: Sequences, n_products: int, factors: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Vectors whose cosines approach those of item-item similarity, shape (n_products, factors).

    The leading right singular vectors of customers x products, in a random rotation, so that no factor
    stands out; each of length 1. Products without customers in common with others get a random one.
    """
    shares = np.repeat(np.maximum(whole.lengths, 1) ** -0.5, whole.lengths)
    norms = np.sqrt(np.bincount(whole.product, shares**2, minlength=n_products) + 1)
    table = sparse.csr_matrix(
        (shares / norms[whole.product], (whole.owner, whole.product)), shape=(len(whole), n_products)
    )
    values, rows = _decomposed(table, factors)
    rotation, _ = np.linalg.qr(rng.normal(size=(factors, factors)))
    found = (rows.T * values) @ rotation[: len(values)] + rng.normal(scale=1e-3, size=(n_products, factors))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def _decomposed(table: sparse.csr_matrix, factors: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Singular values (k,) and right singular vectors (k, n_products), k <= factors."""
    from scipy.sparse.linalg import svds

    smaller = min(table.shape)
    if smaller < 2 or table.shape[0] * table.shape[1] <= DENSE_CELLS:
        _, values, rows = np.linalg.svd(table.toarray(), full_matrices=False)
        return values[:factors], rows[:factors]
    # A fixed beginning: the vectors of a data set are the same in every fit.
    _, values, rows = svds(table, k=min(factors, smaller - 1), v0=np.full(smaller, smaller**-0.5))
    return values, rows
