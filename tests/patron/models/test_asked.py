"""The best of few, of many and of everybody's products, told by hand or by looking at every score."""

from __future__ import annotations

import numpy as np
import pytest

from patron.models.asked import Dense, Few, Ordered, contenders
from patron.models.products import best_first, lowest_of, stretches, top


def scores(*values):
    return np.array(values, dtype=np.float32)


def everything(size):
    return np.ones(size, dtype=bool)


def test_ties_stand_in_product_order():
    positions, told = Dense(scores(1, 3, 0, 3, 2)).best(3, everything(5))
    assert positions.tolist() == [1, 3, 4]
    assert told.tolist() == [3, 3, 2]


def test_what_is_not_allowed_makes_room():
    allowed = np.array([True, False, True, True, True])
    assert Dense(scores(1, 3, 0, 3, 2)).best(9, allowed)[0].tolist() == [3, 4, 0]


def test_a_few_products_speak_for_themselves():
    few = Few(np.array([1, 4]), scores(2, 5))
    assert few.at(np.array([4, 0, 1, 3])).tolist() == [5, 0, 2, 0]
    assert few.best(9, everything(6))[0].tolist() == [4, 1]
    assert few.best(1, np.arange(6) != 4)[0].tolist() == [1]


def test_an_order_is_walked_until_enough_is_found():
    size = 1_000
    ordered = Ordered(np.arange(size)[::-1], np.arange(size, dtype=np.float32))
    allowed = np.arange(size) < 3
    assert ordered.best(2, allowed)[0].tolist() == [2, 1]
    assert ordered.best(9, allowed)[0].tolist() == [2, 1, 0]


@pytest.mark.parametrize("share", [1.0, 0.3, 0.001, 0.0])
@pytest.mark.parametrize("levels", [3, 1_000_000])
def test_the_best_of_many_are_those_of_all(share, levels):
    rng = np.random.default_rng(6)
    many = (rng.integers(levels, size=20_000) * (rng.random(20_000) < share)).astype(np.float32)
    for allowed in (everything(20_000), rng.random(20_000) < 0.5, rng.random(20_000) < 0.01):
        for depth in (0, 1, 50, 5_000):
            assert Dense(many).best(depth, allowed)[0].tolist() == top(many, depth, allowed).tolist()


def test_contenders_hold_every_score_as_high_as_their_lowest():
    many = np.random.default_rng(7).integers(40, size=5_000).astype(np.float32)
    found, all_of_them = contenders(many, 100)
    assert len(found) >= 100 and not all_of_them
    assert found.tolist() == np.flatnonzero(many >= many[found].min()).tolist()
    assert contenders(np.eye(1, 5_000, 7, dtype=np.float32)[0], 100)[0].tolist() == [7]


def test_sorted_by_score_then_product():
    positions, told = best_first(np.array([9, 2, 5]), scores(1, 2, 1), 9)
    assert positions.tolist() == [2, 5, 9]
    assert told.tolist() == [2, 1, 1]


@pytest.mark.parametrize(("limit", "expected"), [(1, 5), (2, 3), (3, 1), (4, 0), (0, 0)])
def test_the_lowest_of_the_highest(limit, expected):
    assert lowest_of(scores(1, 5, 3), limit) == expected


def test_stretches_are_laid_end_to_end():
    assert stretches(np.array([3, 9, 1]), np.array([5, 9, 4])).tolist() == [3, 4, 1, 2, 3]
    assert stretches(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)).tolist() == []
