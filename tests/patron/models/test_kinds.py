"""Cosines of all products are what the shortcut must find, however many facts and however narrow the mask."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from patron.models import kinds
from patron.models.content import unit_rows
from patron.models.kinds import Alike, Kinds
from patron.models.products import top

SIZE, FACTS = 8_000, 900


@pytest.fixture(scope="module")
def facts():
    """Six facts a product, some of them common; each tenth product is like the one before it."""
    rng = np.random.default_rng(10)
    columns = (FACTS * rng.random((SIZE, 6)) ** 3).astype(int)
    columns[1::10] = columns[0::10]
    cells = sparse.csr_matrix(
        (np.ones(columns.size, dtype=np.float32), (np.repeat(np.arange(SIZE), 6), columns.ravel())),
        shape=(SIZE, FACTS),
    )
    return unit_rows(cells)


def test_what_is_alike_is_of_one_kind(facts):
    found = Kinds.of(facts)
    assert found.kind[0] == found.kind[1] != found.kind[2]
    members, owner = found.products(found.kind[[0, 2]].astype(np.int64))
    assert {0, 1, 2} <= set(members.tolist())
    assert owner.tolist() == sorted(owner.tolist())


@pytest.mark.parametrize("bought", [1, 5, 400])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.01])
def test_the_most_alike_are_found(facts, bought, share):
    rng = np.random.default_rng(bought)
    found = Kinds.of(facts)
    for _ in range(5):
        positions = rng.choice(SIZE, bought, replace=False)
        profile = found.profile(positions, rng.random(bought).astype(np.float32))
        asked, allowed = Alike(found, profile / np.linalg.norm(profile)), rng.random(SIZE) < share
        every = asked.at(np.arange(SIZE))
        np.testing.assert_allclose(every, facts @ asked.profile, rtol=1e-5, atol=1e-6)
        for depth in (1, 100):
            best, told = asked.best(depth, allowed)
            assert best.tolist() == top(every, depth, allowed).tolist()
            np.testing.assert_array_equal(told, every[best])


def test_few_facts_are_enough_for_a_short_profile(facts):
    found = Kinds.of(facts)
    profile = found.profile(np.array([3]), np.ones(1, dtype=np.float32))
    near = Alike(found, profile)._near(10, np.ones(SIZE, dtype=bool))
    assert near is not None and len(near) <= kinds.FEW


def test_what_two_products_share_is_their_cosine(facts):
    left, right = np.array([5, 6]), np.array([7, 5, 8])
    np.testing.assert_allclose(
        Kinds.of(facts).shared(left, right), (facts[left] @ facts[right].T).toarray(), rtol=1e-5, atol=1e-7
    )


def test_products_of_which_nothing_is_known_are_like_nothing():
    found = Kinds.of(sparse.csr_matrix((3, 2), dtype=np.float32))
    assert Alike(found, np.ones(2, dtype=np.float32)).best(3, np.ones(3, dtype=bool))[0].tolist() == []
