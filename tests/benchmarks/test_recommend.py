from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from recommending import environment, report, speed, stored
from recommending.benchmark import SETTINGS
from recommending.contenders import APART, IMPLICIT, contenders
from recommending.peers_implicit import matrix
from recommending.runner import Contender, Runner
from recommending.splits import folds

from patron.models.base import configured
from patron.settings import PROJECT
from tests.benchmarks.shops import shop, timeless

SHOP = [f"c{i} " + " ".join(f"p{(i + step) % 6}" for step in range(5)) for i in range(12)]


@pytest.fixture
def runner(tmp_path):
    split = folds(timeless(*SHOP), "leave-one-out")
    found = Runner(split, "leave-one-out", ("new",), tmp_path, 1, {"seed": 0, "minutes": 1.0})
    found.prepare()
    return found


def asked(**options):
    return argparse.Namespace(**{"models": None, "peers": False, "reference": None, "seed": 0, **options})


def test_help_answers_without_loading_anything():
    script = str(PROJECT / "benchmarks" / "recommend.py")
    told = subprocess.run(
        [sys.executable, "-X", "importtime", script, "--help"], capture_output=True, text=True
    )
    assert told.returncode == 0
    assert "--protocol" in told.stdout
    assert "numpy" not in told.stderr


def test_a_model_is_fitted_in_a_process_of_its_own_and_judged_here(runner):
    settings = {"item-item": [{"min_buyers": 10_000}, {"min_buyers": 1, "fit_half_life_days": 0.0}]}
    (contender,) = contenders(asked(models=["item-item"]), settings, runner)
    outcome = runner.run(contender)["new"]
    assert outcome.settings == {"min_buyers": 1, "fit_half_life_days": 0.0}  # the other knows no neighbour
    assert outcome.validation > 0
    assert outcome.facts["fit_seconds"] > 0
    assert 0 < outcome.judgement.metrics["recall_at_10"] <= 1


def test_a_process_that_fails_says_why_and_the_table_goes_on(runner):
    outcome = runner.run(Contender("broken", "recommending.ours:Nothing"))["new"]
    assert "Nothing" in outcome.problem
    (row,) = report.rows([outcome], asked())
    assert report.cells(row, list(report.COLUMNS))[-1] == outcome.problem


def test_a_process_that_takes_too_long_is_ended_and_says_so(runner, monkeypatch):
    monkeypatch.setattr("recommending.runner.MOST_MINUTES", -2.9999)
    (contender,) = contenders(asked(models=["als"]), {}, runner)
    assert runner.run(contender)["new"].problem.startswith("no answer within")


def test_peers_that_cannot_be_installed_stand_in_the_table(runner, monkeypatch):
    monkeypatch.setattr(environment, "ready", lambda: (None, "no network"))
    found = contenders(asked(models=list(APART), peers=True), {}, runner)
    assert {each.problem for each in found} == {"not installable: no network"}
    assert runner.run(found[0])["new"].problem == "not installable: no network"


def test_every_recommender_that_has_a_config_takes_part(runner):
    names = [each.name for each in contenders(asked(), {}, runner)]
    assert {"Patron als", "Patron popularity", "Patron recommender"} <= set(names)
    assert "Patron churn" not in names


def test_an_unknown_model_is_answered_with_those_there_are(runner):
    with pytest.raises(SystemExit, match=r"No model nothing. There are: .*als"):
        contenders(asked(models=["nothing"]), {}, runner)


def test_a_child_is_handed_no_answers(runner):
    folder = runner.folder("test")
    handed = stored.load(folder / "panel-test.npz")
    assert set(handed) == {"customers", "row", "order", "product", "at"}
    assert len(handed["row"]) == 12 * 4
    assert [each.name for each in runner.scratch.glob("*/answers-*")] == ["answers-learning.npz"]


def test_what_ships_is_learned_a_step_earlier_and_judged_beside_its_rivals(runner):
    settings = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))["leave-one-out"]
    settings["recommender"][0]["sources"].remove("sequence")
    names = ["recommender", "item-item", "sequential-rules"]
    outcomes = [runner.run(each)["new"] for each in contenders(asked(models=names), settings, runner)]
    shipped = outcomes[-1]
    assert shipped.problem == ""
    assert shipped.judgement.metrics["recall_at_10"] == 1  # of six products four are masked
    assert shipped.facts["candidate_ceiling"] == 1
    assert {"kind", "best_source", "new_places", "weights"} <= set(shipped.facts["facts"])
    against = report.comparisons(outcomes, asked(), "leave-one-out")
    assert [each["as"] for each in against] == ["sequential-rules", report.BEST]
    assert all(len(each["difference"]) == 3 for each in against)


def test_what_ships_learns_repeats_and_new_products_apart(tmp_path):
    days = (0, 5, 20, 30, 50, 60, 80, 100)  # two in each of: before all windows, earlier, validation, test
    steps = zip(days, (0, 1, 0, 2, 1, 3, 0, 4), strict=True)  # in each window one again and one that is new
    rows = [(f"c{i}", f"p{(i + step) % 6}", day) for day, step in steps for i in range(12)]
    split = folds(shop(*rows), "global")
    found = Runner(split, "global", ("repeats", "new"), tmp_path, 1, {"seed": 0, "minutes": 1.0})
    found.prepare()
    assert list(found.learning) == ["earlier", "validation"]
    assert not list(tmp_path.glob("test/answers-*"))
    (shipped,) = contenders(asked(models=["recommender"]), {}, found)
    told = found.run(shipped)
    assert {name: each.problem for name, each in told.items()} == {"repeats": "", "new": ""}
    assert told["repeats"].judgement.metrics["recall_at_10"] == 1


def test_settings_name_fields_that_the_models_have():
    for protocol in tomllib.loads(SETTINGS.read_text(encoding="utf-8")).values():
        for name, variants in protocol.items():
            if name in APART or name in IMPLICIT:
                continue
            for each in variants:
                configured(PROJECT / "configs" / "models" / f"{name}.toml", **each)


def test_speed_is_the_ratio_of_medians_of_fits_in_turn(runner, monkeypatch):
    took = {"Patron als": iter([1.0, 5.0, 2.0]), "implicit ALS": iter([4.0, 1.0, 9.0])}
    order = []

    def child(self, contender, *_):
        order.append(contender.name)
        return {"fit_seconds": next(took[contender.name])}, {}

    monkeypatch.setattr(type(runner), "child", child)
    ours, peer = Contender("Patron als"), Contender("implicit ALS")
    found = speed.raced(runner, (ours, {}), (peer, {}), 3, runner.scratch)
    assert order == ["Patron als", "implicit ALS"] * 3
    assert found["ratio"] == 0.5


def test_orders_are_counted_once_a_product_for_peers():
    found = matrix(np.array([0, 0, 0]), np.array([1, 1, 2]), np.array([1, 1, 1]), (1, 2))
    assert found.toarray().tolist() == [[0, 2]]


def test_what_is_measured_is_written_as_json(tmp_path):
    data, out = tmp_path / "tiny.txt", tmp_path / "out.json"
    data.write_text("\n".join(SHOP))
    script = str(PROJECT / "benchmarks" / "recommend.py")
    options = ["--models", "popularity", "--no-peers", "--threads", "1", "--json", str(out)]
    told = subprocess.run(
        [sys.executable, script, "--data", str(data), *options], capture_output=True, text=True, check=True
    )
    assert "Patron popularity" in told.stdout
    (document,) = json.loads(out.read_text())
    (row,) = document["readings"]["new"]
    assert row["model"] == "Patron popularity"
    assert document["data"]["customers"] == 12
