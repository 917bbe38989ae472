from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from patron.errors import DataError
from patron.models.base import configured
from patron.models.offers import OfferPolicy, OfferPolicyConfig, OfferTerms
from patron.models.response_rates import ResponseRates
from patron.models.segments import Segments
from patron.settings import PROJECT
from tests.model_contract import ModelContract
from tests.patron.models.shop import shop

NOW = datetime(2017, 6, 1, tzinfo=UTC)
OFFERS = [
    OfferTerms(offer_id="ten", name="10 off", kind="early_access", group="coupons", cost=1.0),
    OfferTerms(offer_id="twenty", name="20 off", kind="early_access", group="coupons", cost=2.0),
    OfferTerms(offer_id="ship", kind="free_shipping", cost=0.5, channels=("email",)),
    OfferTerms(offer_id="gold", kind="early_access", min_tier="gold"),
    OfferTerms(offer_id="past", valid_to=datetime(2017, 5, 1)),
]


def exposures(with_none=True, n=4000, seed=1):
    """'ten' lifts 'loyal' from 5% to 30%; nothing moves 'lost'."""
    rng = np.random.default_rng(seed)
    offer = rng.choice(["none", "ten", "twenty"] if with_none else ["ten", "twenty"], n)
    segment = rng.choice(["loyal", "lost"], n)
    rate = np.where((offer == "ten") & (segment == "loyal"), 0.3, 0.05)
    converted = rng.uniform(size=n) < rate
    return {
        "offer_id": offer,
        "segment": segment,
        "converted": converted,
        "value": np.where(converted, 40.0, 0.0),
        "propensity": np.full(n, 1 / 3),
    }


def policy(found=None, offers=OFFERS, **config):
    segments = Segments().fit(shop(100).rows)
    return OfferPolicy(OfferPolicyConfig(**config)).fit(
        exposures() if found is None else found, offers, segments
    )


def decide(model, segment="loyal", channel="email", limit=3, seed=1, tier=None):
    return model.decide(segment, NOW, channel, limit, np.random.default_rng(seed), tier)


class TestOfferPolicy(ModelContract):
    name = "patron-offers"

    def fitted(self, seed):
        return policy()

    def answers(self, model):
        lines = [line for segment in ("loyal", "lost") for line in decide(model, segment)]
        numbers = [[each.expected_uplift, each.expected_margin, each.propensity] for each in lines]
        words = [f"{each.offer_id} {[reason.text for reason in each.reasons]}" for each in lines]
        return [np.array(numbers), np.array(words), model.segments.segment(shop(20).rows)]

    def answers_when_missing(self, model):
        return [np.array([each.expected_margin for each in decide(model, "a segment never seen", None)])]

    def answers_when_empty(self, model):
        return [[line for line in decide(model, limit=1, channel="paper") if line.offer_id == "ship"]]


def test_the_offer_that_works_is_shown_where_it_works():
    model = policy(epsilon=0)
    loyal, lost = decide(model, channel="app"), decide(model, "lost", channel="app")
    assert loyal[0].offer_id == "ten"
    assert loyal[0].expected_uplift == pytest.approx(0.25, abs=0.05)
    assert loyal[0].expected_margin == pytest.approx(0.25 * 40 * 0.3 - 1, abs=0.7)
    assert [each.code for each in loyal[0].reasons] == ["response_rate", "uplift"]
    assert [each.offer_id for each in lost] == ["none"]
    assert lost[0].expected_margin == 0


def test_propensities_are_exact():
    model = policy(epsilon=0.2)
    arms = model.propensities("loyal", NOW, "email")
    assert sum(arms.values()) == pytest.approx(1)
    assert arms == pytest.approx({"none": 0.05, "ten": 0.85, "twenty": 0.05, "ship": 0.05})
    rng = np.random.default_rng(3)
    drawn = [model.decide("loyal", NOW, "email", 1, rng)[0] for _ in range(4000)]
    assert all(each.propensity == arms[each.offer_id] for each in drawn)
    shares = {name: np.mean([each.offer_id == name for each in drawn]) for name in arms}
    assert shares == pytest.approx(arms, abs=0.02)


def test_eligibility():
    model = policy()
    assert set(model.propensities("loyal", NOW, "email")) == {"none", "ten", "twenty", "ship"}
    assert set(model.propensities("loyal", NOW, "app")) == {"none", "ten", "twenty"}
    assert "gold" in model.propensities("loyal", NOW, "app", "Platinum")
    assert "gold" not in model.propensities("loyal", NOW, "app", "silver")
    assert "past" in model.propensities("loyal", datetime(2017, 4, 1, tzinfo=UTC), "app")


def test_without_a_control_group_the_answer_says_so():
    line = decide(policy(exposures(with_none=False), epsilon=0), limit=1)[0]
    assert line.offer_id == "ten"
    assert [each.code for each in line.reasons] == ["response_rate", "observational"]


def test_nothing_known_is_answered_by_none():
    for model in (
        policy({}, []),
        policy({}, OFFERS),
        policy({name: np.zeros(0) for name in exposures()}, []),
    ):
        model.config = OfferPolicyConfig(epsilon=0)
        assert [each.offer_id for each in decide(model)] == ["none"]
    assert decide(policy({}, []))[0].propensity == 1


def test_exploration_is_named():
    model = policy(epsilon=1)
    lines = [decide(model, limit=1, seed=seed)[0] for seed in range(50)]
    for line in lines:
        assert (line.reasons[0].code == "exploration") == (line.offer_id != "ten")


def test_a_list_is_ranked_and_holds_no_none_behind_an_offer():
    found = exposures(with_none=False)
    found["converted"] = np.ones(len(found["converted"]))
    found["value"] = np.full(len(found["converted"]), 40.0)
    lines = decide(policy(found, epsilon=0), limit=2)
    assert [each.offer_id for each in lines] == ["ship", "ten"]
    assert lines[0].expected_margin >= lines[1].expected_margin
    assert "none" not in [each.offer_id for each in lines]


def test_rates_lean_on_their_group():
    found = {
        "offer_id": np.array(["ten"] * 1000 + ["twenty"]),
        "segment": np.array(["loyal"] * 1001),
        "converted": np.array([1.0] * 500 + [0.0] * 500 + [0.0]),
        "value": np.full(1001, 10.0),
    }
    rates = ResponseRates.fit(found, {"ten": "a", "twenty": "a", "other": "b"}, 0.02, 50)
    assert rates.response("loyal", "ten").rate == pytest.approx(0.5, abs=0.02)
    assert rates.response("loyal", "twenty").rate == pytest.approx(0.48, abs=0.04)
    assert rates.response("new", "twenty").value == pytest.approx(10)
    assert rates.response("loyal", "ten").shown == 1000


def test_exposures_without_an_outcome_are_left_out():
    found = {"offer_id": ["ten"] * 2, "segment": ["x"] * 2, "converted": [None, True], "value": [None, None]}
    rates = ResponseRates.fit(
        {name: np.array(each, dtype=object) for name, each in found.items()}, {}, 0.02, 50
    )
    assert rates.response("x", "ten").shown == 1


def test_what_cannot_be_learned_is_said():
    with pytest.raises(DataError, match="lack converted, value"):
        policy({"offer_id": np.array(["a"]), "segment": np.array(["b"])})
    with pytest.raises(DataError, match="ids of their own"):
        policy({}, [OfferTerms(offer_id="a"), OfferTerms(offer_id="a")])


def test_the_shipped_config_opens():
    found, config = configured(PROJECT / "configs" / "models" / "offers.toml")
    assert found is OfferPolicy
    assert config == OfferPolicyConfig()
