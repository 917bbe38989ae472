"""The whole line on real customers: a slice of Online Retail, from the shop's own file to answers."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.build import build
from features.check import check
from features.store import materialize
from patron.artifacts import NAMES, champion
from patron.lake.importer import import_files
from patron.settings import Settings, load_settings
from patron.status import status
from serving.batch import score_all
from serving.bootstrap import parts
from serving.service import build as service
from tests.serving.in_process import started
from training import tracking
from training.jobs import JOBS, open_job
from training.run import train

CUSTOMERS = 600


@pytest.fixture(scope="module")
def export(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every line of some hundred customers and of one guest's order, as the shop wrote them."""
    raw = pd.read_csv(shared_data / "online_retail.csv.gz", dtype=str, keep_default_na=False)
    names = sorted(set(raw["CustomerID"]) - {""})[:: max(1, 4372 // CUSTOMERS)]
    guest = raw.loc[raw["CustomerID"] == "", "InvoiceNo"].iloc[0]
    kept = raw[raw["CustomerID"].isin(names) | (raw["InvoiceNo"] == guest)]
    path = tmp_path_factory.mktemp("export") / "slice.csv.gz"
    text = io.StringIO()
    kept.to_csv(text, index=False)
    path.write_bytes(gzip.compress(text.getvalue().encode()))
    return path


@pytest.fixture(scope="module")
def shop(export: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, dict[str, Any]]:
    """Imported, built, loaded, trained and scored."""
    home = tmp_path_factory.mktemp("shop")
    settings = load_settings(
        home=home, mlruns=home / "mlruns", clock="data", churn_horizon_days=56, cutoff_step_days=28
    )
    done: dict[str, Any] = {"import": import_files(settings, "online-retail", [str(export)])}
    done["build"] = build(settings)
    done["materialize"] = materialize(settings)
    done["train"] = {short: train(open_job(settings, short)) for short in JOBS}
    done["score"] = score_all(settings, None)
    return settings, done


def test_every_row_of_the_file_is_accounted_for(shop: tuple[Settings, dict[str, Any]], export: Path) -> None:
    with gzip.open(export, "rt") as file:
        lines = sum(1 for _ in file) - 1
    counted = shop[1]["import"]["tables"]["order_lines"]
    assert counted["read"] == lines > 30_000
    ended = counted["accepted"] + counted["duplicate"]
    assert ended + sum(counted["skipped"].values()) + sum(counted["quarantined"].values()) == lines


def test_training_and_serving_see_the_same_features(shop: tuple[Settings, dict[str, Any]]) -> None:
    found = check(shop[0], customers=200)
    assert found["customers"] == 200
    assert found["differences"] == {}


def test_all_champions_stand_in_the_registry_and_on_disk(shop: tuple[Settings, dict[str, Any]]) -> None:
    settings, done = shop
    for name in NAMES:
        version = tracking.alias_version(settings, name, tracking.CHAMPION)
        assert champion(settings.models, name).version == version is not None
    assert {each["outcome"] for each in done["train"].values()} == {"promoted"}


def test_learned_models_beat_their_baselines_on_real_customers(shop: tuple[Settings, dict[str, Any]]) -> None:
    """Or the baseline itself was shipped, and the run says so."""
    for short in ("recommender", "churn", "lifetime-value"):
        run = shop[1]["train"][short]
        shipped, primary = run["metrics"][run["primary"]]["value"], run["primary"]
        if run["kind"] == run["baseline"]:
            assert "ships until something beats it" in run["gate"][-1]
        else:
            assert shipped > run["beside"][run["baseline"]][primary]
    assert shop[1]["train"]["recommender"]["kind"] in ("ranker", "blend")


def test_scores_hold_one_row_a_customer(shop: tuple[Settings, dict[str, Any]]) -> None:
    settings, done = shop
    rows = pq.read_table(settings.reports / "scores.parquet")
    assert len(rows) == done["score"]["customers"] == done["materialize"]["rows"]["customer_activity"]
    assert len(set(rows["customer_id"].to_pylist())) == len(rows)


def test_what_was_just_trained_has_not_drifted(shop: tuple[Settings, dict[str, Any]]) -> None:
    settings, done = shop
    followed = ("patron-churn", "patron-lifetime-value", "patron-portrait")
    assert done["score"]["drift"] == {name: [] for name in followed}
    assert status(settings)["quality"]["drift"]["alarms"] == []


def test_status_names_what_there_is_and_what_is_missing(shop: tuple[Settings, dict[str, Any]]) -> None:
    found = status(shop[0])
    assert found["lake"]["missing"] == ["events", "offers", "exposures", "tickets", "surveys"]
    assert found["features"]["fresh"]
    assert all(each["ready"] for each in found["models"].values())


def test_the_service_answers_for_a_real_customer(shop: tuple[Settings, dict[str, Any]]) -> None:
    from serving.keys import create

    settings, _ = shop
    key, _ = create(settings.home / "keys.json", "tests", ["storefront", "crm"])
    headers = {"X-API-Key": key}
    scores = pq.read_table(settings.reports / "scores.parquet").to_pylist()
    loyal = next(each for each in scores if each["segment"] in ("champions", "loyal"))
    with started(service(lambda: parts(settings)).to_asgi()) as http:
        answer = http.post(
            "/v1/recommendations", json={"customer_id": loyal["customer_id"], "limit": 10}, headers=headers
        ).json()
        assert len(answer["items"]) == 10
        assert answer["fallback"] is None
        assert not {"POST", "DOT", "M"} & {each["product_id"] for each in answer["items"]}
        churn = http.post(
            "/v1/churn-scores", json={"customer_ids": [loyal["customer_id"]]}, headers=headers
        ).json()["scores"][0]
        assert churn["churn_probability"] == pytest.approx(loyal["churn_probability"], abs=1e-6)
        profile = http.get(f"/v1/customers/{loyal['customer_id']}", headers=headers).json()
        assert profile["segment"] == loyal["segment"]
