"""What a policy would have earned, against what it truly earns."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from patron.offers.catalogue import Catalogue
from tests.patron.models.offer_shop import BASE, LIFT, MARGIN, OFFERS, TEN, TWENTY, log, policy, recent
from training.offer_evidence import values
from training.policy_value import Replay, judgement, response_metrics, rewards

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CATALOGUE = Catalogue(OFFERS)


def replay(found, catalogue=CATALOGUE, moments=None):
    customers = [f"c{place % 900}" for place in range(len(found))]
    return Replay.of(found, customers, moments or [NOW] * len(found), catalogue)


@pytest.fixture(scope="module")
def seen():
    return replay(log(6000, seed=10))


@pytest.fixture(scope="module")
def learned():
    return policy(log(), epsilon=0.1, thompson=0)


def truth(model, seen):
    """Expected reward of a decision of the policy, from what the exposures were made by."""
    chances = seen.chances(model)[1]
    rate = np.full(chances.shape, BASE)
    rate[:, 1] += LIFT * recent(seen.drawn.rows)
    costs = np.array([[0.0, TEN.cost, TWENTY.cost, 0.0]])[:, : chances.shape[1]]
    return float((chances * (rate * MARGIN - costs)).sum(axis=1).mean())


def test_the_estimates_are_near_the_truth(learned, seen):
    seen = replay(seen.log, Catalogue(OFFERS[:2]))  # what was never shown cannot be estimated
    found = values(learned, seen)["the policy"]
    assert found["concludes"] and found["effective_samples"] > 300
    for estimator in ("ips", "snips", "dr"):
        assert abs(found[estimator]["value"] - truth(learned, seen)) < 3 * found[estimator]["error"]


def test_the_learned_policy_is_worth_more_than_the_average_one(learned, seen):
    alike = policy(log(), alike=True, epsilon=0.1, thompson=0)
    ours, theirs = (judgement(each, seen, "policy_value").metrics for each in (learned, alike))
    assert ours["policy_value"] > theirs["policy_value"]
    assert ours["qini"] > 0.1 > abs(theirs["qini"]) and ours["uplift_at_30"] > theirs["uplift_at_30"]
    assert 0 < ours["contact_share"] < theirs["contact_share"] <= 1


def test_rivals_are_named_and_estimated(learned, seen):
    found = values(learned, seen)
    assert set(found) == {
        *("the policy", "nobody is shown anything", "every arm alike"),
        *("ten to everybody", "twenty to everybody"),
    }
    nobody = found["nobody is shown anything"]
    assert nobody["low"] < BASE * MARGIN < nobody["high"]


def test_customers_are_drawn_with_all_their_exposures(seen):
    at = np.array([0, 0, 5])
    rows = seen.rows_of(at)
    assert sorted(set(seen.customer[rows].tolist())) == [0, 5]
    assert (seen.customer[rows] == 0).sum() == 2 * (seen.customer == 0).sum()


def test_what_did_not_run_then_has_no_chance(learned):
    found = log(40)
    late = OFFERS[2].model_copy(update={"valid_from": NOW + timedelta(days=1)})
    seen = replay(found, Catalogue((*OFFERS[:2], late)))
    assert not seen.may[:, 2].any() and (seen.chances(learned)[1][:, 3] == 0).all()


def test_an_offer_that_is_gone_weighs_nothing(learned):
    seen = replay(log(40), Catalogue(OFFERS[1:]))
    gone = seen.drawn.offer_id == "ten"
    assert (seen.taken[gone] == -1).all()
    assert (seen.target(seen.chances(learned)[1])[gone] == 0).all()


def test_a_coupon_costs_where_it_was_taken_up():
    found = log(200)
    coupon = Catalogue((TEN.model_copy(update={"kind": "coupon", "cost": 5.0}), *OFFERS[1:]))
    seen = replay(found, coupon)
    paid = np.where(seen.taken == 1, 5.0 * found.converted, np.where(seen.taken == 2, TWENTY.cost, 0.0))
    assert np.allclose(rewards(found, seen.taken, coupon), found.margin - paid)


def test_what_was_not_drawn_at_random_is_not_judged(learned):
    seen = replay(log(300, randomised=False))
    found = judgement(learned, seen, "policy_value")
    assert found.customers == 0 and np.isnan(found.metrics["policy_value"])
    assert "response_roc_auc" in found.metrics, "responses are told all the same"
    assert values(learned, seen) == {}


def test_responses_of_nobody():
    assert response_metrics(policy(None), log(30).take(np.zeros(0, dtype=np.int64))) == {}


def test_ranking_heeds_how_probably_each_was_shown():
    """Nothing works; the offer went mostly to those who order anyway, with chances that are told."""
    found = log(8000, lift=0.0, seed=4)
    rng, good = np.random.default_rng(2), recent(found.rows)
    shown = rng.random(len(found)) < np.where(good, 0.9, 0.1)
    ordered = (rng.random(len(found)) < np.where(good, 0.6, 0.1)).astype(float)
    chance = np.where(shown == good, 0.9, 0.1)
    offer = np.where(shown, "ten", "none").astype(object)
    seen = replay(replace(found, offer_id=offer, ordered=ordered, propensity=chance), Catalogue(OFFERS[:1]))
    model = policy(log(), epsilon=0.1, thompson=0)
    measured = judgement(model, seen, "policy_value").metrics
    assert abs(measured["uplift_at_30"]) < 0.06 and abs(measured["qini"]) < 0.06


def test_wrong_propensities_are_refused(learned):
    found = log(4000, seed=12)
    seen = replay(replace(found, propensity=found.propensity / 2), Catalogue(OFFERS[:2]))
    measured = judgement(learned, seen, "policy_value").metrics
    assert measured["conclusive"] == 0 and measured["mean_weight"] == pytest.approx(2, abs=0.2)


def test_what_its_terms_of_today_forbid_is_no_evidence(learned):
    found = log(400)
    over = Catalogue((TEN.model_copy(update={"valid_to": NOW - timedelta(days=1)}), TWENTY))
    seen = replay(found, over)
    assert (seen.taken[seen.drawn.offer_id == "ten"] == -1).all()


def test_what_nobody_knows_yet_costs_as_if_orders_had_used_it():
    found = log(50)
    coupon = Catalogue((TEN.model_copy(update={"kind": "coupon", "cost": 5.0}), *OFFERS[1:]))
    unknown = replace(found, converted=np.full(50, np.nan))
    taken = replay(found, coupon).taken
    assert np.allclose(rewards(unknown, taken, coupon), rewards(found, taken, coupon))
