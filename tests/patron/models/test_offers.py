from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from patron.errors import DataError
from patron.models.base import configured
from patron.models.offer_config import OfferPolicyConfig
from patron.models.offer_log import OfferLog
from patron.models.offers import OfferPolicy
from patron.models.response_rates import ResponseRates
from patron.offers.terms import OfferTerms
from patron.settings import PROJECT
from tests.model_contract import ModelContract
from tests.patron.models.offer_shop import (
    CUSTOMERS,
    LIFT,
    MARGIN,
    OFFERS,
    SHIP,
    TEN,
    TWENTY,
    log,
    policy,
    recent,
)
from tests.patron.models.shop import shop

ROWS = CUSTOMERS.rows
LATELY = np.flatnonzero(recent(ROWS))
LONG_AGO = np.flatnonzero(~recent(ROWS))


@pytest.fixture(scope="module")
def learned():
    return policy(log(), epsilon=0, thompson=0)


def exploring(model, **config):
    """The same policy with other shares."""
    found = OfferPolicy(OfferPolicyConfig(**{**model.config.model_dump(), **config}))
    for name in ("segments", "offers", "rates", "order_margins", "order_values", "effects", "learned"):
        setattr(found, name, getattr(model, name))
    return found


def decide(model, row=0, offers=OFFERS, limit=1, seed=1):
    return model.decide(ROWS, row, offers, limit, np.random.default_rng(seed))


class TestOfferPolicy(ModelContract):
    name = "patron-offers"

    def fitted(self, seed):
        return policy(log(1500))

    def answers(self, model):
        worth = model.worth(shop(20).rows, OFFERS)
        words = [reason.text for each in decide(model, limit=3) for reason in each.reasons]
        chances = np.array([model.propensities(worth, row) for row in range(20)])
        return [np.nan_to_num(worth.margin), worth.cost, chances, np.array(words), worth.segments]

    def answers_when_missing(self, model):
        rows = {name: np.full(2, np.nan) for name in ROWS} | {"purchase_days": np.zeros(2)}
        return [np.nan_to_num(model.worth(rows, OFFERS).margin)]

    def answers_when_empty(self, model):
        worth = model.worth({name: np.zeros(0) for name in ROWS}, OFFERS)
        return [worth.margin, worth.cost, worth.segments, worth.without]


def test_an_offer_is_made_where_it_changes_something(learned):
    worth = learned.worth(ROWS, OFFERS)
    best = np.array([learned.best(worth, row) for row in range(len(worth.segments))])
    assert (best[LATELY] == 1).mean() > 0.95, "'ten' where it works"
    assert (best[LONG_AGO] == 0).mean() > 0.6, "mostly nothing where it only costs"
    assert worth.margin[LONG_AGO, 1].mean() < 0 < worth.margin[LATELY, 1].mean()
    assert worth.uplift[LATELY, 1].mean() == pytest.approx(LIFT, abs=0.06)
    assert worth.margin[LATELY, 1].mean() == pytest.approx(LIFT * MARGIN - TEN.cost, abs=0.7)
    assert learned.learned.personal and "coupons" in learned.learned.arms


def test_what_changes_nothing_is_worth_its_cost_less(learned):
    worth = learned.worth(ROWS, OFFERS)
    assert learned.learned.arms["twenties"]["name"] == "treat_none"
    assert np.allclose(worth.margin[:, 2], -TWENTY.cost)


def test_the_cost_of_a_coupon_is_that_of_those_who_order_and_use_it(learned):
    worth = learned.worth(ROWS, [replaced(TEN, kind="coupon", cost=2.0)])
    ordering = np.clip(worth.without + worth.uplift[:, 1], 0, 1)
    assert worth.cost[:, 1] == pytest.approx(2 * learned.order_values.taken["ten"] * ordering)


def test_without_an_effect_the_cost_of_a_coupon_is_that_of_its_segment():
    learned = policy(log(300), least_exposures=10_000)
    worth = learned.worth(ROWS, [replaced(TEN, kind="coupon", cost=2.0)])
    rate = learned.rates.response(str(worth.segments[0]), "ten").rate
    assert worth.cost[0, 1] == pytest.approx(2 * rate)


