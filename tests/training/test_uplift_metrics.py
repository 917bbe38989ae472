"""Qini and its kin, on logs whose answers can be told by reading."""

from __future__ import annotations

import numpy as np
import pytest

from patron.models.uplift_ranking import area
from training.uplift_metrics import qini, qini_curve, uplift_at

EFFECT = np.array([4.0, 3.0, 2.0, 1.0, 4.0, 3.0, 2.0, 1.0])
TREATED = np.array([True] * 4 + [False] * 4)
OUTCOME = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0])
"""The first two of each arm are won by the treatment, the last two lost by it."""


def test_the_perfect_order_has_a_qini_of_1_and_its_reverse_of_minus_1() -> None:
    assert qini(EFFECT, TREATED, OUTCOME) == pytest.approx(1.0)
    assert qini(-EFFECT, TREATED, OUTCOME) == pytest.approx(-1.0)


def test_the_curve_is_what_the_best_share_of_each_arm_brought() -> None:
    found = qini_curve(EFFECT, TREATED, OUTCOME, at=np.array([0.0, 0.25, 0.5, 0.75, 1.0]))
    assert found.gain.tolist() == pytest.approx([0.0, 0.25, 0.5, 0.25, 0.0])


def test_the_area_is_the_one_under_the_curve() -> None:
    rng = np.random.default_rng(0)
    effect, treated = rng.integers(20, size=400).astype(float), rng.random(400) < 0.3
    outcome, propensity = rng.gamma(1.0, size=400), rng.uniform(0.2, 0.9, 400)
    curve = qini_curve(effect, treated, outcome, propensity, at=np.linspace(0, 1, 100_001))
    under = np.trapezoid(curve.gain, curve.share) - curve.gain[-1] / 2
    assert area(effect, treated, outcome, 1 / propensity).value == pytest.approx(under, abs=1e-6)


def test_ties_do_not_depend_on_the_order_of_rows() -> None:
    flag, order = EFFECT > 2, np.random.default_rng(1).permutation(8)
    assert qini(flag.astype(float), TREATED, OUTCOME) == pytest.approx(1.0)
    mixed = qini(flag[order].astype(float), TREATED[order], OUTCOME[order])
    assert mixed == qini(flag.astype(float), TREATED, OUTCOME)
    assert qini(np.zeros(8), TREATED, OUTCOME) == 0.0


def test_uplift_at_a_share_is_the_effect_among_the_best() -> None:
    assert uplift_at(EFFECT, TREATED, OUTCOME, share=0.5) == pytest.approx(1.0)
    assert uplift_at(EFFECT, TREATED, OUTCOME, share=1.0) == pytest.approx(0.0)
    assert uplift_at(np.zeros(8), TREATED, OUTCOME, share=0.3) == pytest.approx(0.0)


def test_rows_with_a_small_propensity_count_for_those_who_were_not_drawn() -> None:
    treated, outcome = np.array([True, True, False, False]), np.array([1.0, 0.0, 0.0, 0.0])
    effect, propensity = np.array([2.0, 1.0, 2.0, 1.0]), np.array([0.25, 0.75, 0.5, 0.5])
    assert uplift_at(effect, treated, outcome, propensity, share=1.0) == pytest.approx(0.75)


def test_the_error_of_the_area_is_its_spread_over_random_logs() -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(300):
        effect, treated = rng.random(300), rng.random(300) < 0.5
        outcome = (rng.random(300) < 0.3 + 0.4 * effect * treated).astype(float)
        found.append(area(effect, treated, outcome, np.ones(300)))
    spread = np.std([each.value for each in found])
    assert np.mean([each.error for each in found]) == pytest.approx(spread, rel=0.15)


def test_the_womens_email_of_a_real_trial_is_found_by_one_flag(shared_data) -> None:
    import pandas

    log = pandas.read_csv(shared_data / "hillstrom.csv.gz")
    log = log[log["segment"].isin(["Womens E-Mail", "No E-Mail"])]
    treated = (log["segment"] == "Womens E-Mail").to_numpy()
    visit = log["visit"].to_numpy(dtype=float)
    assert qini(log["womens"].to_numpy(dtype=float), treated, visit) == pytest.approx(0.0687, abs=1e-4)
    assert uplift_at(np.zeros(len(log)), treated, visit) == pytest.approx(0.0452, abs=1e-4)


def test_an_arm_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        qini(EFFECT, np.ones(8, dtype=bool), OUTCOME)
