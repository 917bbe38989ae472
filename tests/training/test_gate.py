"""Each rule of the gate, passing and refusing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from patron.errors import ConfigurationError
from patron.settings import PROJECT
from training.bootstrap import Indices, Judgement
from training.gate import Limits, decide, limits
from training.jobs import JOBS

NOISE = np.random.default_rng(1).normal(0, 1, 400)


def judged(values: np.ndarray | float, slices: dict[str, Indices] | None = None, **more: float) -> Judgement:
    """A model whose primary metric is the mean of `values` over customers."""
    each = NOISE + values

    def measure(at: Indices) -> dict[str, float]:
        return {"score": float(each[at].mean()) if len(at) else float("nan"), **more}

    return Judgement(measure, 400, "score", slices or {})


BASE = judged(0.0)
FREE = Limits()


def test_better_than_the_baseline_and_no_champion_yet():
    verdict = decide(judged(0.5), BASE, None, FREE, seed=1)
    assert verdict.passed
    assert "against the baseline: better." in verdict.reasons[0]
    assert verdict.against["baseline"].value == pytest.approx(0.5)


@pytest.mark.parametrize("gain", [0.0, -0.5])
def test_not_shown_to_be_better_than_the_baseline(gain):
    verdict = decide(judged(gain), BASE, None, FREE, seed=1)
    assert not verdict.passed
    assert "not shown to be better" in verdict.reasons[0]


def test_a_gain_within_chance_is_no_gain():
    """Better on average, but for a handful of customers only: the interval holds 0."""
    lucky = np.zeros(400)
    lucky[:2] = 20.0
    verdict = decide(judged(lucky), BASE, None, FREE, seed=1)
    assert verdict.against["baseline"].value > 0
    assert not verdict.passed


def test_better_than_the_champion():
    verdict = decide(judged(0.6), BASE, judged(0.5), FREE, seed=1)
    assert verdict.passed
    assert "against the champion: better." in verdict.reasons[1]


@pytest.mark.parametrize("gain", [0.5, 0.4])
def test_not_better_than_the_champion(gain):
    verdict = decide(judged(gain), BASE, judged(0.5), FREE, seed=1)
    assert not verdict.passed
    assert verdict.reasons[-1].endswith("against the champion: not better.")


def test_a_gain_that_may_be_a_large_loss_is_refused_and_with_wider_limits_not():
    lucky = np.full(400, 0.45)
    lucky[:2] = 20.0
    champion = judged(0.5)
    assert not decide(judged(lucky), BASE, champion, Limits(slice_loss=0.02), seed=1).passed
    assert decide(judged(lucky), BASE, champion, Limits(slice_loss=0.2), seed=1).passed


def test_a_slice_that_falls_is_refused():
    half = {"one order": np.arange(200), "few": np.arange(20)}
    mixed = np.full(400, 1.0)
    mixed[:200] = 0.4
    verdict = decide(judged(mixed, half), BASE, judged(0.5, half), FREE, seed=1)
    assert not verdict.passed
    assert [each for each in verdict.reasons if "Slice" in each] == [
        reason for reason in verdict.reasons if reason.startswith("Slice 'one order' falls from")
    ]


def test_small_slices_and_small_losses_are_let_through():
    mixed = np.full(400, 1.0)
    mixed[:20] = -3.0
    few = {"few": np.arange(20)}
    assert decide(judged(mixed, few), BASE, judged(0.5, few), FREE, seed=1).passed
    slightly = np.full(400, 1.0)
    slightly[:200] = 0.49
    half = {"half": np.arange(200)}
    assert decide(judged(slightly, half), BASE, judged(0.5, half), FREE, seed=1).passed


@pytest.mark.parametrize(("error", "passes"), [(0.0, True), (0.08, True), (0.081, False), (-0.1, False)])
def test_bounds(error, passes):
    allowed = Limits(bounds={"error": (0.0, 0.08)})
    verdict = decide(judged(0.5, error=error), BASE, None, allowed, seed=1)
    assert verdict.passed is passes
    assert passes or "outside 0.0 to 0.08" in verdict.reasons[-1]


@pytest.mark.parametrize(("error", "passes"), [(0.08, True), (0.1, True), (0.11, False)])
def test_a_calibration_error_within_chance_is_none(error, passes):
    """Of a small window: a perfect forecaster's error may be as large as the band."""
    allowed = Limits(bounds={"expected_calibration_error": (0.0, 0.08)})
    found = judged(0.5, expected_calibration_error=error, calibration_band=0.1)
    verdict = decide(found, BASE, None, allowed, seed=1)
    assert verdict.passed is passes
    assert passes or "outside 0.0 to 0.1" in verdict.reasons[-1]


@pytest.mark.parametrize("more", [{}, {"error": float("nan")}])
def test_a_bound_on_what_was_not_measured_is_refused(more):
    verdict = decide(judged(0.5, **more), BASE, None, Limits(bounds={"error": (0, 1)}), seed=1)
    assert not verdict.passed


def test_every_reason_is_told():
    verdict = decide(judged(-0.5, error=2.0), BASE, judged(0.5), Limits(bounds={"error": (0, 1)}), seed=1)
    assert len(verdict.reasons) == 3


def test_nothing_to_judge_by_passes_and_says_so():
    nobody = Judgement(lambda at: {"score": float("nan")}, 0, "score")
    verdict = decide(nobody, None, None, Limits(bounds={"score": (0, 1)}), seed=1)
    assert verdict.passed
    assert "nothing to judge" in verdict.reasons[0]


class TestLimits:
    def write(self, folder: Path, text: str) -> Path:
        (folder / "gates.toml").write_text(text, encoding="utf-8")
        return folder

    def test_no_file_is_no_limits(self, tmp_path):
        assert limits(tmp_path, "churn") == Limits()

    def test_those_of_the_model_are_read(self, tmp_path):
        text = "[churn]\nbounds = { brier = [0.0, 0.2] }\nslice_loss = 0.5\nslice_customers = 7\n"
        found = limits(self.write(tmp_path, text), "churn")
        assert found == Limits(bounds={"brier": (0.0, 0.2)}, slice_loss=0.5, slice_customers=7)
        assert limits(tmp_path, "offers") == Limits()

    @pytest.mark.parametrize(
        "text",
        [
            "[churn\n",
            "[churn]\nslice_los = 0.5\n",
            "[churn]\nslice_loss = 'much'\n",
            "[churn]\nbounds = { brier = [0.0] }\n",
            "[churn]\nbounds = { brier = [0.5, 0.1] }\n",
            "churn = 3\n",
            "[chrun]\nslice_loss = 0.5\n",
        ],
    )
    def test_mistakes_are_named_with_the_file(self, tmp_path, text):
        with pytest.raises(ConfigurationError, match=r"gates\.toml"):
            limits(self.write(tmp_path, text), "churn")

    @pytest.mark.parametrize("short", JOBS)
    def test_the_shipped_file(self, short):
        assert limits(PROJECT / "configs", short).slice_loss > 0
