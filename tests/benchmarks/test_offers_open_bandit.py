"""The Open Bandit section of the offers benchmark, on the real logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

FORWARD, LEARNED, BACK, REBUILT, RAREST = range(5)


@pytest.fixture(scope="module")
def document(shared_data: Path) -> dict[str, Any]:
    from offer_policies import open_bandit

    if not (shared_data / "open_bandit").is_dir():
        pytest.skip(f"no open_bandit in {shared_data}")
    return open_bandit.measured(shared_data / "open_bandit")


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_the_random_log_covers_the_click_rate_of_thompson_sampling(document, name):
    found = document["policies"][FORWARD]
    assert found["concludes"]
    assert found[name]["low"] <= 0.0069 <= found[name]["high"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("ips", 0.0056562667008354705), ("snips", 0.005739864701951365), ("dr", 0.005761065599337964)],
)
def test_estimates_are_those_of_the_open_bandit_pipeline(document, name, value):
    """Computed by obp 0.4.1 from the same chances and click rates."""
    assert document["policies"][FORWARD][name]["value"] == pytest.approx(value, rel=1e-9)


def test_on_policy_click_rates_are_the_published_ones(document):
    rates = {
        name: (round(each["value"], 4), round(each["reach"], 4))
        for name, each in document["on_policy"].items()
    }
    assert rates == {"random": (0.0046, 0.0013), "thompson": (0.0069, 0.0016)}


def test_hopeless_logs_are_refused(document):
    rebuilt, rarest = document["policies"][REBUILT], document["policies"][RAREST]
    assert not rebuilt["concludes"] and "not 1" in rebuilt["why"]
    assert not rarest["concludes"] and "Only 6 effective samples" in rarest["why"]


def test_every_bar_is_met_and_told(document):
    from offer_policies import open_bandit

    assert all(each["met"] for each in open_bandit.bars(document))
    text = " ".join(each for each in open_bandit.drawn(document) if isinstance(each, str))
    assert "2,869 effective samples of 10,000" in text
