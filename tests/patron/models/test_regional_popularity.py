from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from patron.models.base import CustomerHistory
from patron.models.regional_popularity import RegionalPopularity, RegionalPopularityConfig
from tests.purchases import checkerboard, once, others_of, purchases
from tests.recommender_contract import HISTORIES, RecommenderContract


def placed(interactions, regions, tiers=None):
    """The same purchases, with a region and a tier for each customer code."""
    return replace(
        interactions, regions=np.asarray(regions), tiers=None if tiers is None else np.asarray(tiers)
    )


def living(region, tier="", bought=None):
    return replace(bought or CustomerHistory.empty(), region=region, tier=tier)


def parity(i):
    return "even" if i % 2 == 0 else "odd"


class TestRegionalPopularity(RecommenderContract):
    def unfitted(self):
        return RegionalPopularity(
            RegionalPopularityConfig(window_days=60, prior_customers=1, min_customers=1)
        )

    def fitted(self, interactions=None, seed=7, threads=1):
        interactions = checkerboard() if interactions is None else interactions
        size = interactions.customer.max(initial=-1) + 1
        model = self.unfitted()
        regions = [parity(i) for i in range(size)]
        model.fit(placed(interactions, np.asarray(regions, dtype=np.str_)), seed=seed, threads=threads)
        return model

    def answers(self, model):
        return np.stack([model.scores(living(parity(i), "", each)) for i, each in enumerate(HISTORIES)])

    def test_fitting_again_forgets_the_first_fit(self):
        model = self.fitted(purchases([("a", "x", 1), ("b", "y", 2)]))
        model.scores(living("even"))
        model.fit(placed(checkerboard(), [parity(i) for i in range(8)]))
        np.testing.assert_array_equal(self.answers(model), self.answers(self.fitted()))

    @pytest.mark.parametrize("i", range(8))
    def test_the_missing_square_of_the_checkerboard_comes_first(self, i):
        model = self.fitted()
        scores = model.scores(living(parity(i)))
        scores[[j for j in range(8) if f"p{j}" in others_of(i).product_ids]] = 0
        assert model.product_ids[np.argmax(scores)] == f"p{i}"


ROWS = [
    ("a", "skis", 90), ("a", "skis", 91), ("b", "skis", 92), ("c", "sled", 93),
    ("d", "surfboard", 94), ("e", "surfboard", 95), (None, "surfboard", 96), ("a", "old", 1),
]  # fmt: skip
REGIONS = ["alps", "alps", "alps", "coast", ""]
TIERS = ["gold", "gold", "", "gold", "gold"]


def fitted(regions=REGIONS, tiers=TIERS, **config):
    model = RegionalPopularity(
        RegionalPopularityConfig(**{"prior_customers": 2.0, "min_customers": 1, **config})
    )
    model.fit(placed(purchases(ROWS), regions, tiers) if regions else purchases(ROWS))
    return model


def scored(model, region, tier=""):
    return dict(zip(model.product_ids.tolist(), model.scores(living(region, tier)).tolist(), strict=True))


def test_buyers_of_the_region_are_mixed_with_the_shop():
    scores = scored(fitted(), "alps")
    assert scores["skis"] == pytest.approx((2 + 2 * 2 / 6) / (3 + 2))
    assert scores["surfboard"] == pytest.approx((0 + 2 * 3 / 6) / (3 + 2))
    assert scores["old"] == 0


def test_a_tier_stands_on_its_region():
    region = (2 + 2 * 2 / 6) / (3 + 2)
    assert scored(fitted(), "alps", "gold")["skis"] == pytest.approx((2 + 2 * region) / (2 + 2))
    assert scored(fitted(), "alps", "silver")["skis"] == pytest.approx(region)


def test_a_small_group_speaks_as_the_one_above_it():
    few = fitted(min_customers=3)
    assert few.groups.tolist() == [["alps", ""]]
    assert scored(few, "alps", "gold") == scored(few, "alps")
    assert scored(few, "coast")["skis"] == pytest.approx(2 / 6)


def test_a_region_nobody_lived_in_speaks_as_the_shop():
    assert scored(fitted(), "moon")["surfboard"] == pytest.approx(3 / 6)


def test_plain_popularity_answers_where_the_region_is_unknown():
    assert not any(scored(fitted(), "").values())
    assert not fitted().scores(once("skis")).any()


def test_tiers_and_regions_may_be_missing():
    assert scored(fitted(tiers=None), "alps", "gold") == scored(fitted(tiers=None), "alps")
    assert scored(fitted(regions=None), "alps")["skis"] == pytest.approx(2 / 6)


def test_answers_may_be_changed_by_who_asked():
    model = fitted()
    model.scores(living("moon"))[:] = np.nan
    model.scores(living("alps"))[:] = np.nan
    assert np.isfinite(model.scores(living("alps", "gold"))).all()
