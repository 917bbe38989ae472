"""Chances as they are logged: of what the policy draws, and of being left alone for a whole period."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from patron.decisions.records import Asked
from patron.models.offer_config import OfferPolicyConfig
from patron.models.offers import OfferPolicy
from serving.deciding import chooser
from tests.patron.models.offer_shop import CUSTOMERS, OFFERS, log, policy, recent

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROW = int(np.flatnonzero(recent(CUSTOMERS.rows))[0])
ROWS = SimpleNamespace(columns={name: values[[ROW]] for name, values in CUSTOMERS.rows.items()})


@pytest.fixture(scope="module")
def model() -> OfferPolicy:
    return policy(log(3000), left_alone=0.3, epsilon=0.3, thompson=0.1)


def decide(model, customer, now=NOW, offers=OFFERS, seed=1, by="champion"):
    asked = Asked(customer, list(OFFERS), {})
    return chooser(model, asked, ROWS, now, 1, np.random.default_rng(seed), by)(offers)


def test_shown_shares_are_the_logged_chances(model):
    found = [decide(model, f"c{each}", seed=each) for each in range(2000)]
    chances = found[0].propensities
    assert sum(chances.values()) == pytest.approx(1) and chances["none"] > 0.3
    assert all(each.propensities == chances for each in found), "known before anything is drawn"
    assert all(each.offered[0].propensity == chances[each.offered[0].offer_id] for each in found)
    shown = Counter(each.offered[0].offer_id for each in found)
    for name, chance in chances.items():
        assert abs(shown[name] / 2000 - chance) <= 3 * np.sqrt(chance * (1 - chance) / 2000), name


def test_who_rests_is_left_alone_by_every_decision_of_the_period(model):
    resting = next(f"c{each}" for each in range(99) if model.alone(f"c{each}", NOW))
    until = next(days for days in range(1, 900) if not model.alone(resting, NOW + timedelta(days=days)))
    for days in np.linspace(0, until - 1, 5):
        line = decide(model, resting, NOW + timedelta(days=float(days)), seed=int(days)).offered[0]
        assert (line.offer_id, line.reasons[0]["code"]) == ("none", "control")


def test_where_nothing_may_be_shown_none_is_certain(model):
    for name in ("c1", "c2", "c3", "c4", "c5", "c6"):
        found = decide(model, name, offers=[])
        assert found.propensities == {"none": 1.0} and found.offered[0].propensity == 1.0


def test_an_experiments_arms_leave_nobody_else_alone(model):
    assert decide(model, "c1", by="none").offered[0].reasons[0]["code"] == "experiment"
    resting = next(f"c{each}" for each in range(99) if model.alone(f"c{each}", NOW))
    shown = {decide(model, resting, seed=each, by="random").offered[0].offer_id for each in range(40)}
    assert shown == {"none", *(each.offer_id for each in OFFERS)}


def test_nobody_rests_where_the_share_is_nothing():
    never = OfferPolicy(OfferPolicyConfig(left_alone=0))
    assert not any(never.alone(f"c{each}", NOW) for each in range(200))
