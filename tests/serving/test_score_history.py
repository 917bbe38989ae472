"""The history of scores: groups, movements and who moved, told by reading five customers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from patron.errors import NoScores, UsageError
from patron.settings import Settings
from serving import score_history
from serving.movements import moved
from tests.serving.shop import settings_of

THEN = datetime(2024, 5, 1, tzinfo=UTC)
NOW = THEN + timedelta(days=14)


def states(people: dict[str, tuple[str, str | None, float | None]]) -> pa.Table:
    """name -> (segment, risk, value) as a scoring keeps it; without a risk the customer is already gone."""
    names = list(people)
    segments, risks, values = zip(*people.values(), strict=True)
    columns: dict[str, list[Any]] = {
        "customer_id": names,
        "segment": list(segments),
        "churn_risk": list(risks),
        "churn_status": ["scored" if each else "already_churned" for each in risks],
        "lifecycle_stage": ["mature"] * len(names),
        "value_tier": [None] * len(names),
        "loyalty_tier": ["bronze"] * len(names),
        "expected_value": list(values),
        "churn_probability": [0.5 if each else None for each in risks],
    }
    return pa.table(score_history.state(columns), schema=score_history.schema())


BEFORE = {
    "ann": ("champions", "low", 100.0),
    "bob": ("champions", "low", 60.0),
    "cleo": ("lost", None, 0.0),
    "dan": ("loyal", "medium", 20.0),
}
AFTER = {
    "ann": ("champions", "low", 110.0),
    "bob": ("at_risk", "high", 30.0),
    "dan": ("loyal", "low", 25.0),
    "eve": ("new", "medium", 10.0),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = settings_of(tmp_path)
    score_history.keep(found, THEN, states(BEFORE), {"models": {"patron-churn": "1"}, "horizon_days": 30})
    score_history.keep(found, NOW, states(AFTER), {"models": {"patron-churn": "2"}, "horizon_days": 30})
    return found


def matrix(moves: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[int, float, float]]:
    return {
        (each["previous"], each["current"]): (each["customers"], each["expected_value"], each["value_before"])
        for each in moves
    }


def test_groups_are_counted_and_valued(settings: Settings) -> None:
    found = score_history.summary(settings)
    assert (found["as_of"], found["customers"], found["expected_value"]) == ("2024-05-15", 4, 175.0)
    assert found["groups"]["segment"][0] == {
        "name": "champions",
        "customers": 1,
        "share": 0.25,
        "expected_value": 110.0,
        "churn_probability": 0.5,
    }
    assert [each["name"] for each in found["groups"]["segment"]] == ["champions", "at_risk", "loyal", "new"]
    assert [each["name"] for each in found["groups"]["value_tier"]] == ["none"]


def test_movements_are_a_whole_matrix_with_value(settings: Settings) -> None:
    found = score_history.summary(settings)["movements"]
    assert (found["since"], found["until"]) == ("2024-05-01", "2024-05-15")
    assert matrix(found["segment"]) == {
        ("champions", "champions"): (1, 110.0, 100.0),
        ("champions", "at_risk"): (1, 30.0, 60.0),
        ("loyal", "loyal"): (1, 25.0, 20.0),
        ("lost", "none"): (1, 0.0, 0.0),
        ("none", "new"): (1, 10.0, 0.0),
    }
    assert ("already_churned", "none") in matrix(found["churn_risk"])
    assert found["models_changed"] == ["patron-churn"]


def test_the_first_scoring_has_no_movements(tmp_path: Path) -> None:
    about = {"models": {}, "horizon_days": None}
    assert score_history.keep(settings_of(tmp_path), THEN, states(BEFORE), about)["movements"] is None


def test_scoring_a_moment_again_replaces_it(settings: Settings) -> None:
    score_history.keep(settings, NOW, states(BEFORE), {"models": {"patron-churn": "1"}, "horizon_days": 30})
    found = score_history.summary(settings)["movements"]
    assert score_history.moments(settings) == [THEN.date(), NOW.date()]
    assert all(each["previous"] == each["current"] for each in found["segment"])
    assert found["models_changed"] == []


def test_an_older_moment_scored_late_leaves_the_newest_one_in_the_summary(settings: Settings) -> None:
    found = score_history.keep(
        settings, THEN - timedelta(days=14), states(BEFORE), {"models": {}, "horizon_days": 30}
    )
    assert (found["as_of"], found["movements"]["since"]) == ("2024-05-15", "2024-05-01")


def test_scorings_of_another_lake_do_not_count(settings: Settings) -> None:
    about = {"models": {}, "horizon_days": 30, "lake_id": "another"}
    found = score_history.keep(settings, NOW + timedelta(days=14), states(AFTER), about)
    assert found["as_of"] == "2024-05-15" and score_history.moments(settings)[-1] == NOW.date()


def test_old_moments_are_dropped(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_history, "KEPT", 2)
    later = NOW + timedelta(days=14)
    score_history.keep(settings, later, states(AFTER), {"models": {}, "horizon_days": 30})
    assert score_history.moments(settings) == [NOW.date(), later.date()]


def test_who_moved_comes_with_the_most_valuable_first(settings: Settings, tmp_path: Path) -> None:
    found = moved(settings, to=tmp_path / "moved.parquet")
    rows = pa.parquet.read_table(found["path"]).to_pylist()
    assert found["customers"] == 4 and rows[0]["customer_id"] == "bob"
    assert {(each["customer_id"], each["dimension"]) for each in rows} == {
        *(("bob", each) for each in ("segment", "churn_risk")),
        ("dan", "churn_risk"),
        *(("cleo", each) for each in ("segment", "churn_risk", "lifecycle_stage", "loyalty_tier")),
        *(("eve", each) for each in ("segment", "churn_risk", "lifecycle_stage", "loyalty_tier")),
    }
    assert rows[0] == {
        "customer_id": "bob",
        "dimension": "churn_risk",
        "previous": "low",
        "current": "high",
        "expected_value": 30.0,
        "churn_probability": 0.5,
        "value_before": 60.0,
        "churn_probability_before": 0.5,
    }


def test_who_moved_as_csv(settings: Settings, tmp_path: Path) -> None:
    moved(settings, "2024-05-01", tmp_path / "moved.csv")
    lines = (tmp_path / "moved.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 12 and lines[0].startswith('"customer_id","dimension","previous","current"')


def test_movements_need_two_scorings_and_a_date_among_them(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NoScores, match="There are 0 scorings"):
        moved(settings_of(tmp_path / "empty"))
    with pytest.raises(NoScores, match="There are: 2024-05-01, 2024-05-15"):
        moved(settings, "2024-05-02")
    with pytest.raises(UsageError, match="need an earlier one"):
        moved(settings, "2024-05-15")
    with pytest.raises(UsageError, match="is not a date"):
        moved(settings, "yesterday")
    with pytest.raises(UsageError, match=r"\.csv"):
        moved(settings, to=Path("moved.xlsx"))
    with pytest.raises(NoScores, match="patron score"):
        score_history.summary(settings_of(tmp_path / "empty"))


def test_moments_are_dates(settings: Settings) -> None:
    assert score_history.moments(settings) == [date(2024, 5, 1), date(2024, 5, 15)]
