from __future__ import annotations

import numpy as np
import pytest

from patron.models.diversity import spread

SCORES = np.array([1.0, 0.9, 0.8, 0.2], dtype=np.float32)
CATEGORIES = np.array(["tea", "tea", "tea", "cup"])


@pytest.mark.parametrize(
    ("diversity", "expected"),
    [(0.0, [0, 1, 2, 3]), (0.3, [0, 1, 3, 2]), (0.6, [0, 3, 1, 2]), (1.0, [0, 3, 1, 2])],
)
def test_the_more_diversity_the_sooner_another_category(diversity, expected):
    assert spread(SCORES, CATEGORIES, 4, diversity).tolist() == expected


def test_the_limit_is_kept():
    assert spread(SCORES, CATEGORIES, 2, 1.0).tolist() == [0, 3]
    assert spread(SCORES[:0], CATEGORIES[:0], 2, 1.0).tolist() == []


def test_products_without_a_category_are_not_alike():
    assert spread(SCORES, np.array(["", "", "", "cup"]), 4, 1.0).tolist() == [0, 1, 2, 3]
