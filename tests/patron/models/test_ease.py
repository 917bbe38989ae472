from __future__ import annotations

import numpy as np
import pytest

from patron.errors import DataError
from patron.models import ease
from patron.models.ease import EASE, EASEConfig
from tests.purchases import checkerboard, history, once, others_of, purchases
from tests.recommender_contract import RecommenderContract


class TestEASE(RecommenderContract):
    def unfitted(self):
        return EASE()


def fitted(interactions, **config):
    model = EASE(EASEConfig(**{"regularization": 1.0, "fit_half_life_days": 0.0, **config}))
    model.fit(interactions)
    return model


BREAKFAST = [
    ("a", "bread", 1), ("a", "butter", 1), ("a", "knife", 1),
    ("b", "bread", 2), ("b", "butter", 2),
    ("c", "bread", 3), ("c", "jam", 3),
]  # fmt: skip

BOUGHT = np.array([[1, 1, 0, 1], [1, 1, 0, 0], [1, 0, 1, 0]])
"""The same as a matrix: bread, butter, jam, knife."""


def closed_form(bought, regularization):
    inverse = np.linalg.inv(bought.T @ bought + regularization * np.eye(bought.shape[1]))
    weights = np.eye(len(inverse)) - inverse @ np.diag(1 / np.diag(inverse))
    return np.maximum(weights, 0)


def weights_of(model):
    return np.stack([model.scores(once(each, days=0)) for each in model.product_ids.tolist()])


@pytest.mark.parametrize("i", range(8))
def test_the_missing_square_of_the_checkerboard_comes_first(i):
    model = fitted(checkerboard())
    scores = model.scores(others_of(i))
    scores[model.index.positions(others_of(i).product_ids)] = 0
    assert model.product_ids[np.argmax(scores)] == f"p{i}"
    assert (scores > 0).sum() == 1


@pytest.mark.parametrize("gain", [0, 10**9], ids=["sparse", "dense"])
@pytest.mark.parametrize("rows", [1, 3, 256])
def test_weights_are_the_positive_part_of_the_closed_form(monkeypatch, gain, rows):
    monkeypatch.setattr(ease, "DENSE_GAIN", gain)
    monkeypatch.setattr(ease, "BLOCK_ROWS", rows)
    found = weights_of(fitted(purchases(BREAKFAST), regularization=0.5))
    np.testing.assert_allclose(found, closed_form(BOUGHT, 0.5), atol=1e-6)


def test_a_hundred_products_are_inverted_as_exactly_as_in_double_precision():
    draw = np.random.default_rng(3).random((400, 100)) < np.linspace(0.9, 0.05, 100)
    rows = [(f"c{who:03}", f"p{what:03}", 1) for who, what in np.argwhere(draw).tolist()]
    found = weights_of(fitted(purchases(rows), regularization=5.0))
    np.testing.assert_allclose(found, closed_form(draw.astype(float), 5.0), atol=1e-5)


def test_only_the_most_bought_products_take_part():
    model = fitted(purchases(BREAKFAST), products=2)
    assert model.similar("bread", 9)[0].tolist() == ["butter"]
    assert len(model.table.neighbours) == 2
    assert model.similar("jam", 9)[0].tolist() == []


def test_only_the_largest_weights_are_kept():
    whole, one = (fitted(purchases(BREAKFAST), neighbours=limit) for limit in (9, 1))
    assert len(whole.similar("butter", 9)[0]) == 2
    assert one.similar("butter", 9)[0].tolist() == whole.similar("butter", 1)[0].tolist()


def test_old_purchases_count_less():
    rows = [(who, what, 99) for who in "abc" for what in ("x", "y")]
    rows += [(who, what, 1) for who in "def" for what in ("x", "z")]
    plain = fitted(purchases(rows)).similar("x", 2)[1]
    assert plain[0] == pytest.approx(plain[1])
    ids, values = fitted(purchases(rows), fit_half_life_days=20).similar("x", 2)
    assert ids[0] == "y"
    assert len(ids) == 1 or values[0] > 2 * values[1]


def test_the_strongest_product_of_the_history_is_named():
    model = fitted(purchases(BREAKFAST))
    wanted = np.array([model.index.position("butter"), model.index.position("jam")])
    named = model.strongest_each(history(("knife", 1, 90, None), ("bread", 1, 1, None)), wanted)
    assert named == ["bread", "bread"]
    assert model.strongest(once("jam"), wanted[0]) is None


def test_a_matrix_larger_than_memory_is_refused_with_what_fits():
    with pytest.raises(DataError, match=r"20000 products needs 1,682 MB .* found 100 MB.*to 4\d\d\d or less"):
        ease.require_memory(20_000, 100_000_000)
    with pytest.raises(DataError, match="Set `products`"):
        EASE(EASEConfig(max_memory_mb=1)).fit(purchases([("a", f"p{n:04}", 1) for n in range(400)]))


def test_what_fits_is_let_through():
    with pytest.raises(DataError) as refused:
        ease.require_memory(20_000, 100_000_000)
    fits = int(str(refused.value).split(" or less")[0].split()[-1])
    ease.require_memory(fits, 100_000_000)
    with pytest.raises(DataError):
        ease.require_memory(fits + 1, 100_000_000)


def test_the_machine_tells_what_memory_is_left():
    assert ease.memory_left() > 10_000_000


def test_a_matrix_without_an_inverse_is_told():
    with pytest.raises(DataError, match="Raise `regularization`"):
        ease.inverted(np.zeros((2, 2), dtype=np.float32, order="F"))
