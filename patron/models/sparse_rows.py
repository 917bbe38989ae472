"""Sums over a few rows of a large sparse matrix, by scipy's own loops.

Of what `csr_matrix` does around these loops, checking its input costs more than the work on a few rows.
All indices are int32 and all values float32; nothing is checked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import _sparsetools

from patron.errors import DataError

Integers = NDArray[np.int32]
Reals = NDArray[np.float32]
Compressed = tuple[Integers, Integers, Reals]
"""Where each row starts, and where the last one ends; the columns of all cells; their values."""


def rows_of(matrix: Compressed, rows: NDArray[np.integer]) -> Compressed:
    """Copies of some rows, end to end."""
    begins, columns, values = matrix
    chosen = rows.astype(np.int32)
    starts = np.zeros(len(chosen) + 1, dtype=np.int32)
    (begins[chosen + 1] - begins[chosen]).cumsum(out=starts[1:])
    found = np.empty(starts[-1], dtype=np.int32), np.empty(starts[-1], dtype=np.float32)
    _sparsetools.csr_row_index(len(chosen), chosen, begins, columns, values, *found)
    return starts, *found


def summed(rows: Compressed, weights: Reals, size: int) -> Reals:
    """Sum of the rows, each times its weight, shape (size,)."""
    total = np.zeros(size, dtype=np.float32)
    _sparsetools.csc_matvec(size, len(weights), *rows, weights, total)
    return total


def dotted(rows: Compressed, vector: Reals) -> Reals:
    """Product of each row with a vector."""
    size = len(rows[0]) - 1
    found = np.zeros(size, dtype=np.float32)
    _sparsetools.csr_matvec(size, len(vector), *rows, vector, found)
    return found


def dotted_each(rows: Compressed, vectors: Reals) -> Reals:
    """Product of each row with each of m vectors, shape (rows, m). vectors: shape (columns, m)."""
    found = np.zeros((len(rows[0]) - 1, vectors.shape[1]), dtype=np.float32)
    _sparsetools.csr_matvecs(*found.shape[:1], *vectors.shape, *rows, vectors.ravel(), found.ravel())
    return found


def narrow(starts: NDArray[np.integer]) -> Integers:
    """Raises DataError where the cells are too many to be counted in 32 bits."""
    most = np.iinfo(np.int32).max
    if starts[-1] > most:
        raise DataError(f"{starts[-1]} cells are more than {most}. Keep fewer neighbours of each product.")
    return starts.astype(np.int32)
