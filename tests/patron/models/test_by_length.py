"""Inner products of all products are what the shortcut must find."""

from __future__ import annotations

import numpy as np
import pytest

from patron.models import by_length
from patron.models.by_length import ByLength, Nearest
from patron.models.products import top

SIZE = 9_000


@pytest.fixture(scope="module")
def vectors():
    """Many short ones and a few long ones, as those of products are."""
    rng = np.random.default_rng(8)
    found = rng.normal(size=(SIZE, 16)) * rng.pareto(1.5, (SIZE, 1))
    found[::50] = 0
    return found.astype(np.float32)


@pytest.mark.parametrize("share", [1.0, 0.2, 0.002])
@pytest.mark.parametrize("depth", [0, 1, 100, SIZE])
def test_the_largest_inner_products_are_found(vectors, share, depth):
    rng = np.random.default_rng(9)
    products = ByLength.of(vectors)
    for _ in range(5):
        asked, allowed = Nearest(products, rng.normal(size=16).astype(np.float32)), rng.random(SIZE) < share
        every = asked.at(np.arange(SIZE))
        np.testing.assert_allclose(every, vectors @ asked.vector, rtol=1e-3, atol=1e-4)
        positions, told = asked.best(depth, allowed)
        np.testing.assert_allclose(told, every[top(every, depth, allowed)], rtol=1e-5)
        assert allowed[positions].all() and (np.diff(told) <= 0).all()


def test_short_vectors_are_not_looked_at(vectors):
    products = ByLength.of(vectors)
    longest = float(np.linalg.norm(vectors, axis=1).max())
    assert products.reaching(longest * 0.9, 1.0) < SIZE / 10 < by_length.HEAD
    assert products.reaching(0.0, 1.0) == SIZE


def test_each_product_keeps_its_vector(vectors):
    np.testing.assert_array_equal(ByLength.of(vectors).of_products(np.array([5, 0, 7])), vectors[[5, 0, 7]])


def test_who_is_nobody_likes_nothing(vectors):
    nobody = Nearest(ByLength.of(vectors), np.zeros(16, dtype=np.float32))
    assert nobody.best(5, np.ones(SIZE, dtype=bool))[0].tolist() == []
    assert nobody.at(np.array([1, 2])).tolist() == [0, 0]
