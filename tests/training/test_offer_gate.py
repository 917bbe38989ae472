from __future__ import annotations

import numpy as np
import pytest

from training.bootstrap import Judgement
from training.gate import Limits
from training.offer_gate import decide

ALLOWED = Limits(bounds={"effective_samples": (300.0, 1e12)})


def judged(
    mean: float, effective: float = 1000.0, noise: float = 0.1, customers: int = 500, **whole: float
) -> Judgement:
    rows = mean + noise * np.random.default_rng(1).normal(size=customers)
    rows += mean - rows.mean() if customers else 0.0
    return Judgement(
        lambda at: {"policy_value": float(rows[at].mean()), "effective_samples": effective},
        customers,
        "policy_value",
        whole=whole,
    )


def test_nothing_drawn_at_random_goes_on_exploring_and_says_so():
    verdict = decide(judged(0, customers=0), judged(0, customers=0), None, ALLOWED, 1)
    assert verdict.passed and "no policy's value can be told" in verdict.reasons[0]


def test_better_than_the_baseline():
    verdict = decide(judged(0.5), judged(0.4), None, ALLOWED, 1)
    assert verdict.passed and verdict.against["baseline"].low > 0


@pytest.mark.parametrize("theirs", [0.5, 0.6])
def test_not_better_than_the_baseline(theirs):
    assert not decide(judged(0.5), judged(theirs), None, ALLOWED, 1).passed


def test_the_lower_bound_must_beat_the_champions_estimate():
    assert decide(judged(0.5), None, judged(0.45), ALLOWED, 1).passed
    close = decide(judged(0.5), None, judged(0.497), ALLOWED, 1)
    assert not close.passed and "not over the champion's estimate" in close.reasons[0]


def test_few_effective_samples_conclude_nothing():
    verdict = decide(judged(0.5, effective=40.0), judged(0.1), None, ALLOWED, 1)
    assert not verdict.passed and any("effective_samples is 40" in each for each in verdict.reasons)


def test_a_log_that_cannot_tell_refuses():
    verdict = decide(judged(0.5, conclusive=0.0, mean_weight=1.9), judged(0.1), None, ALLOWED, 1)
    assert not verdict.passed and any("weights average 1.90" in each for each in verdict.reasons)
