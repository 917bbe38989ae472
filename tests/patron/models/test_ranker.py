from __future__ import annotations

import numpy as np
import pytest

from patron.errors import DataError
from patron.models.ranker import Ranker, RankerConfig

SMALL = {"trees": 20, "leaves": 4, "min_leaf_customers": 5, "feature_fraction": 1.0}


def customers(size=60, seed=1):
    """Candidates of each customer: the larger `good`, the likelier bought; `noise` says nothing."""
    rng = np.random.default_rng(seed)
    candidates = [{"good": rng.random(12), "noise": rng.random(12)} for _ in range(size)]
    return candidates, [each["good"] + 0.1 * rng.random(12) > 0.8 for each in candidates]


def fitted(seed=7, given=None, **more):
    return Ranker.fit(RankerConfig(**{**SMALL, **more}), *(given or customers()), seed=seed, threads=1)


ODD = {"good": np.array([0.9, np.nan, 0.1]), "noise": np.array([np.nan, 0.5, 1e9])}


@pytest.mark.parametrize("objective", ["binary", "lambdarank"])
def test_what_is_bought_comes_first(objective):
    ranker = fitted(objective=objective)
    for candidates, bought in zip(*customers(20, seed=2), strict=True):
        scores = ranker.scores(candidates)
        assert scores.dtype == np.float32 and ((scores > 0) & (scores < 1)).all()
        assert bought.sum() == 0 or bought[np.argmax(scores)]
    assert next(iter(ranker.importance)) == "good"
    assert sum(ranker.importance.values()) == pytest.approx(1)


@pytest.mark.parametrize("objective", ["binary", "lambdarank"])
def test_what_was_saved_is_what_is_loaded(tmp_path, objective):
    ranker = fitted(objective=objective)
    ranker.save(tmp_path)
    read = Ranker.load(tmp_path)
    assert (read.config, read.names) == (ranker.config, ranker.names)
    for candidates in (*customers(5, seed=3)[0], ODD):
        np.testing.assert_allclose(read.scores(candidates), ranker.scores(candidates), rtol=0, atol=1e-5)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["ranker.json", "ranker.txt"]


def text(ranker):
    return ranker.trees.booster.model_to_string()


def test_the_same_seed_grows_the_same_trees():
    assert text(fitted()) == text(fitted())
    assert text(fitted(seed=8)) != text(fitted())


def test_features_are_told_apart_by_name():
    ranker = fitted()
    candidates = customers(1, seed=4)[0][0]
    turned = {name: candidates[name] for name in reversed(candidates)}
    np.testing.assert_array_equal(ranker.scores(turned), ranker.scores({**candidates, "more": np.zeros(12)}))


def test_customers_who_bought_no_candidate_teach_nothing():
    candidates, hits = customers()
    more = [*candidates, ODD], [*hits, np.zeros(3, dtype=bool)]
    assert text(fitted(given=more)) == text(fitted())


def test_nobody_to_learn_from_is_an_error():
    candidates, hits = customers(3)
    with pytest.raises(DataError, match="No candidate was bought"):
        fitted(given=(candidates, [np.zeros_like(each) for each in hits]))


def test_no_candidates_no_scores():
    assert fitted().scores({"good": np.zeros(0), "noise": np.zeros(0)}).shape == (0,)
