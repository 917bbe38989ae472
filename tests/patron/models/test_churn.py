from __future__ import annotations

import json

import numpy as np
import pytest

from patron.errors import DataError, FeatureError
from patron.models.activity import INPUTS, TYPES, one
from patron.models.activity_reasons import CODES, WORDS
from patron.models.base import configured
from patron.models.calibration import Calibration
from patron.models.churn import Churn, ChurnConfig, odds_times
from patron.models.logistic import Logistic
from patron.models.waiting import Waiting
from patron.settings import PROJECT
from tests.model_contract import ModelContract
from tests.patron.models.shop import HORIZON, head, missing, shop


def churn(kind="lightgbm", seed=7, **config):
    fitting, calibrating = shop(500, seed=1), shop(400, seed=2)
    model = Churn(ChurnConfig(kind=kind, trees=60, **config))
    model.fit(fitting.rows, fitting.churned, HORIZON, seed=seed, threads=1)
    return model.calibrate(calibrating.rows, calibrating.churned)


def answers(model, rows):
    probabilities = model.predict(rows)
    told = ["; ".join(f"{each.code} {each.text}" for each in reasons) for reasons in model.reasons(rows)]
    return [
        probabilities,
        model.risks(probabilities),
        model.statuses(rows),
        model.next_order_days(rows),
        told,
    ]


class ChurnContract(ModelContract):
    kind = "lightgbm"

    def fitted(self, seed):
        return churn(self.kind, seed)

    def answers(self, model):
        return answers(model, shop(50, seed=3).rows)

    def answers_when_missing(self, model):
        return answers(model, missing(shop(5).rows))

    def answers_when_empty(self, model):
        return answers(model, head(shop(5).rows, 0))

    def test_one_customer_is_answered_as_in_a_batch(self, model):
        rows = shop(50, seed=3).rows
        assert model.predict(head(rows, 1))[0] == model.predict(rows)[0]

    def test_one_customer_is_judged_by_the_shorter_way_alike(self, model):
        rows = shop(120, seed=3).rows
        every = [each.tolist() if isinstance(each, np.ndarray) else each for each in answers(model, rows)]
        for row, expected in enumerate(zip(*every, strict=True)):
            found = model.judge({name: column[row : row + 1] for name, column in rows.items()})
            told = "; ".join(f"{each.code} {each.text}" for each in found.reasons)
            given = (found.probability, found.risk, found.status, found.next_order_days, told)
            if expected[2] == "scored":
                assert given == expected
            else:
                assert (found.status, found.probability, found.reasons) == (expected[2], None, [])

    def test_reasons_are_given_when_asked(self, model):
        one = head(shop(5, seed=3).rows, 1)
        assert model.judge(one, limit=0).reasons == []
        assert model.judge(one, limit=0).probability == model.judge(one).probability

    def test_calibration_keeps_the_order(self, model):
        rows = shop(300, seed=4).rows
        raw, probabilities = model.scores(rows), model.predict(rows)
        assert (np.argsort(raw, kind="stable") == np.argsort(probabilities, kind="stable")).all()
        assert probabilities.min() >= 0.001
        assert probabilities.max() <= 0.999

    def test_probabilities_hold_on_other_customers(self, model):
        other = shop(2000, seed=5)
        assert model.predict(other.rows).mean() == pytest.approx(other.churned.mean(), abs=0.06)


class TestLightGBMChurn(ChurnContract):
    kind = "lightgbm"


class TestMixedChurn(ChurnContract):
    kind = "mixed"


class TestLogisticChurn(ChurnContract):
    kind = "logistic"


class TestRecencyChurn(ChurnContract):
    kind = "recency"


def auc(outcome, score):
    ranks = np.argsort(np.argsort(score)) + 1
    positive = outcome > 0.5
    return (ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2) / (
        positive.sum() * (~positive).sum()
    )


def test_own_rhythm_tells_more_than_recency():
    other = shop(2000, seed=6)
    found = {
        kind: auc(other.churned, churn(kind).predict(other.rows))
        for kind in ("lightgbm", "logistic", "recency")
    }
    assert found["lightgbm"] > found["recency"] + 0.01
    assert found["logistic"] > found["recency"] + 0.01


def test_reasons_quote_the_customer_in_order_of_push():
    rows = shop(200, seed=3).rows
    model = churn()
    told = model.reasons(rows, limit=3)
    risks = model.risks(model.predict(rows))
    assert all(len(each) <= 3 for each in told)
    assert {each.code for reasons in told for each in reasons} <= set(WORDS)
    late = int(np.argmax(np.where(np.isnan(rows["recency_to_gap"]), 0, rows["recency_to_gap"])))
    assert risks[late] == "high"
    words = [each.text for each in told[late] if each.code == "recency"]
    days, gap = rows["recency_days"][late], rows["mean_gap_days"][late]
    assert words == [f"last order {days:.0f} days ago, usually every {gap:.0f}"]


def test_every_input_has_a_reason_code():
    assert set(CODES) >= set(churn().names)
    assert set(INPUTS) < set(TYPES)


def test_mixed_log_odds_are_the_weighted_mean():
    rows = shop(80, seed=3).rows
    found, trees, linear = (churn(kind) for kind in ("mixed", "lightgbm", "logistic"))
    inputs = found.inputs(rows)
    expected = 0.5 * trees.scorer.raw(inputs) + 0.5 * linear.scorer.raw(inputs)
    np.testing.assert_allclose(found.scorer.raw(inputs), expected, rtol=1e-12)
    pushes = found.scorer.contributions(inputs)
    bias = found.scorer.raw(inputs) - pushes.sum(axis=1)
    np.testing.assert_allclose(bias, bias[0], rtol=1e-9)
    joined = Churn(found.config).mix(trees, linear)
    np.testing.assert_array_equal(joined.scores(rows), found.scores(rows))