def replaced(terms, **told):
    return OfferTerms(**{**terms.model_dump(), **told})


def test_an_average_treats_everybody_alike():
    model = policy(log(), alike=True)
    worth = model.worth(ROWS, OFFERS)
    assert np.ptp(worth.uplift[:, 1]) == 0 and worth.uplift[0, 1] == pytest.approx(LIFT / 2, abs=0.04)
    assert not model.learned.personal


def test_without_any_effect_nobody_is_contacted_beyond_the_floor():
    model = policy(log(lift=0.0), epsilon=0.08)
    worth = model.worth(ROWS, OFFERS[:2])
    chances = np.array([model.propensities(worth, row) for row in range(len(worth.segments))])
    assert np.allclose(1 - chances[:, 0], 0.08 * 2 / 3)


def test_what_was_not_drawn_at_random_tells_no_effect():
    model = policy(log(randomised=False), epsilon=0, thompson=0)
    worth = model.worth(ROWS, OFFERS)
    assert np.isnan(worth.margin[:, 1:]).all() and not worth.evidence[1:].any()
    line = decide(model)[0]
    assert (line.offer_id, line.expected_margin, line.propensity) == ("none", 0.0, 1.0)
    told = model.told(worth, 0, 1, 0.1, False)
    assert told.expected_uplift is None and told.reasons[-1].code == "no_evidence"


def test_an_effect_needs_somebody_left_alone():
    found = log()
    model = policy(found.take(found.offer_id != "none"))
    assert model.effects is None and "left without an offer" in model.learned.reason


def test_a_few_exposures_are_no_evidence():
    model = policy(log(), least_exposures=2000)
    assert model.effects is None


def test_an_offer_nobody_knows_is_explored_by_its_share(learned):
    model = exploring(learned, epsilon=0.0, thompson=0.2)
    row = int(LATELY[0])
    chances = model.propensities(model.worth(ROWS, OFFERS), row)
    assert chances.sum() == pytest.approx(1) and chances[3] > 0
    assert chances[1] == pytest.approx(1 - chances[3]), "what is not the new offer's is the best one's"
    assert chances[2] == 0 and chances[3] <= 0.2
    assert model.propensities(model.worth(ROWS, OFFERS[:2]), row)[1] == 1, "all known: nothing to try"


def test_an_unknown_group_lends_nothing_and_a_known_one_does(learned):
    new = OfferTerms(offer_id="eleven", kind="early_access", group="coupons", cost=1.0)
    worth = learned.worth(ROWS, [new])
    assert worth.evidence.tolist() == [True, True]
    assert np.allclose(worth.uplift[:, 1], learned.worth(ROWS, [TEN]).uplift[:, 1])


def test_shown_shares_are_the_propensities(learned):
    model = exploring(learned, epsilon=0.2, thompson=0.1)
    row, rng = int(LATELY[0]), np.random.default_rng(3)
    worth = model.worth(ROWS, OFFERS)
    chances = dict(zip(worth.names, model.propensities(worth, row), strict=True))
    drawn = [model.decided(worth, row, 1, rng)[0] for _ in range(4000)]
    assert all(each.propensity == chances[each.offer_id] for each in drawn)
    for name, chance in chances.items():
        error = np.sqrt(chance * (1 - chance) / len(drawn))
        assert abs(np.mean([each.offer_id == name for each in drawn]) - chance) <= 3 * error


def test_arms_that_may_not_be_shown_have_no_chance(learned):
    model = exploring(learned, epsilon=0.3, thompson=0.1)
    worth, row = model.worth(ROWS, OFFERS), int(LATELY[0])
    chances = model.propensities(worth, row, np.array([False, True, True]))
    assert chances[1] == 0 and chances.sum() == pytest.approx(1)
    rest = model.propensities(model.worth(ROWS, OFFERS[1:]), row)
    assert chances[[0, 2, 3]] == pytest.approx(rest)


def test_a_list_is_ranked_and_holds_what_adds_margin(learned):
    row = int(LATELY[0])
    lines = decide(learned, row, limit=3)
    assert [each.offer_id for each in lines] == ["ten"], "the others add nothing"
    assert [each.code for each in lines[0].reasons] == ["response_rate", "uplift"]


