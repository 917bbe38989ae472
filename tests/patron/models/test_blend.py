from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from patron.errors import DataError
from patron.models.base import CustomerHistory, class_path, configured, open_model
from patron.models.blend import Blend, BlendConfig
from patron.models.catalogue import Catalogue
from patron.models.placements import PLACEMENTS
from patron.models.ranker import Ranker, RankerConfig
from patron.models.regional_popularity import RegionalPopularityConfig
from patron.models.sources import SOURCES
from patron.settings import PROJECT
from tests.purchases import history, once, purchases
from tests.recommender_contract import RecommenderContract

NOBODY = CustomerHistory.empty()
SOUTH = RegionalPopularityConfig(prior_customers=1.0, min_customers=1)
SMALL = BlendConfig(
    als={"factors": 4, "iterations": 5},
    item_item={"min_buyers": 1, "shrinkage": 0.0},
    together={"basket": "order", "min_buyers": 1, "shrinkage": 0.0},
)


class TestBlend(RecommenderContract):
    def unfitted(self):
        return Blend(SMALL)


# Tea drinkers a..d buy tea with a cup; coffee drinkers e..g coffee with a mug; postage comes with everything.
ROWS = [
    (who, what, day)
    for place, who in enumerate("abcdefg")
    for day in (60 + place, 90 + place)
    for what in (("tea", "cup", "postage") if who in "abcd" else ("coffee", "mug", "postage"))
]
ROWS += [("a", "honey", 75), ("b", "honey", 75), ("h", "sold out", 95), ("h", "tea", 95)]
PRODUCTS = sorted({row[1] for row in ROWS})
CATEGORIES = {"tea": "food", "coffee": "food", "honey": "food", "cup": "kitchen", "mug": "kitchen"}
TEA = history(("tea", 5, 25, 21), ("honey", 1, 12, None))


@pytest.fixture(scope="module")
def blend():
    facts = {
        "titles": np.array([each.title() for each in PRODUCTS]),
        "categories": np.array([CATEGORIES.get(each, "") for each in PRODUCTS]),
        "in_stock": np.array([each != "sold out" for each in PRODUCTS]),
        "visible": np.array([each != "postage" for each in PRODUCTS]),
    }
    known = Catalogue(**{**vars(Catalogue.of(np.array(PRODUCTS))), **facts})
    model = Blend(SMALL)
    model.fit(purchases(ROWS), known, seed=1, threads=1)
    return model


def ids(found):
    return [each.product_id for each in found]


def told(found):
    return {each.product_id: [(why.code, why.product_id) for why in each.reasons] for each in found}


def mask(blend, *product_ids):
    return np.isin(blend.product_ids, product_ids)


def test_repeats_lead_and_neighbours_follow(blend):
    found = blend.recommend(TEA, 3)
    assert ids(found)[:2] == ["tea", "honey"] or ids(found)[:2] == ["tea", "cup"]
    assert found[0].source == "buy_again"
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


@pytest.mark.parametrize("placement", [*PLACEMENTS, "email"])
@pytest.mark.parametrize("bought", [NOBODY, TEA, once("mug"), once("unknown")])
def test_nothing_is_shown_twice_or_cannot_be_sold(blend, placement, bought):
    found = ids(blend.recommend(bought, 50, placement=placement, context_product_ids=["cup"]))
    assert len(set(found)) == len(found)
    assert not {"postage", "sold out", "cup"} & set(found)


@pytest.mark.parametrize("limit", [1, 3, 5])
def test_the_limit_is_met_when_enough_products_are_allowed(blend, limit):
    for bought in (NOBODY, TEA, once("unknown")):
        assert len(blend.recommend(bought, limit)) == limit
    assert len(blend.recommend(TEA, 3, exclude=["tea", "honey"])) == 3
    assert len(blend.recommend(TEA, 100)) == 5


def test_the_filter_comes_before_the_cut(blend):
    assert ids(blend.recommend(TEA, 1, allowed=mask(blend, "mug"))) == ["mug"]
    assert ids(blend.recommend(TEA, 9, allowed=mask(blend, "mug", "postage", "sold out"))) == ["mug"]
    assert blend.recommend(TEA, 9, allowed=mask(blend)) == []
    assert blend.recommend(TEA, 0) == []