@pytest.mark.parametrize("kind", ["mixed", "logistic", "recency"])
def test_who_is_scored_out_of_fold_was_not_learned_from(kind):
    """Turning a customer's own outcome round does not move the customer's score."""
    made = shop(200, seed=1)
    model = churn(kind)
    folds = np.arange(200) % 4
    first = model.out_of_fold(made.rows, made.churned, folds, seed=7)
    turned = np.where(folds == 2, 1 - made.churned, made.churned)
    other = model.out_of_fold(made.rows, turned, folds, seed=7)
    np.testing.assert_array_equal(first[folds == 2], other[folds == 2])
    assert (first[folds != 2] != other[folds != 2]).any()


def test_what_buy_till_you_die_expects_is_told_alike_for_one():
    rows = shop(200, seed=4).rows
    rows["purchase_days"][:3] = np.nan
    rows["tenure_days"][3] = np.nan
    rows["first_order_at"][4] = np.nan
    model = churn("logistic")
    every = model.buying.orders(rows, HORIZON)
    for row, expected in enumerate(every.tolist()):
        customer = one({name: column[row : row + 1] for name, column in rows.items()})
        found = model.buying.orders_of_one(customer, HORIZON)
        assert found == expected or (np.isnan(found) and np.isnan(expected))
    assert np.isnan(every[:4]).all()


def test_an_older_artifact_without_expected_orders_opens(tmp_path):
    """Models saved before that input existed read the others only."""
    rows = shop(60, seed=3).rows
    model = churn("logistic")
    model.buying = None
    model.scorer = Logistic.fit(model.names, model.inputs(rows), shop(60, seed=3).churned, 10.0)
    model.save(tmp_path)
    document = json.loads((tmp_path / "churn.json").read_text())
    for name in ("buying", "browsing"):
        del document[name]
    (tmp_path / "churn.json").write_text(json.dumps(document))
    np.testing.assert_array_equal(Churn.load(tmp_path).predict(rows), model.predict(rows))


def test_statuses():
    model = Churn(ChurnConfig(gone_after_horizons=2, gone_after_gaps=4))
    model.horizon_days = 30
    rows = {
        "orders_total": np.array([0, 1, 5, 5, 1, np.nan]),
        "tenure_days": np.array([9, 0.5, 200, 400, 90, np.nan]),
        "recency_days": np.array([9, 0.5, 70, 70, 90, np.nan]),
        "mean_gap_days": np.array([np.nan, np.nan, 60, 10, np.nan, np.nan]),
    }
    assert model.statuses(rows).tolist() == [
        "insufficient_history",
        "insufficient_history",
        "scored",
        "already_churned",
        "already_churned",
        "insufficient_history",
    ]


def test_risks_are_told_by_odds_against_the_average_customer():
    model = Churn()
    model.base_rate = 0.5
    assert model.risks(np.array([0.3, 0.5, 0.7])).tolist() == ["low", "medium", "high"]
    assert odds_times(0.5, 2) == pytest.approx(2 / 3)


def test_the_next_order_is_due_after_the_own_gap():
    waiting = Waiting(mean_days=30, shape=8, prior_repeats=2)
    rows = {
        "recency_days": np.array([0.0, 10.0, 200.0, 5.0]),
        "mean_gap_days": np.array([20.0, 20.0, 20.0, np.nan]),
        "purchase_days": np.array([100.0, 100.0, 100.0, 1.0]),
    }
    found = waiting.remaining(rows)
    assert found[0] == pytest.approx(20, abs=1)
    assert 8 < found[1] < 13
    assert 0 < found[2] < 5
    assert 21 < found[3] < 26


@pytest.mark.parametrize("size", [200, 3000])
def test_calibration_learns_the_curve(size):
    rng = np.random.default_rng(1)
    scores = rng.uniform(0, 1, size)
    outcome = (rng.uniform(0, 1, size) < scores**2).astype(float)
    assert Calibration.fit(scores, outcome)(np.array([0.3, 0.5, 0.9])) == pytest.approx(
        [0.09, 0.25, 0.81], abs=0.12
    )


def test_what_cannot_be_learned_is_said():
    made = shop(30)
    fit = {"horizon_days": HORIZON, "seed": 1, "threads": 1}
    with pytest.raises(DataError, match="All 30 customers left within 60 days"):
        Churn().fit(made.rows, np.ones(30), **fit)
    with pytest.raises(DataError, match="no customer to learn churned from"):
        Churn().fit(head(made.rows, 0), np.zeros(0), **fit)
    with pytest.raises(DataError, match="30 rows and 2 values"):
        Churn().fit(made.rows, np.ones(2), **fit)
    with pytest.raises(DataError, match="same outcome"):
        churn().calibrate(made.rows, np.zeros(30))
    with pytest.raises(DataError, match="not fitted"):
        Churn().predict(made.rows)
    with pytest.raises(FeatureError, match="customer_activity:mean_gap_days"):
        churn().predict({name: column for name, column in made.rows.items() if name != "mean_gap_days"})


def test_columns_that_are_missing_altogether_are_learned_from():
    made = shop(100)
    rows = {**made.rows, "discount_share": np.full(100, np.nan), "units_90d": np.array([None] * 100)}
    for kind in ("lightgbm", "logistic"):
        model = Churn(ChurnConfig(kind=kind, trees=20)).fit(rows, made.churned, HORIZON, seed=1, threads=1)
        assert np.isfinite(model.predict(rows)).all()


def test_the_shipped_config_opens():
    found, config = configured(PROJECT / "configs" / "models" / "churn.toml")
    assert found is Churn
    assert config == ChurnConfig()