def test_exploration_is_named(learned):
    model, row = exploring(learned, epsilon=1.0), int(LATELY[0])
    for seed in range(30):
        line = decide(model, row, seed=seed)[0]
        assert (line.reasons[0].code == "exploration") == (line.offer_id != "ten")


def test_margins_can_be_learned_themselves():
    model = policy(log(), outcome="margin", epsilon=0, thompson=0)
    worth = model.worth(ROWS, OFFERS)
    assert worth.margin[LATELY, 1].mean() == pytest.approx(LIFT * MARGIN - TEN.cost, abs=0.9)
    assert np.isnan(worth.uplift[:, 1:]).all()
    assert "margin within 28 days" in model.told(worth, int(LATELY[0]), 1, 1.0, False).reasons[-1].text


def test_nothing_known_is_answered_by_none():
    for found in (None, log().take(np.zeros(0, dtype=np.int64))):
        assert [each.offer_id for each in decide(policy(found, epsilon=0, thompson=0))] == ["none"]
    assert decide(policy(None), offers=[])[0].propensity == 1


def test_before_anything_was_shown_all_offers_are_tried():
    model = policy(None, epsilon=0.0, thompson=0.3)
    chances = model.propensities(model.worth(ROWS, OFFERS), 0)
    assert (chances > 0.02).all() and chances[0] > 0.7


def test_what_cannot_be_learned_is_said():
    found = log(100)
    with pytest.raises(DataError, match="differ in length"):
        replace(found, converted=found.converted[1:])
    with pytest.raises(DataError, match="share an id"):
        OfferPolicy().fit(None, [SHIP, SHIP])


def test_exposures_without_an_outcome_are_left_out():
    found = log(400)
    model = policy(replace(found, converted=np.where(np.arange(400) < 300, np.nan, found.converted)))
    shown = sum(each.shown for each in model.rates.tallies.values())
    assert shown == 100


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


def test_the_shipped_config_opens():
    found, config = configured(PROJECT / "configs" / "models" / "offers.toml")
    assert found is OfferPolicy
    assert config == OfferPolicyConfig()


def test_a_log_can_be_cut_down():
    found = log(50)
    kept = found.take(found.offer_id == "ten")
    assert isinstance(kept, OfferLog) and len(kept) == (found.offer_id == "ten").sum()
    assert len(kept.rows["recency_days"]) == len(kept)


def test_who_could_not_get_an_offer_is_not_compared_with_who_did():
    """'ten' went only to those who were here lately, who order more anyway: it changes nothing."""
    found = log(8000, lift=0.0)
    could = recent(found.rows)
    offer = np.where((found.offer_id == "ten") & ~could, "none", found.offer_id).astype(object)
    rng = np.random.default_rng(5)
    ordered = (rng.random(len(found)) < np.where(could, 0.5, 0.1)).astype(float)
    told = np.empty(len(found), dtype=object)
    told[:] = [
        {"none": 0.25, "twenty": 0.25, "ten": 0.5} if each else {"none": 0.75, "twenty": 0.25}
        for each in could
    ]
    shown = replace(found, offer_id=offer, ordered=ordered, margin=MARGIN * ordered)
    blind, sighted = (policy(each, alike=True) for each in (shown, replace(shown, chances=told)))
    assert blind.learned.arms["coupons"]["effect"] > 0.15, "as if the offer had worked"
    assert sighted.learned.arms["coupons"]["name"] == "treat_none"
    assert abs(sighted.learned.arms["coupons"]["effect"]) < 0.05


def test_the_chance_of_an_arm_is_that_of_its_offers_together():
    found = log(3)
    told = np.empty(3, dtype=object)
    told[:] = [{"ten": 0.3, "eleven": 0.2, "none": 0.5}, {"none": 1.0}, None]
    found = replace(found, chances=told, offer_id=np.array(["ten", "none", "ten"], dtype=object))
    chance, could = found.arms({"none": "none", "ten": "coupons", "eleven": "coupons"})
    assert chance[:2].tolist() == [0.5, 1.0] and chance[2] == found.propensity[2]
    assert could["coupons"].tolist() == [True, False, True]
