"""What every recommender keeps: inherit `RecommenderContract` and name the model."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from patron.models.base import CustomerHistory, Interactions, Recommender, model_class
from patron.models.catalogue import Catalogue
from patron.models.products import top
from tests.purchases import checkerboard, once, others_of, purchases

HISTORIES = [others_of(0), others_of(1), others_of(3)]
MANY = 3_000
"""Products enough for a source not to look at every one."""


class RecommenderContract(ABC):
    """One method to override; the tests are inherited."""

    @abstractmethod
    def unfitted(self) -> Recommender: ...

    def fitted(self, interactions=None, seed=7, threads=1) -> Recommender:
        model = self.unfitted()
        model.fit(interactions or checkerboard(), seed=seed, threads=threads)
        return model

    def answers(self, model) -> np.ndarray:
        return np.stack([model.scores(each) for each in HISTORIES])

    def test_scores_are_one_finite_number_a_product(self):
        model = self.fitted()
        for each in [*HISTORIES, CustomerHistory.empty()]:
            scores = model.scores(each)
            assert scores.shape == (8,)
            assert scores.dtype == np.float32
            assert np.isfinite(scores).all()

    def test_the_catalogue_order_is_that_of_the_interactions(self):
        assert self.fitted().product_ids.tolist() == [f"p{j}" for j in range(8)]

    def test_who_asks_for_the_best_hears_the_same_scores(self):
        model = self.fitted()
        for each in [*HISTORIES, CustomerHistory.empty()]:
            asked, everything = model.asked(each), np.arange(8)
            np.testing.assert_allclose(asked.at(everything), model.scores(each), rtol=1e-5, atol=1e-6)
            assert asked.at(everything).dtype == np.float32
            assert asked.at(np.array([5, 2, 5])).tolist() == asked.at(everything)[[5, 2, 5]].tolist()
            assert asked.at(everything[:0]).shape == (0,)

    @pytest.mark.parametrize("depth", [0, 1, 3, 8, 20])
    @pytest.mark.parametrize("hidden", [[], [0], [2, 3, 7], list(range(8))])
    def test_the_best_are_those_of_the_scores_in_their_order(self, depth, hidden):
        model, allowed = self.fitted(), np.ones(8, dtype=bool)
        allowed[hidden] = False
        for each in [*HISTORIES, CustomerHistory.empty()]:
            asked = model.asked(each)
            positions, scores = asked.best(depth, allowed)
            assert positions.tolist() == top(asked.at(np.arange(8)), depth, allowed).tolist()
            np.testing.assert_allclose(scores, asked.at(positions), rtol=1e-5)

    def test_the_best_of_many_products_are_those_of_the_scores(self):
        rng = np.random.default_rng(5)
        model = self.unfitted()
        model.fit(*crowd(rng), seed=7, threads=1)
        for _ in range(8):
            bought = once(*(f"p{each:04}" for each in rng.choice(MANY, 12, replace=False)))
            mine = replace(bought, region="north", tier="gold")
            asked, dense = model.asked(mine), model.scores(mine)
            scores = asked.at(np.arange(MANY))
            np.testing.assert_allclose(scores, dense, rtol=1e-4, atol=1e-6)
            for share in (1.0, 0.5, 0.01):
                allowed = rng.random(MANY) < share
                positions, told = asked.best(20, allowed)
                assert positions.tolist() == top(scores, 20, allowed).tolist()
                np.testing.assert_allclose(told, scores[positions], rtol=1e-5)

    def test_unknown_products_say_nothing(self):
        model = self.fitted()
        unknown = CustomerHistory(np.array(["?"]), np.array([3]), np.array([5.0]), np.array([2.0]))
        np.testing.assert_array_equal(model.scores(unknown), model.scores(CustomerHistory.empty()))

    def test_same_seed_gives_the_same_model_whatever_the_threads(self):
        expected = self.answers(self.fitted())
        np.testing.assert_array_equal(self.answers(self.fitted()), expected)
        np.testing.assert_allclose(self.answers(self.fitted(threads=2)), expected, atol=1e-6)

    def test_fitting_again_forgets_the_first_fit(self):
        model = self.fitted(purchases([("a", "x", 1), ("b", "x", 2), ("b", "y", 2)]))
        model.scores(CustomerHistory.empty())
        model.fit(checkerboard(), seed=7, threads=1)
        np.testing.assert_array_equal(self.answers(model), self.answers(self.fitted()))

    def test_what_was_saved_is_what_is_loaded(self, tmp_path):
        model = self.fitted()
        model.save(tmp_path)
        loaded = type(model).load(tmp_path)
        assert loaded.config == model.config
        assert loaded.product_ids.tolist() == model.product_ids.tolist()
        np.testing.assert_allclose(self.answers(loaded), self.answers(model), atol=1e-6)

    def test_the_artifact_is_data_without_objects_and_without_customers(self, tmp_path):
        self.fitted().save(tmp_path)
        files = [each for each in tmp_path.rglob("*") if each.is_file()]
        assert files
        for each in files:
            assert strings_of(each).isdisjoint(f"c{i}" for i in range(8))

    def test_one_customer_and_one_product_are_enough(self):
        model = self.fitted(purchases([("a", "x", 1)]))
        assert model.scores(CustomerHistory.empty()).shape == (1,)
        bought = CustomerHistory(np.array(["x"]), np.array([1]), np.array([99.0]), np.array([np.nan]))
        assert np.isfinite(model.scores(bought)).all()

    def test_guests_alone_and_products_never_sold_are_enough(self):
        model = self.fitted(purchases([(None, "x", 1), (None, "y", 2)], products=["w", "x", "y"]))
        assert np.isfinite(model.scores(CustomerHistory.empty())).all()
        assert model.scores(CustomerHistory.empty()).shape == (3,)

    def test_no_purchase_at_all_is_enough(self):
        model = self.fitted(purchases([], products=["w", "x"]))
        assert model.scores(others_of(0)).tolist() == [0, 0]

    def test_its_class_is_found_by_the_path_that_configs_name(self):
        kind = type(self.unfitted())
        assert model_class(f"{kind.__module__}:{kind.__name__}") is kind


def crowd(rng: np.random.Generator) -> tuple[Interactions, Catalogue]:
    """Many products, some bought often, most hardly ever, in a few categories and brands."""
    popular = (rng.pareto(0.6, 900) * 20).astype(int) % MANY
    ids = [f"p{each:04}" for each in range(MANY)]
    bought = purchases(
        [(f"c{row % 60}", ids[each], 1 + row % 99) for row, each in enumerate(popular)], products=ids
    )
    facts = {
        "categories": np.array([("", "food", "drink", "toys")[each % 4] for each in range(MANY)]),
        "titles": np.array([f"kind {each % 700} of {each % 11}" for each in range(MANY)]),
    }
    places = {"regions": np.full(60, "north"), "tiers": np.array(["gold", ""] * 30)}
    return replace(bought, **places), replace(Catalogue.of(bought.product_ids), **facts)


def strings_of(path: Path) -> set[str]:
    """Every string that a data file holds; fails on other files and on arrays of objects."""
    if path.suffix == ".json":
        return set(json.dumps(json.loads(path.read_text())).split('"'))
    if path.suffix != ".npz":
        pytest.fail(f"{path.name} is no data file")
    with np.load(path, allow_pickle=False) as stored:
        return {str(each) for name in stored.files if stored[name].dtype.kind == "U" for each in stored[name]}
