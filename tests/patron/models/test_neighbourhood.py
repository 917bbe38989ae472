"""Three products' rows, summed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from patron.errors import DataError
from patron.models.neighbourhood import Neighbourhood
from patron.models.sparse_rows import dotted, dotted_each, narrow, rows_of, summed


def table():
    """0 -> 2 (0.5), 4 (0.25); 1 -> nothing; 2 -> 4 (1.0)."""
    return Neighbourhood.of(
        np.array([0, 2, 2, 3, 3, 3]),
        np.array([2, 4, 4], dtype=np.int32),
        np.array([0.5, 0.25, 1.0], dtype=np.float32),
    )


def rows(*positions, weights=None):
    size = len(positions)
    told = np.ones(size, dtype=np.float32) if weights is None else np.array(weights, dtype=np.float32)
    return table().rows(np.array(positions), told, np.arange(size))


def test_only_neighbours_are_counted():
    assert table().targets.tolist() == [2, 4]
    assert table().neighbours.tolist() == [2, 4, 4]
    assert [each.tolist() for each in table().row(0)] == [[2, 4], [0.5, 0.25]]
    assert [each.tolist() for each in table().row(1)] == [[], []]


def test_rows_add_up_by_weight():
    asked = rows(0, 1, 2, weights=[2, 9, 1]).summed()
    assert asked.at(np.arange(5)).tolist() == [0, 0, 1, 0, 1.5]
    assert asked.best(5, np.ones(5, dtype=bool))[0].tolist() == [4, 2]
    assert asked.best(5, np.arange(5) != 4)[0].tolist() == [2]


def test_the_loudest_row_is_named():
    assert rows(0, 2).loudest(np.array([2, 3, 4])).tolist() == [0, -1, 1]
    assert rows(0, 2, weights=[9, 1]).loudest(np.array([4])).tolist() == [0]


def test_later_rows_are_those_of_later_products():
    later = rows(0, 1, 2).since(1)
    assert later.owners.tolist() == [1, 2]
    assert later.summed().at(np.arange(5)).tolist() == [0, 0, 0, 0, 1]
    assert rows(0, 1, 2).since(9).summed().at(np.arange(5)).tolist() == [0] * 5


def test_nobody_has_neighbours():
    empty = np.zeros(0, dtype=np.int32)
    nothing = Neighbourhood.of(np.zeros(3, dtype=np.int64), empty, empty.astype(np.float32))
    asked = nothing.rows(np.array([1]), np.ones(1, dtype=np.float32), np.array([0])).summed()
    assert asked.at(np.arange(2)).tolist() == [0, 0]
    assert asked.best(3, np.ones(2, dtype=bool))[0].tolist() == []


def test_sums_and_products_of_rows():
    cells = rows_of((table().starts, table().neighbours, table().similarities), np.array([2, 0]))
    assert [each.tolist() for each in cells] == [[0, 1, 3], [4, 2, 4], [1, 0.5, 0.25]]
    assert summed(cells, np.array([1, 2], dtype=np.float32), 5).tolist() == [0, 0, 1, 0, 1.5]
    vector = np.arange(5, dtype=np.float32)
    assert dotted(cells, vector).tolist() == [4, 2]
    assert dotted_each(cells, np.stack([vector, 2 * vector], axis=1)).tolist() == [[4, 8], [2, 4]]


def test_too_many_cells_are_an_error():
    with pytest.raises(DataError, match="Keep fewer neighbours"):
        narrow(np.array([0, 2**31]))