def test_an_unknown_customer_gets_what_is_popular(blend):
    found = blend.recommend(NOBODY, 2)
    assert ids(found) == ["tea", "cup"]
    assert {each.source for each in found} == {"popularity"}
    assert ids(found) == ids(blend.popular(2))


def test_buy_again_holds_only_what_was_bought(blend):
    assert sorted(ids(blend.recommend(TEA, 10, placement="buy_again"))) == ["honey", "tea"]
    assert blend.recommend(NOBODY, 10, placement="buy_again") == []


def test_a_page_is_answered_by_what_goes_with_it(blend):
    for placement in ("product", "cart"):
        found = blend.recommend(NOBODY, 2, placement=placement, context_product_ids=["mug"])
        assert found[0].product_id == "coffee"
        assert found[0].source in ("item_item", "together")
        assert ("often_bought_with", "mug") in told(found)["coffee"]


def test_a_page_that_is_not_named_is_answered_like_home(blend):
    assert blend.recommend(TEA, 5, placement="cart") == blend.recommend(TEA, 5)


def test_reasons_say_what_happened(blend):
    found = blend.recommend(TEA, 5, placement="buy_again")
    words = {each.product_id: each.reasons[0] for each in found}
    assert words["tea"].code == "due_again"
    assert words["tea"].text == "Bought 5 times, usually every 21 days, last 25 days ago"
    assert words["honey"].code == "bought_before"
    assert words["honey"].text == "Bought once, last 12 days ago"


def test_reasons_name_the_product_behind_them():
    model = Blend(SMALL.model_copy(update={"weights": {"home": {"item_item": 1.0}}}))
    model.fit(purchases(ROWS), seed=1)
    found = model.recommend(once("mug", "unknown"), 2, allowed=mask(model, "coffee"))
    assert told(found) == {"coffee": [("because_you_bought", "mug")]}


def test_reasons_are_left_out_on_request(blend):
    quiet = blend.recommend(TEA, 5, explain=False)
    assert ids(quiet) == ids(blend.recommend(TEA, 5))
    assert not any(each.reasons for each in quiet)


def test_every_home_answer_has_a_reason(blend):
    for bought in (NOBODY, TEA, once("mug")):
        assert all(each.reasons for each in blend.recommend(bought, 5))


def test_diversity_brings_other_categories_forward(blend):
    alike = blend.recommend(NOBODY, 3, allowed=mask(blend, "tea", "coffee", "honey", "cup"))
    spread = blend.recommend(NOBODY, 3, allowed=mask(blend, "tea", "coffee", "honey", "cup"), diversity=1.0)
    assert ids(alike) == ["tea", "cup", "coffee"]
    assert ids(spread)[:2] == ["tea", "cup"]
    assert ids(blend.recommend(TEA, 2, allowed=mask(blend, "tea", "honey", "cup"), diversity=1.0)) == [
        "tea",
        "cup",
    ]


def test_similar_products_are_neighbours_then_the_popular_of_the_category(blend):
    found = blend.similar("mug", "similar", 5)
    assert ids(found)[0] == "coffee"
    assert ids(found) == ["coffee", "cup", "tea", "honey"]
    assert [each.source for each in found] == ["item_item", "content", "popularity", "popularity"]
    assert ids(blend.similar("coffee", "bought_together", 1)) == ["mug"]
    assert ids(blend.similar("unknown", "similar", 2)) == ["tea", "cup"]
    assert ids(blend.similar("mug", "similar", 1, allowed=mask(blend, "honey"))) == ["honey"]


def test_ranking_gives_back_the_same_products(blend):
    found = blend.rank(TEA, ["mug", "nonsense", "tea", "sold out", "tea"])
    assert sorted(ids(found)) == ["mug", "nonsense", "sold out", "tea"]
    assert ids(found)[0] == "tea"
    assert ids(found)[-1] == "nonsense"
    assert blend.rank(TEA, []) == []


def test_popular_counts_buyers(blend):
    found = blend.popular(3, exclude=["tea"])
    assert ids(found) == ["cup", "coffee", "mug"]
    assert found[0].score == 4
    assert found[0].reasons[0].text == "Bought by 4 customers in the last 28 days"


def test_scores_agree_with_recommendations(blend):
    scores = blend.scores(TEA)
    for each in blend.recommend(TEA, 5):
        assert scores[blend.catalogue.position(each.product_id)] == pytest.approx(each.score)
    assert scores[blend.catalogue.position("postage")] == 0


