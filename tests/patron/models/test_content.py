from __future__ import annotations

import numpy as np
import pytest

from patron.models.base import CustomerHistory
from patron.models.catalogue import UNKNOWN, Catalogue
from patron.models.content import Content, ContentConfig
from tests.purchases import checkerboard, history, once, others_of, purchases
from tests.recommender_contract import RecommenderContract

SHELF = {
    "lamp": ("Blue glass lamp", "light", "Lumo"),
    "lantern": ("Blue glass lantern", "light", "Lumo"),
    "bulb": ("Bulb", "light", "Watt"),
    "vase": ("Glass vase", "decor", "Watt"),
    "spade": ("Garden spade", "garden", ""),
    "secret": ("", "", ""),
}
IDS = np.asarray(list(SHELF))


def catalogue(shelf=SHELF):
    facts = dict(UNKNOWN)
    facts["titles"], facts["categories"], facts["brands"] = zip(*shelf.values(), strict=True)
    size = len(shelf)
    return Catalogue(
        np.asarray(list(shelf)),
        **{name: np.asarray(each) if isinstance(each, tuple) else np.full(size, each)
           for name, each in facts.items()},
    )  # fmt: skip


class TestContent(RecommenderContract):
    def unfitted(self):
        return Content()

    def fitted(self, interactions=None, seed=7, threads=1):
        interactions = checkerboard() if interactions is None else interactions
        model = self.unfitted()
        model.fit(interactions, squares(interactions.product_ids), seed=seed, threads=threads)
        return model

    def test_fitting_again_forgets_the_first_fit(self):
        model = self.fitted(purchases([("a", "x", 1), ("b", "y", 2)]))
        model.scores(once("x"))
        model.fit(checkerboard(), squares(checkerboard().product_ids))
        np.testing.assert_array_equal(self.answers(model), self.answers(self.fitted()))

    @pytest.mark.parametrize("i", range(8))
    def test_the_missing_square_of_the_checkerboard_comes_first(self, i):
        model = self.fitted()
        scores = model.scores(others_of(i))
        scores[model.index.positions(others_of(i).product_ids)] = 0
        assert model.product_ids[np.argmax(scores)] == f"p{i}"
        assert (scores > 0).sum() == 1


def squares(product_ids):
    """Products p0, p2, ... are even, the others odd."""
    shelf = {each: ("", "even" if each[1:] in {"0", "2", "4", "6"} else "odd", "") for each in product_ids}
    return catalogue(shelf)


def fitted(rows=(("a", "lamp", 1),), known=True, **config):
    model = Content(ContentConfig(**config))
    model.fit(purchases(rows, products=list(SHELF)), catalogue() if known else None)
    return model


def scored(model, bought):
    return dict(zip(IDS.tolist(), model.scores(bought).tolist(), strict=True))


def test_products_that_nobody_bought_are_found_by_what_they_share():
    scores = scored(fitted(), once("lamp"))
    assert scores["lamp"] == pytest.approx(1)
    assert scores["lantern"] > scores["bulb"] > scores["vase"] > 0
    assert scores["spade"] == scores["secret"] == 0


def test_a_part_is_weighed_by_its_share_of_the_cosine():
    scores = scored(fitted(category_weight=3.0, brand_weight=1.0, title_weight=0.0), once("lamp"))
    assert scores["bulb"] == pytest.approx(3 / 4)
    assert scores["lantern"] == pytest.approx(1)
    assert scores["vase"] == 0


def test_rare_words_say_more_than_common_ones():
    shelf = {"a": ("rare common", "", ""), "b": ("rare", "", ""), "c": ("common", "", "")}
    shelf |= {f"other{i}": ("common thing", "", "") for i in range(5)} | {"d": ("rest", "", "")}
    model = Content()
    model.fit(purchases([], products=list(shelf)), catalogue(shelf))
    assert model.similar("a", 9)[0].tolist()[0] == "b"


def test_pairs_of_words_tell_products_apart_that_share_the_words():
    shelf = {"a": ("red wine glass", "", ""), "b": ("wine, red", "", ""), "c": ("red wine", "", "")}
    model = Content()
    model.fit(purchases([], products=list(shelf)), catalogue(shelf))
    shared = dict(zip(*(each.tolist() for each in model.similar("a", 9)), strict=True))
    assert shared["c"] > shared["b"]


def test_only_the_most_frequent_words_are_kept():
    model = fitted(max_vocabulary=1, category_weight=0.0, brand_weight=0.0)
    assert model.similar("vase", 9)[0].tolist() == ["lamp", "lantern"]  # glass; not blue
    assert fitted(max_vocabulary=0).facts.shape == (6, 3 + 2)


def test_recent_and_frequent_purchases_speak_louder():
    model = fitted()
    lately = scored(model, history(("spade", 1, 200, None), ("bulb", 1, 1, None)))
    assert lately["bulb"] > lately["spade"]
    often = scored(model, history(("spade", 9, 5, 3), ("bulb", 1, 5, None)))
    assert often["spade"] > often["bulb"]


def test_the_strongest_product_of_the_history_is_named():
    model = fitted()
    lantern, spade = model.index.positions(["lantern", "spade"])
    assert model.strongest(once("unknown", "vase", "lamp"), lantern) == "lamp"
    assert model.strongest_each(once("bulb", "vase"), np.array([lantern, spade])) == ["bulb", None]
    assert model.strongest(CustomerHistory.empty(), lantern) is None


def test_a_product_is_not_its_own_neighbour_and_unknown_ones_have_none():
    model = fitted()
    ids, values = model.similar("lamp", 2)
    assert ids.tolist() == ["lantern", "bulb"]
    assert values[0] > values[1]
    assert model.neighbours_of("lamp", 2)[0].tolist() == [1, 2]
    assert len(model.similar("unknown", 5)[0]) == len(model.similar("secret", 5)[0]) == 0


def test_without_a_catalogue_there_is_nothing_to_say():
    assert not fitted(known=False).scores(once("lamp")).any()
