from __future__ import annotations

import numpy as np
import pytest

from patron.models.asked import Dense
from patron.models.shortlist import Shortlist, loudest


def shortlist(depth=2, rank_offset=None, mask=None, **sources):
    asked = {name: Dense(np.asarray(each, dtype=np.float32)) for name, each in sources.items()}
    size = len(next(iter(sources.values())))
    return Shortlist.of(asked, np.ones(size, dtype=bool) if mask is None else mask, depth, rank_offset)


def test_candidates_are_the_union_of_the_best():
    found = shortlist(a=[4, 0, 2, 1], b=[0, 3, 0, 0])
    assert found.positions.tolist() == [0, 1, 2]
    assert found.scores.tolist() == [[4, 0], [0, 3], [2, 0]]
    assert found.values.tolist() == [[1, 0], [0, 1], [0.5, 0]]
    assert found.ranks.tolist() == [[0, 2], [2, 0], [1, 2]]


def test_ranks_can_stand_for_scores():
    found = shortlist(rank_offset=1.0, a=[9, 8, 0])
    assert found.values.ravel().tolist() == [1.0, 0.5]


def test_what_is_not_allowed_is_not_proposed():
    found = shortlist(mask=np.array([False, True, True]), a=[9, 2, 1])
    assert found.positions.tolist() == [1, 2]
    assert found.values[0, 0] == 1


def test_weights_add_up():
    found = shortlist(a=[4, 0, 2], b=[0, 3, 0])
    assert found.weighted({"a": 0.5, "c": 9.0}).sum(axis=1).tolist() == [0.5, 0, 0.25]


def test_the_best_half_and_then_every_source_in_turn():
    found = shortlist(depth=6, a=[6, 5, 4, 3, 2, 1, 0, 0], b=[0, 0, 0, 0, 0, 0, 1, 2])
    mixed = found.weighted({"a": 1.0}).sum(axis=1)
    assert found.positions[found.best(mixed, 4)].tolist() == [0, 1, 6, 7]
    assert found.best(mixed, 99).tolist() == list(range(8))


def test_nothing_proposed_is_an_empty_list():
    found = shortlist(a=[0, 0])
    assert len(found) == 0
    assert found.best(np.zeros(0, dtype=np.float32), 3).tolist() == []


@pytest.mark.parametrize(("most", "expected"), [(1, [["b"], ["a"], []]), (2, [["b", "a"], ["a"], []])])
def test_the_loudest_add_most(most, expected):
    assert loudest(np.array([[0.1, 0.2], [0.3, 0], [0, 0]]), ("a", "b"), most) == expected