def fresh():
    model = Blend(SMALL)
    model.fit(purchases(ROWS), seed=1)
    return model


def test_fitted_weights_find_what_is_bought():
    model = fresh()
    bought = [once("tea"), once("mug"), once("honey"), once("coffee")]
    again = [[model.catalogue.position(str(each.product_ids[0]))] for each in bought]
    lists = [model.shortlist(each) for each in bought]
    assert model.fit_weights(lists, again, seed=1) == pytest.approx(1.0)
    assert [model.recommend(each, 1)[0].product_id for each in bought] == ["tea", "mug", "honey", "coffee"]
    assert sum(model.weights["home"].values()) == pytest.approx(1.0, abs=1e-5)
    assert model.weights["cart"] == PLACEMENTS["cart"]


def test_weights_are_the_same_for_the_same_seed_and_survive_saving(tmp_path):
    one, other = fresh(), fresh()
    lists = [one.shortlist(each) for each in (TEA, once("mug"), NOBODY)]
    relevant = [{0, 1}, np.array([2]), []]
    assert one.fit_weights(lists, relevant, seed=3) == other.fit_weights(lists, relevant, seed=3)
    assert one.weights == other.weights
    one.save(tmp_path)
    assert Blend.load(tmp_path).weights == one.weights
    assert Blend.load(tmp_path).recommend(TEA, 5) == one.recommend(TEA, 5)


def test_weights_cannot_be_fitted_on_nothing():
    with pytest.raises(DataError, match="No customer bought anything"):
        model = fresh()
        model.fit_weights([model.shortlist(TEA)], [[]])


def test_a_placement_of_ones_own_can_be_weighted():
    config = SMALL.model_copy(update={"weights": {"email": {"popularity": 1.0}}})
    model = Blend(config)
    model.fit(purchases(ROWS), seed=1)
    assert {each.source for each in model.recommend(TEA, 3, placement="email")} == {"popularity"}
    assert model.recommend(TEA, 1)[0].source == "buy_again"


def test_ranks_can_make_sources_comparable():
    model = Blend(SMALL.model_copy(update={"normalise": "rank"}))
    model.fit(purchases(ROWS), seed=1)
    assert model.recommend(TEA, 1)[0].product_id == "tea"


def test_the_shipped_configs_say_the_defaults():
    for name in ("recommender", *(each.replace("_", "-") for each in SOURCES if each != "together")):
        kind, config = configured(PROJECT / "configs" / "models" / f"{name}.toml")
        assert config == kind.Config()
    assert configured(PROJECT / "configs" / "models" / "recommender.toml")[0] is Blend


def test_a_sealed_artifact_is_opened_by_its_manifest(tmp_path):
    from datetime import UTC, datetime

    from patron.artifacts import seal

    model = fresh()
    model.save(tmp_path)
    seal(
        tmp_path,
        name="patron-recommender",
        model=class_path(model),
        version="0123456789abcdef",
        trained_at=datetime(2024, 1, 2, tzinfo=UTC),
        cutoff=datetime(2024, 1, 1, tzinfo=UTC),
        data_hash="none",
        features={},
        parameters={},
    )
    opened, _ = open_model(tmp_path)
    assert isinstance(opened, Blend)
    assert opened.recommend(TEA, 5) == model.recommend(TEA, 5)


RANKER = RankerConfig(trees=20, leaves=3, min_leaf_customers=1, feature_fraction=1.0)


def ranked(model, wanted):
    """The model with a ranker that was taught that everybody buys `wanted`."""
    bought = [TEA, once("mug"), once("honey"), once("coffee", "mug")] * 5
    position = model.catalogue.position(wanted)
    pairs = [model.candidates(model.shortlist(each), each, 50) for each in bought]
    hits = [kept.positions == position for kept, _ in pairs]
    ranker = Ranker.fit(RANKER, [columns for _, columns in pairs], hits, seed=1)
    return model.variant(ranker=ranker)


