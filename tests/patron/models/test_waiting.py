from __future__ import annotations

import numpy as np
import pytest

from patron.models.activity import One
from patron.models.waiting import Waiting


def people(recency, gap, days):
    return {
        "recency_days": np.asarray(recency, dtype=float),
        "mean_gap_days": np.asarray(gap, dtype=float),
        "purchase_days": np.asarray(days, dtype=float),
    }


SOME = people(
    [0, 3, 10, 40, 400, 5, np.nan], [10, 10, 10, 10, 10, np.nan, np.nan], [20, 20, 20, 20, 20, 1, np.nan]
)


def customers(size=6000, seed=1, lost=0.2, horizon=30):
    """(rows, waits): gamma gaps of a rhythm of one's own; after the last purchase some are lost."""
    rng = np.random.default_rng(seed)
    rhythm = 20 / rng.gamma(3, 1 / 3, size)
    repeats = rng.integers(1, 12, size)
    gap = np.array([rng.gamma(2, each / 2, n).mean() for each, n in zip(rhythm, repeats, strict=True)])
    next_gap = np.where(rng.random(size) < lost, np.inf, rng.gamma(2, rhythm / 2))
    recency = rng.uniform(0, 40, size)
    here = next_gap > recency
    found = people(recency[here], gap[here], repeats[here] + 1)
    return found, (next_gap - recency)[here]


def test_a_regular_customer_is_due_after_the_own_gap():
    waiting = Waiting(mean_days=30, shape=8, prior_repeats=2)
    found = waiting.remaining(people([0, 5, 10], [10, 10, 10], [200, 200, 200]))
    assert found[0] == pytest.approx(9.7, abs=0.3)
    assert found[0] > found[1] > found[2] >= 0


def test_by_the_date_that_is_told_half_of_those_who_stay_have_come():
    rows, waits = customers(lost=0.2)
    model = Waiting.fit(rows, waits < 30, 30)
    other, later = customers(seed=5, lost=0.2)
    stays = np.isfinite(later)
    assert (later < model.remaining(other))[stays].mean() == pytest.approx(0.5, abs=0.05)


def test_chances_hold_on_other_customers_at_other_horizons():
    rows, waits = customers(lost=0.2)
    model = Waiting.fit(rows, waits < 30, 30)
    other, later = customers(seed=5, lost=0.2)
    for days in (7, 14, 30, 60):
        chance = model.order_within(other, days)
        assert chance.mean() == pytest.approx((later < days).mean(), abs=0.03)
        high = chance > np.median(chance)
        assert (later < days)[high].mean() > (later < days)[~high].mean()


def test_longer_is_never_less_likely_and_the_long_silent_are_lost():
    model = Waiting(20.0, 2.0, 2.0, -1.0, -0.5)
    chances = [model.order_within(SOME, days) for days in (0, 7, 14, 28, 1e6)]
    assert (np.diff(chances, axis=0) >= 0).all()
    assert (chances[0] == 0).all() and max(each.max() for each in chances) < 1
    assert chances[2][4] < 0.01 < chances[2][2]


def test_one_customer_is_answered_as_in_a_batch_to_the_last_bit():
    model = Waiting.fit(*customers()[:1], customers()[1] < 30, 30)
    every = [model.remaining(SOME), *(model.order_within(SOME, days) for days in (7, 14.5, 28))]
    for place in range(len(SOME["recency_days"])):
        one = One({name: float(values[place]) for name, values in SOME.items()})
        found = [model.remaining(one), *(model.order_within(one, days) for days in (7, 14.5, 28))]
        assert [float(each) for each in found] == [each[place] for each in every]
        assert np.isfinite(found).all()


def test_the_farthest_tail_is_answered():
    waiting = Waiting(mean_days=30, shape=8, prior_repeats=2)
    found = waiting.remaining(people([1e5, 1e9], [1, 1], [2000, 2000]))
    assert np.isfinite(found).all() and (found >= 0).all()
    assert np.isfinite(waiting.order_within(people([1e5, 1e9], [1, 1], [2000, 2000]), 7)).all()


@pytest.mark.parametrize("came", [None, np.ones(3), np.zeros(3)])
def test_where_all_did_alike_the_usual_gap_is_all_that_is_learned(came):
    found = Waiting.fit(people([1, 2, 3], [8, 10, np.nan], [5, 5, 1]), came, 30)
    assert found == Waiting(9.0)


def test_what_was_written_is_read():
    model = Waiting(12.0, 1.5, 0.5, -1.0, -0.25)
    assert Waiting.of(model.document()) == model
    assert Waiting.of({"mean_days": 12.0, "shape": 1.5, "prior_repeats": 2.0}).shape == 1.5
