"""The read-out over a lake whose answer can be told by reading, and over one with a known effect."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from patron.errors import ConfigurationError
from patron.experiments.assignment import Assignment, Experiments
from patron.experiments.commands import app
from patron.experiments.design import Design
from patron.experiments.exposures import ExposureLog
from patron.experiments.outcomes import of_answers, of_orders
from patron.experiments.readout import listed, read_out
from patron.experiments.terms import Experiment
from patron.settings import Settings, load_settings
from tests.shops import write_lake

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=60)
FILE = """
target = "placement:home"
enabled = true
metrics = ["revenue"]
also = ["click_rate"]
window_days = 14
pre_days = 28
planned_units = 1000
least_units = 50
arms = [{ name = "control", share = 0.5 }, { name = "more", share = 0.5 }]
guardrails = [{ metric = "returns", tolerated = 0.05 }]
"""
PRODUCTS = [{"product_id": "tea", "unit_cost": 4.0}, {"product_id": "cup", "unit_cost": None}]


def line(customer: str | None, day: float, price: float, quantity: float = 1, **more: Any) -> dict[str, Any]:
    return {
        "order_id": f"{customer}-{day}",
        "customer_id": customer,
        "product_id": "tea",
        "ordered_at": START + timedelta(days=day),
        "quantity": quantity,
        "unit_price": price,
        **more,
    }


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "configs" / "experiments").mkdir(parents=True)
    (tmp_path / "configs" / "experiments" / "spread.toml").write_text(FILE, encoding="utf-8")
    return load_settings(
        home=tmp_path / "var", configs=tmp_path / "configs", threads=1, memory_limit="512MB", clock="wall"
    )


def expose(settings: Settings, arms: dict[str, str], day: float = 0.0, design: str | None = None) -> None:
    log = ExposureLog(settings.events)
    for unit, arm in arms.items():
        kind = "session" if unit.startswith("s") else "customer"
        drawn = Assignment("spread", arm, {}, design or spread(settings).design)
        log.exposed(drawn, unit, kind, START + timedelta(days=day))  # type: ignore[arg-type]
        log.answered(drawn, unit, f"r-{unit}", "personal", START + timedelta(days=day))
    log.close()


def spread(settings: Settings) -> Experiment:
    return Experiments.load(settings.configs / "experiments").named("spread")


def exposures(settings: Settings) -> Any:
    log = ExposureLog(settings.events)
    found = log.of("spread"), log.answers("spread")
    log.close()
    return found


def test_what_each_customer_did_in_the_window_and_before_it(settings: Settings) -> None:
    lines = [
        line("ann", 1, 10.0, 2, discount=1.0),  # 19 paid, 8 cost
        line("ann", 1, 5.0, product_id="cup"),  # the same order; its cost is not known
        line("ann", 13.9, 10.0, -1),  # comes back
        line("ann", 14.0, 99.0),  # after the window
        line("ann", -3, 7.0),
        line("bob", -28.0, 6.0),  # the first moment that is looked back to
        line("bob", -28.1, 6.0),
        line(None, 1, 50.0),
        line("late", 59, 1.0),
    ]
    write_lake(settings.home, order_lines=lines, products=PRODUCTS)
    expose(settings, {"ann": "control", "bob": "more", "s1": "more"})
    expose(settings, {"late": "more"}, day=46)  # its window ends with day 60, which the lake has not reached
    found = of_orders(settings, spread(settings), exposures(settings)[0])
    assert found.arm.tolist() == [0, 1]
    assert found.waiting == 1
    assert {name: values.tolist() for name, values in found.values.items()} == {
        "orders": [1, 0],
        "ordered": [1, 0],
        "revenue": [14, 0],
        "margin": [11 - 6, 0],
        "returns": [10, 0],
        "discount": [1, 0],
    }
    assert found.before["revenue"].tolist() == [7, 6]


def test_what_came_of_the_answers(settings: Settings) -> None:
    def event(number: int, name: str, answer: str | None, day: float) -> dict[str, Any]:
        at = START + timedelta(days=day)
        told = {"event_id": f"e{number}", "occurred_at": at, "name": name, "session_id": "s"}
        return {**told, "recommendation_id": answer}

    rows = [
        event(1, "view_item", "r-ann", 1),
        event(2, "add_to_cart", "r-ann", 1),
        event(3, "purchase", "r-s1", 15),  # after the window
        event(4, "view_item", None, 60),
    ]
    write_lake(settings.home, events=rows, order_lines=[line("ann", 1, 1.0)])
    expose(settings, {"ann": "control", "s1": "more"})
    log = ExposureLog(settings.events)
    log.answered(Assignment("spread", "control", {}), "ann", "r-2", "popular", START + timedelta(days=2))
    log.close()
    found = of_answers(settings, spread(settings), *exposures(settings))
    assert found.arm.tolist() == [0, 1]
    assert {name: values.tolist() for name, values in found.values.items()} == {
        "click_rate": [0.5, 0],
        "cart_rate": [0.5, 0],
        "conversion_rate": [0, 0],
        "fallback_rate": [0.5, 0],
    }


def shop(settings: Settings, effect: float, lost: float = 0.0, units: int = 1000) -> None:
    """Customers who spend before and after; the arm `more` spends `effect` more. `lost`: of that arm."""
    rng = np.random.default_rng(5)
    arms, lines = {}, [line("end", 60, 1.0)]
    for number in range(units):
        arm = "more" if number % 2 else "control"
        if arm == "more" and rng.random() < lost:
            continue
        usual = rng.gamma(2.0, 20.0)
        arms[f"c{number}"] = arm
        lines.append(line(f"c{number}", -5, round(usual * rng.uniform(0.8, 1.2), 2)))
        raised = 1 + effect * (arm == "more")
        lines.append(line(f"c{number}", 3, round(usual * raised * rng.uniform(0.8, 1.2), 2)))
    write_lake(settings.home, order_lines=lines)
    expose(settings, arms)


def test_a_true_effect_is_told_and_what_explains_the_variance_is_taken_out(settings: Settings) -> None:
    shop(settings, effect=0.2)
    report = read_out(settings, "spread", END)
    revenue, returns = report["results"]
    assert (revenue["metric"], revenue["arm"], revenue["verdict"]) == ("revenue", "more", "better")
    assert revenue["relative"] == pytest.approx(0.2, abs=0.05)
    assert revenue["variance_reduction"] > 0.8
    assert returns["role"] == "guardrail"
    assert report["sample_ratio"]["mismatch"] is False
    assert report["conclusion"][0].startswith("more: better than the control in revenue")
    json.dumps(report, default=str)


def test_with_units_lost_no_difference_is_concluded_from(settings: Settings) -> None:
    shop(settings, effect=0.2, lost=0.3)
    report = read_out(settings, "spread", END)
    assert report["sample_ratio"]["mismatch"]
    assert report["conclusion"][0].startswith("The arms do not have the units")
    assert report["conclusion"][-1] == "more: no conclusion."


def test_a_changed_design_and_an_early_look_are_said(settings: Settings) -> None:
    write_lake(settings.home, order_lines=[line("ann", 60, 1.0)])
    assert read_out(settings, "spread", END)["conclusion"] == [
        "Nobody was exposed yet: the experiment is running."
    ]
    expose(settings, {"ann": "control", "bob": "more"})
    assert "too few units" in read_out(settings, "spread", END)["conclusion"][0]
    expose(settings, {"eve": "more"}, design="another")
    assert "were changed after the first exposure" in read_out(settings, "spread", END)["conclusion"][0]


MOVED = [
    ("share = 0.25", "share = 0.2", True),
    ("enabled", "begins_at = 0.1\nenabled", True),
    ("enabled", "layer = 'other'\nenabled", True),
    ("enabled", "units = 'customers'\nenabled", True),
    ("placement:home", "placement:cart", True),
    ("share = 0.25", "share = 0.4", False),
    ("window_days = 14", "window_days = 7", False),
]


@pytest.mark.parametrize(("old", "new", "told"), MOVED)
def test_units_that_lost_their_arm_are_said_and_a_larger_share_is_not(
    settings: Settings, old: str, new: str, told: bool
) -> None:
    path, before = settings.configs / "experiments" / "spread.toml", FILE.replace("0.5 }", "0.25 }")
    path.write_text(before, encoding="utf-8")
    expose(settings, {"ann": "control", "bob": "more"})
    path.write_text(before.replace(old, new), encoding="utf-8")
    report = read_out(settings, "spread", END)
    assert (report["changed"], report["moved"]) == (False, told)
    assert ("lost their arm" in report["conclusion"][0]) is told
    expose(settings, {"eve": "more"}, day=1)
    path.write_text(before, encoding="utf-8")  # set back: it happened all the same, or now
    expected = told or "0.4" in new
    assert read_out(settings, "spread", END)["moved"] is expected


def test_exposures_of_before_lines_were_kept_are_held_against_the_treatment_alone(settings: Settings) -> None:
    treatment = Design.of(spread(settings).design).treatment
    expose(settings, {"ann": "control"}, design=treatment)
    report = read_out(settings, "spread", END)
    assert (report["changed"], report["moved"]) == (False, False)


def test_without_a_lake_there_is_a_report(settings: Settings) -> None:
    expose(settings, {"ann": "control", "bob": "more"})
    report = read_out(settings, "spread", END)
    assert report["results"] == []
    assert "too few units" in report["conclusion"][0]


def test_the_list_counts_units_and_remembers_what_was_removed(settings: Settings) -> None:
    expose(settings, {"ann": "control", "bob": "more"})
    [row] = listed(settings, END)
    assert (row["state"], row["units"]) == ("running", {"control": 1, "more": 1})
    (settings.configs / "experiments" / "spread.toml").unlink()
    [row] = listed(settings, END)
    assert (row["name"], row["state"]) == ("spread", "removed")


def test_the_commands_answer_in_both_ways(settings: Settings) -> None:
    home = {"PATRON_HOME": str(settings.home), "PATRON_CONFIGS": str(settings.configs)}
    ask = CliRunner(env=home).invoke
    assert "spread" in ask(app, ["list"]).stdout
    missing = ask(app, ["report", "nowhere", "--json"])
    assert isinstance(missing.exception, ConfigurationError)
    assert str(missing.exception) == "No experiment nowhere. There are: spread"
    assert "Nobody was exposed yet" in ask(app, ["report", "spread"]).stdout
    shop(settings, effect=0.2, units=200)
    assert "revenue" in ask(app, ["report", "spread"]).stdout
    assert json.loads(ask(app, ["report", "spread", "--json"]).stdout)["exposed"] == 200