def test_a_ranker_orders_home_and_nothing_else(tmp_path):
    plain = fresh()
    model = ranked(plain, "cup")
    assert ids(model.recommend(once("tea"), 1)) == ["cup"]
    assert ids(model.recommend(once("tea"), 1, placement="email")) == ["cup"]
    for placement in ("product", "cart", "buy_again"):
        page = ["mug"]
        assert model.recommend(TEA, 3, placement=placement, context_product_ids=page) == plain.recommend(
            TEA, 3, placement=placement, context_product_ids=page
        )
    assert all(each.reasons for each in model.recommend(TEA, 5))
    model.save(tmp_path)
    assert Blend.load(tmp_path).recommend(TEA, 5) == model.recommend(TEA, 5)
    assert model.ranker.importance


@pytest.mark.parametrize("with_ranker", [False, True])
def test_the_order_that_is_judged_is_the_order_that_is_served(with_ranker):
    model = ranked(fresh(), "cup") if with_ranker else fresh()
    for bought in (NOBODY, TEA, once("mug"), once("unknown")):
        order = model.order(model.shortlist(bought), bought)
        served = [each for each in model.recommend(bought, 10) if each.score > 0]
        assert model.product_ids[order].tolist() == ids(served)


def test_places_are_kept_for_new_products():
    names = [f"p{place:02d}" for place in range(13)]
    rows = [(who, each, 60 + place) for who in "ab" for place, each in enumerate(names)]
    model = Blend(SMALL)
    model.fit(purchases(rows), seed=1)
    wide = history(*((each, 3, 10 + place, 30) for place, each in enumerate(names[:12])))
    plain = model.variant(home={"buy_again": 0.9, "popularity": 0.1})
    kept = model.variant(home={"buy_again": 0.9, "popularity": 0.1}, new_places=1)
    assert "p12" not in ids(plain.recommend(wide, 10))
    assert ids(kept.recommend(wide, 10)) == [*ids(plain.recommend(wide, 9)), "p12"]
    assert "p12" not in ids(kept.recommend(wide, 10, placement="buy_again"))


def test_strangers_of_a_region_see_what_sells_there():
    interactions = replace(
        purchases(ROWS), regions=np.array(["north"] * 4 + ["south"] * 4), tiers=np.array([""] * 8)
    )
    model = Blend(SMALL.model_copy(update={"regional_popularity": SOUTH}))
    model.fit(interactions, seed=1)
    stranger = replace(NOBODY, region="south")
    sold = mask(model, "tea", "cup", "coffee", "mug")
    found = model.recommend(stranger, 2, allowed=sold)
    assert sorted(ids(found)) == ["coffee", "mug"]
    assert {each.source for each in found} == {"regional_popularity"}
    assert found[0].reasons[0].code == "popular_in_region"
    assert ids(model.recommend(NOBODY, 1, allowed=sold)) == ["tea"]


def test_a_new_product_is_found_by_what_it_is():
    facts = {"titles": np.array(["Green tea", "Cup", "Black tea", "Mug", "Coffee"])}
    names = np.array(["tea", "cup", "new", "mug", "coffee"])
    known = Catalogue(**{**vars(Catalogue.of(names)), **facts})
    rows = [row for row in ROWS if row[1] in ("tea", "cup", "mug", "coffee")]
    model = Blend(SMALL.model_copy(update={"weights": {"home": {"content": 1.0}}}))
    model.fit(purchases(rows, products=sorted(names)), known, seed=1)
    found = model.recommend(once("tea"), 5)
    new = next(each for each in found if each.product_id == "new")
    assert new.source == "content"
    assert new.reasons[0].text == "Similar to Green tea"
    assert "new" in ids(model.similar("tea", "similar", 3))


def test_a_neural_source_tells_how_far_it_is_and_can_be_saved(tmp_path):
    told: list[str] = []
    sources = (*BlendConfig().sources, "sequence")
    quick = {"epochs": 1, "factors": 4, "refit": False}
    config = BlendConfig(**SMALL.model_dump() | {"sources": sources, "sequence": quick})
    model = Blend(config)
    (tmp_path / "going").mkdir()
    model.fit(purchases(ROWS), seed=1, checkpoint=tmp_path / "going", say=told.append)
    assert any(each.startswith("Fitting sequence: search, epoch 1") for each in told)
    assert list((tmp_path / "going").iterdir())
    (tmp_path / "kept").mkdir()
    model.save(tmp_path / "kept")
    np.testing.assert_allclose(Blend.load(tmp_path / "kept").scores(TEA), model.scores(TEA), atol=1e-5)
