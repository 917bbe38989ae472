from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from customer_models import cdnow, parity, report, report_backtest, scoring, timed

from patron.settings import PROJECT

SCRIPT = str(PROJECT / "benchmarks" / "customers.py")
SHOP = """
00001 0001 19970101 1 10.00
00001 0001 19970101 2 5.00
00001 0001 19970115 1 30.00
00001 0001 19971001 1 99.00
00002 0002 19970108 1 20.00
"""


def test_help_answers_without_loading_anything():
    told = subprocess.run(
        [sys.executable, "-X", "importtime", SCRIPT, "--help"], capture_output=True, text=True
    )
    assert told.returncode == 0
    assert "--backtest-home" in told.stdout
    assert "numpy" not in told.stderr


def test_purchases_of_a_day_are_one_and_what_is_later_is_held_out(tmp_path):
    (tmp_path / cdnow.FILE).write_text(SHOP.strip() + "\n")
    found = cdnow.read(tmp_path / cdnow.FILE)
    assert found["x"].tolist() == [1, 0]
    assert found["t_x"].tolist() == [2, 0]
    assert found["T"] * 7 == pytest.approx([272, 265])
    assert found["mean"][0] == 30
    assert found["held"].tolist() == [1, 0]


def test_a_sample_of_cdnow_beside_a_peer_that_cannot_run(shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr("recommending.environment.ready", lambda name: (None, "no network"))
    found = cdnow.measured(shared_data, tmp_path, rounds=1, peers=True)
    assert found["skipped"]["lifetimes"] == "no network"
    bars = {each["bar"]: each for each in report.cdnow_bars(found)}
    assert len(bars) == 5
    assert all(each["met"] for each in bars.values())
    (count,) = (each for each in found["holdout"] if not each["by"])
    assert count["rmse"] == pytest.approx(1.9710, abs=1e-4)
    report.show({"machine": "", "cdnow": found, "bars": list(bars.values()), "problems": {}})


def test_ratios_are_of_the_same_model():
    fits = [
        {"family": "BG/NBD", "by": "Patron", "cpu": 1.0, "wall": 2.0},
        {"family": "BG/NBD", "by": "peer", "cpu": 20.0, "wall": 10.0},
        {"family": "BG/NBD", "by": "broken", "problem": "no"},
    ]
    assert [cdnow.ratios(each, fits) for each in fits] == [{}, {"cpu": 0.05, "wall": 0.2}, {}]


def test_a_fit_that_fails_says_why():
    def fails(data):
        raise ValueError("nothing to fit\nat all")

    assert timed.measured(None, "x", fails, {}, 39, 1) == {"problem": "ValueError: nothing to fit"}


def test_a_section_that_cannot_run_is_named_and_exits_with_1(tmp_path, capsys):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--only", "cdnow", "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        env={"PATH": "", "PYTHONPATH": str(PROJECT)},
    )
    assert done.returncode == 1
    assert f"No {cdnow.FILE} in" in done.stdout


def test_memory_and_time_of_a_process_are_its_own(tmp_path):
    held = "x = bytearray(200 << 20); print('done')"
    found = scoring.ran([sys.executable, "-c", held], tmp_path, {})
    assert 200 <= found["memory_mb"] < 1000
    assert found["said"].strip() == "done"
    assert found["cpu"] > 0
    with pytest.raises(scoring.NotMade, match="ended with 3"):
        scoring.ran([sys.executable, "-c", "raise SystemExit(3)", "x"], tmp_path, {})


def test_batch_rows_are_compared_value_by_value():
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    rows = [
        {"churn_probability": 0.25, "expected_next_order_at": moment, "reasons": "churn: a, b; value: c"},
        {"churn_probability": None, "expected_next_order_at": None, "reasons": None},
    ]
    same = parity.compared("churn_probability", rows, [0.25 + 1e-9, None])
    assert (same["values"], same["unequal"]) == (1, 0)
    assert parity.compared("churn_probability", rows, [0.2501, 0.5])["unequal"] == 2
    assert parity.compared("expected_next_order_at", rows, ["2026-01-02T00:00:00Z", None])["unequal"] == 0
    assert parity.compared("expected_next_order_at", rows, ["2026-01-03T00:00:00Z", None])["unequal"] == 1
    texts = [parity.texts({"reasons": [{"text": "a"}, {"text": "b"}]}), ""]
    assert parity.compared("reasons: churn", rows, texts)["unequal"] == 0


def test_bars_of_a_backtest():
    def told(value):
        return {"value": value, "low": value - 0.01, "high": value + 0.01}

    churn = {
        "test_cutoff": "2011-09-01",
        "metrics": {"lightgbm": {"expected_calibration_error": told(0.02), "calibration_band": told(0.03)}},
        "differences": {
            "lightgbm": {"recency": {"roc_auc": told(0.02)}, "logistic": {"roc_auc": told(-0.02)}}
        },
    }
    assert [each["met"] for each in report_backtest.churn_bars(churn)] == [True, False, True]

    def kind(gini, mae, bias, covered):
        numbers = {"gini": gini, "mae": mae, "total_bias": bias, "interval_coverage": covered}
        return {name: told(value) for name, value in numbers.items()}

    value = {
        "test_cutoff": "2011-09-01",
        "metrics": {
            "lightgbm": kind(0.8, 200, -0.1, 0.8),
            "btyd": kind(0.7, 210, -0.05, 0.5),
            "history": kind(0.9, 190, 0.3, 0.0),
        },
    }
    met = {each["bar"].partition(": ")[2]: each["met"] for each in report_backtest.value_bars(value)}
    assert met["value's bias smaller than history's"]
    assert not met["value's bias smaller than btyd's"]
    assert not met["value's gini better than history's"]
    assert met["80% intervals cover 70-90%"]


def test_the_plain_loop_names_what_pushes_hardest():
    pd = pytest.importorskip("pandas")
    from customer_models import plain

    inputs = pd.DataFrame({"recency_days": [3.0, 50.0], "orders_total": [9.0, 1.0]})
    pushes = np.array([[-1.0, 0.5, 9.0], [2.0, 1.0, 9.0]])
    assert plain.reasons(inputs, pushes) == ["orders_total = 9", "recency_days = 50; orders_total = 1"]
