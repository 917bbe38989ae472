"""Batch scores: everybody, and the same numbers as over HTTP."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet
import pytest

from features.build import built_cutoffs
from patron.errors import NoChampion, NoScores, UsageError
from patron.settings import Settings
from serving.batch import score_all
from serving.bootstrap import parts
from serving.endpoints.segments import LISTS, segments
from serving.score_columns import MODELS, schema
from serving.score_history import moments
from tests.serving.conftest import Client
from tests.serving.shop import CUTOFFS, END, settings_of


@pytest.fixture(scope="module")
def scores(shop: Settings) -> dict[str, dict[str, Any]]:
    outcome = score_all(shop, history=1)
    table = pyarrow.parquet.read_table(outcome["path"])
    assert table.schema.names == schema().names
    assert outcome["customers"] == table.num_rows
    assert outcome["missing"] == [name for name in MODELS if name not in champions(shop)]
    assert outcome["features_as_of"] == END
    return {each["customer_id"]: each for each in table.to_pylist()}


def champions(shop: Settings) -> set[str]:
    return {each.parent.name for each in shop.models.glob("*/champion.json")}


def test_everybody_with_an_order_has_a_row(scores: dict[str, dict[str, Any]]) -> None:
    assert {"ann", "bob", "cleo", "dan"} <= set(scores) and "eve" not in scores


def test_numbers_equal_those_of_the_endpoints(client: Client, scores: dict[str, dict[str, Any]]) -> None:
    ids = sorted(scores)
    churn = client.post("churn-scores", {"customer_ids": ids}).json()["scores"]
    value = client.post("lifetime-values", {"customer_ids": ids}).json()["values"]
    for one, other in zip(churn, value, strict=True):
        row = scores[one["customer_id"]]
        assert row["churn_status"] == one["status"] and row["churn_risk"] == one["risk"]
        assert row["churn_probability"] == pytest.approx(one["churn_probability"], abs=1e-6)
        expected = one["expected_next_order_at"]
        assert row["expected_next_order_at"] == (datetime.fromisoformat(expected) if expected else None)
        assert row["expected_value"] == pytest.approx(other["expected_value"], abs=1e-6)
        assert [row["value_low"], row["value_high"]] == pytest.approx(other["interval"], abs=1e-6)
        assert row["value_tier"] == other["value_tier"]


def test_segments_and_actions_equal_those_of_the_profile(
    client: Client, scores: dict[str, dict[str, Any]]
) -> None:
    for name in ("ann", "bob", "cleo"):
        found = client.get(f"/v1/customers/{name}").json()
        row = scores[name]
        assert row["segment"] == found["segment"] and row["lifecycle_stage"] == found["lifecycle_stage"]
        assert row["best_action"] == found["next_best_action"]["offer_id"]
        assert row["cluster"] == found["cluster"] and row["loyalty_tier"] == found["loyalty"]["tier"]
        assert row["persona_text"] == found["persona"]["text"]
        due, shown = json.loads(row["due_products"] or "[]"), found["due_products"]
        assert [each["product_id"] for each in due] == [each["product_id"] for each in shown]
        for one, other in zip(due, shown, strict=True):
            chances = {f"probability_{days}d": chance for days, chance in other["probability_within"].items()}
            assert {name: one[name] for name in chances} == pytest.approx(chances, abs=1e-6)
            assert one["due_in_days"] == pytest.approx(other["due_in_days"], abs=1e-6)


def test_who_refused_is_named_and_gets_no_products(scores: dict[str, dict[str, Any]], client: Client) -> None:
    assert scores["ann"]["due_products"] and scores["ann"]["consent_recommend"]
    assert scores["dan"]["due_products"] is None and scores["dan"]["consent_recommend"] is False
    assert client.get("/v1/customers/dan").json()["due_products"] == []
    assert scores["cleo"]["consent_offers"] is False and scores["cleo"]["best_action"] == "none"


def test_a_cutoff_without_all_that_is_read_is_skipped(shop: Settings, tmp_path: Path) -> None:
    """Half a scoring would look as if everybody had moved."""
    outcome = score_all(shop, tmp_path / "scores.csv", history=len(CUTOFFS) - 1)
    recent = set(built_cutoffs(shop, "customer_category_affinity"))
    lacking = [f"{each:%Y-%m-%d}" for each in CUTOFFS if each not in recent]
    assert outcome["skipped"] == lacking


def test_segments_are_what_the_scores_add_up_to(client: Client, scores: dict[str, dict[str, Any]]) -> None:
    found = client.get("/v1/segments").json()
    assert (found["as_of"], found["customers"]) == (f"{END:%Y-%m-%d}", len(scores))
    for name, column in LISTS.items():
        if column != "churn_risk":
            counted = Counter(each[column] or "none" for each in scores.values())
            assert {each["name"]: each["customers"] for each in found[name]} == counted
    total = sum(each["expected_value"] for each in scores.values())
    assert found["expected_value"] == pytest.approx(total)
    moves = found["movements"]["segment"]
    assert found["movements"]["since"] == f"{CUTOFFS[-2]:%Y-%m-%d}"
    assert sum(each["customers"] for each in moves) >= len(scores)


def test_segments_need_a_scoring(shop: Settings, tmp_path: Path) -> None:
    with pytest.raises(NoScores, match="patron score"):
        segments(parts(settings_of(tmp_path)))


def test_history_is_kept_by_cutoff(shop: Settings, scores: dict[str, Any]) -> None:
    assert moments(shop)[-2:] == [each.date() for each in CUTOFFS[-2:]]


def test_reasons_are_text(scores: dict[str, dict[str, Any]]) -> None:
    assert scores["ann"]["reasons"].startswith("churn: ") and "value: " in scores["ann"]["reasons"]


def test_csv_holds_the_same_rows(shop: Settings, tmp_path: Path, scores: dict[str, Any]) -> None:
    score_all(shop, tmp_path / "out" / "scores.csv")
    table = pyarrow.csv.read_csv(tmp_path / "out" / "scores.csv")
    assert table.schema.names == schema().names and table.num_rows == len(scores)
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["scores.csv"]


def test_other_suffixes_are_refused(shop: Settings) -> None:
    with pytest.raises(UsageError, match=r"\.parquet"):
        score_all(shop, Path("scores.xlsx"))


def test_without_a_champion_it_says_what_to_train(shop: Settings, tmp_path: Path) -> None:
    for name in ("features", "lake"):
        (tmp_path / name).symlink_to(shop.home / name)
    with pytest.raises(NoChampion, match="patron train churn"):
        score_all(settings_of(tmp_path))


def test_progress_reaches_the_number_of_customers(shop: Settings, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    score_all(shop, tmp_path / "scores.parquet", advance=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] >= 80
