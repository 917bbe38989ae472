from __future__ import annotations

import numpy as np
import pytest

from patron.errors import ArtifactError
from patron.models.base import Config
from patron.models.products import ProductIndex, decay, top, write_arrays


def test_positions_are_those_of_the_catalogue_and_unknown_ids_have_none():
    index = ProductIndex(np.array(["b", "a"]))
    assert index.positions(["a", "?", "b", "a"]).tolist() == [1, -1, 0, 1]
    assert index.position("?") is None


def test_asking_twice_and_asking_another_in_between_give_the_same():
    index = ProductIndex(np.array(["b", "a"]))
    one, other = np.array(["a", "b"]), np.array(["b"])
    assert index.positions(one).tolist() == [1, 0]
    assert index.positions(one).tolist() == [1, 0]
    assert index.positions(other).tolist() == [0]
    assert index.positions(one).tolist() == [1, 0]


@pytest.mark.parametrize("limit", range(7))
def test_top_is_the_head_of_a_stable_sort(limit):
    scores = np.array([1, 3, 3, 0, -1, 2, 3], dtype=np.float32)
    assert top(scores, limit).tolist() == [1, 2, 6, 5, 0][:limit]


def test_the_mask_comes_before_the_cut():
    scores = np.array([5, 4, 3, 2], dtype=np.float32)
    assert top(scores, 2, np.array([False, True, False, True])).tolist() == [1, 3]


def test_decay_halves_and_0_means_never():
    assert decay(np.array([0.0, 10.0, 20.0, -5.0]), 10.0).tolist() == [1, 0.5, 0.25, 1]
    assert decay(np.array([0.0, 1e6]), 0).tolist() == [1, 1]


def test_objects_are_refused(tmp_path):
    with pytest.raises(ArtifactError, match="'names' holds objects"):
        write_arrays(tmp_path, Config(), names=np.array(["a", None]))
