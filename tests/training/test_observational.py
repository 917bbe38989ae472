"""Diagnosis of made-up logs whose true effect, and whose hidden cause, are known."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest

from training.observational import Diagnosis, diagnose

EFFECT = 3.0
NAMES = ("spend", "orders", "recency", "age")


def shop(rows: int = 1500, effect: float = EFFECT, hidden: float = 0.0, pull: float = 1.0, seed: int = 0):
    """(features, treated, outcome, outcome before): big spenders are treated more, and by what is hidden."""
    rng = np.random.default_rng(seed)
    features, unknown = rng.normal(size=(rows, 4)), rng.normal(size=rows)
    chance = 1 / (1 + np.exp(0.5 - pull * (features[:, 0] + 0.5 * features[:, 1]) - hidden * unknown))
    treated = rng.random(rows) < chance
    usual = 10 + 4 * features[:, 0] + 2 * features[:, 1] + 3 * unknown * (hidden > 0)
    before = usual + rng.normal(size=rows)
    features[:, 3] = np.where(rng.random(rows) < 0.2, np.nan, features[:, 3])
    return features, treated, usual + effect * treated + rng.normal(size=rows), before


@cache
def diagnosed(**options: float) -> Diagnosis:
    features, treated, outcome, before = shop(**options)
    return diagnose(NAMES, features, treated, outcome, before, outcome_name="spending")


def holds(interval, value: float) -> bool:
    return interval.low <= value <= interval.high


class TestWhatIsKnownExplainsAll:
    def test_the_true_effect_is_found_where_plain_means_mislead(self):
        found = diagnosed()
        assert holds(found.effect, EFFECT)
        assert found.raw.low > 2 * EFFECT

    def test_every_check_holds(self):
        found = diagnosed()
        assert found.trusted
        assert found.overlap > 0.9
        assert found.unbalanced == 0
        assert holds(found.placebo, 0)

    def test_balance_is_told_before_and_after_weighting(self):
        spend = next(each for each in diagnosed().balance if each.feature == "spend")
        assert spend.before > 0.5
        assert abs(spend.after) < 0.1

    def test_sentences_say_the_effect_and_what_would_undo_it(self):
        found = diagnosed()
        assert "spending by +" in found.can[0]
        assert f"{found.e_value_limit:.2f}" in found.can[1]
        assert len(found.cannot) == 1
        assert "Causes outside the 4 features" in found.cannot[0]

    def test_no_effect_is_called_none(self):
        found = diagnosed(effect=0.0)
        assert holds(found.effect, 0)
        assert found.e_value_limit == 1
        assert "The interval holds 0" in found.can[1]

    def test_it_is_a_document(self):
        assert json.loads(json.dumps(diagnosed().document()))["treated"] == diagnosed().treated

    def test_the_same_seed_gives_the_same_answer(self):
        features, treated, outcome, before = shop()
        again = diagnose(NAMES, features, treated, outcome, before, outcome_name="spending")
        assert again == diagnosed()


class TestWhatIsKnownDoesNot:
    def test_a_hidden_cause_shows_in_the_time_before(self):
        found = diagnosed(hidden=1.0)
        assert not holds(found.effect, EFFECT)
        assert found.placebo.low > 0
        assert not found.trusted
        assert any("before the treatment began" in each for each in found.cannot)

    def test_customers_told_apart_by_what_is_known_have_nobody_to_be_compared_with(self):
        found = diagnosed(pull=6.0)
        assert found.overlap < 0.5
        assert found.told_apart > 0.95
        assert not found.trusted
        assert any("nobody to be compared with" in each for each in found.cannot)

    def test_treatment_that_features_decide_gives_no_effect_at_all(self):
        features, _, outcome, before = shop(400)
        found = diagnose(NAMES, features, features[:, 0] > 0, outcome, before)
        assert found.effect is None
        assert found.can == ("How treated and other customers differed before the treatment.",)
        assert "No effect" in found.cannot[0]

    def test_too_few_treated(self):
        found = diagnosed(rows=90)
        assert (found.effect, found.trusted) == (None, False)
        assert "least" in found.cannot[0]

    def test_without_a_time_before_nothing_is_trusted(self):
        features, treated, outcome, _ = shop()
        found = diagnose(NAMES, features, treated, outcome)
        assert not found.trusted
        assert "No time before" in found.cannot[0]


class TestParts:
    def test_rows_of_one_household_count_once(self):
        features, treated, outcome, before = shop(400)
        copies = (np.repeat(each, 3, axis=0) for each in (features, treated, outcome, before))
        one = diagnose(NAMES, features, treated, outcome, before)
        tripled, treated3, outcome3, before3 = copies
        groups = np.repeat(np.arange(400), 3)
        found = diagnose(NAMES, tripled, treated3, outcome3, before3, groups=groups)
        assert found.effect.error == pytest.approx(one.effect.error, rel=0.25)

    def test_the_time_before_may_have_features_of_its_own(self):
        features, treated, outcome, before = shop()
        found = diagnose(NAMES, features, treated, outcome, before, np.full_like(features, np.nan))
        assert found.placebo.low > 0

    def test_a_share_of_conversions_has_an_e_value_by_its_rates(self):
        rng = np.random.default_rng(0)
        treated = rng.random(4000) < 0.5
        outcome = (rng.random(4000) < np.where(treated, 0.4, 0.2)).astype(float)
        found = diagnose(NAMES, rng.normal(size=(4000, 4)), treated, outcome, outcome * 0)
        ratio = (0.2 + found.effect.value) / 0.2
        assert found.e_value == pytest.approx(ratio + np.sqrt(ratio * (ratio - 1)), rel=0.1)

    def test_lengths_are_checked(self):
        with pytest.raises(ValueError, match="one row each"):
            diagnose(NAMES, np.zeros((3, 4)), np.zeros(2, dtype=bool), np.zeros(3))
