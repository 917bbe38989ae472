"""Building is incremental, and asking for what was not built says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from features import customer_activity, customer_profile, product_popularity, view
from features.build import build, built_cutoffs, data_hash, folder, index
from features.cutoffs import newest, parse, rolling
from features.offline import historical, latest, newest_cutoff, snapshot
from features.views import VIEWS, offered
from patron.errors import FeatureError, LakeError
from patron.settings import Settings
from tests.features.snapshots import built, day, rows_of, settings_of
from tests.shops import line, write_lake

LINES = [line("a", "p", "2024-01-10"), line("b", "q", "2024-01-20"), line("a", "q", "2024-02-10")]
DAYS = ["2024-02-01", "2024-03-01"]
ACTIVITY = "customer_activity:orders_total"


@pytest.fixture
def shop(tmp_path: Path) -> Settings:
    return built(tmp_path, DAYS, order_lines=LINES)


def rebuilt(settings: Settings, *days: str, **tables: Any) -> dict[str, Any]:
    if tables:
        write_lake(settings.home, **tables)
    return build(settings, [day(each) for each in days])


def test_a_second_build_builds_nothing(shop: Settings) -> None:
    before = index(shop)
    outcome = rebuilt(shop, *DAYS)
    assert outcome == {"cutoffs": DAYS, "built": 0, "kept": 21, "rows": outcome["rows"], "removed": 0}
    assert index(shop) == before


def test_only_a_new_cutoff_is_built(shop: Settings) -> None:
    outcome = rebuilt(shop, "2024-02-15", "2024-02-15", *DAYS)
    assert (outcome["built"], outcome["kept"], outcome["removed"]) == (10, 21, 0)
    assert built_cutoffs(shop) == [day(each) for each in ("2024-02-01", "2024-02-15", "2024-03-01")]


def test_another_lake_builds_again_and_removes_what_is_stale(shop: Settings) -> None:
    hashed = data_hash(shop)
    outcome = rebuilt(shop, "2024-03-01", order_lines=[*LINES, line("c", "p", "2024-02-20")])
    assert (outcome["built"], outcome["kept"], outcome["removed"]) == (8, 3, 7)
    assert built_cutoffs(shop) == [day("2024-03-01")]
    assert not folder(shop, "customer_activity", "2024-02-01").exists()
    assert "c" in rows_of(shop, customer_activity.VIEW, "2024-03-01")
    assert data_hash(shop) != hashed


def test_one_staging_is_kept_and_no_lake_content_outlives_its_lake(shop: Settings) -> None:
    rebuilt(shop, "2024-03-01", order_lines=LINES[:1])
    assert len(list((shop.home / "tmp" / "staged").iterdir())) == 1


def test_what_a_broken_build_left_is_not_read_and_goes_away(shop: Settings) -> None:
    whole = folder(shop, "customer_activity", "2024-03-01")
    aside = whole.with_name(f".{whole.name}.0123")
    aside.mkdir()
    (aside / "part.parquet").write_bytes(b"PAR1 half of a file")
    assert historical(shop, ["a"], [day("2024-03-01")], [ACTIVITY]).columns["orders_total"].tolist() == [2]
    rebuilt(shop, *DAYS)
    assert not aside.exists()


def test_a_changed_expression_is_built_again(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "SHARED", ("lists.py",))
    assert rebuilt(shop, *DAYS)["built"] == 21


def test_a_timeless_view_is_built_at_the_newest_cutoff_only(shop: Settings) -> None:
    assert built_cutoffs(shop, customer_profile.VIEW.name) == [day("2024-03-01")]


def test_without_cutoffs_they_roll_back_from_the_last_order(tmp_path: Path) -> None:
    write_lake(tmp_path, order_lines=[line("a", "p", "2024-01-01T10:00"), line("a", "p", "2024-03-31T12:00")])
    outcome = build(settings_of(tmp_path), views=[product_popularity.VIEW])
    assert outcome["cutoffs"] == ["2024-03-04", "2024-03-18", "2024-04-01"]


def test_rolling_cutoffs_stop_at_the_limit_and_before_too_little_history() -> None:
    first, last = day("2024-01-01T10:00"), day("2024-12-31T00:00")
    assert newest(last) == day("2025-01-01")
    assert rolling(first, last, 7, 3) == [day("2024-12-18"), day("2024-12-25"), day("2025-01-01")]
    assert rolling(first, last, 7, 1000)[0] >= first + timedelta(days=56)
    assert rolling(last, last, 7, 5) == [day("2025-01-01")]


def test_a_cutoff_that_was_not_built_is_named_with_the_command_that_builds_it(shop: Settings) -> None:
    asked = [day("2024-02-05"), day("2024-02-01"), day("2024-02-06")]
    with pytest.raises(FeatureError, match=r"2024-02-05,2024-02-06.*--cutoffs 2024-02-05,2024-02-06$"):
        historical(shop, ["a", "b", "a"], asked, [ACTIVITY])
    with pytest.raises(FeatureError, match=r"customer_activity at 2024-02-05.*patron features build"):
        snapshot(shop, [ACTIVITY], day("2024-02-05"))


def test_cutoffs_are_midnights_in_utc(shop: Settings) -> None:
    for wrong in (datetime(2024, 2, 1, 12, tzinfo=UTC), datetime(2024, 2, 1)):
        with pytest.raises(FeatureError, match="midnight"):
            build(shop, [wrong])
    with pytest.raises(FeatureError, match="'yesterday' is not a cutoff"):
        parse("yesterday")


def test_a_cutoff_before_the_first_order_is_refused(shop: Settings) -> None:
    with pytest.raises(FeatureError, match="No order is before the cutoff 2024-01-10"):
        rebuilt(shop, "2024-01-10")


def test_an_unknown_reference_is_named(shop: Settings) -> None:
    with pytest.raises(FeatureError, match=r"customer_activity:shoe_size.*patron features list"):
        historical(shop, ["a"], [day("2024-02-01")], [ACTIVITY, "customer_activity:shoe_size"])


def test_what_has_no_history_is_not_trained_on(shop: Settings) -> None:
    with pytest.raises(FeatureError, match=r"customer_profile .* no history"):
        historical(shop, ["a"], [day("2024-03-01")], [ACTIVITY, "customer_profile:region"])


def test_nobody_asked_is_nobody_answered(shop: Settings) -> None:
    rows = historical(shop, [], [], [ACTIVITY])
    assert (len(rows), rows.columns["orders_total"].shape) == (0, (0,))


def test_an_empty_lake_says_what_to_import(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=r"no order_lines.*patron import"):
        build(settings_of(tmp_path))
    with pytest.raises(FeatureError, match=r"No features were built.*patron features build"):
        newest_cutoff(settings_of(tmp_path))


def test_order_lines_without_a_row_are_refused(tmp_path: Path) -> None:
    write_lake(tmp_path, order_lines=[])
    with pytest.raises(LakeError, match="no order_lines"):
        build(settings_of(tmp_path))


def test_latest_holds_every_customer_with_an_order(shop: Settings) -> None:
    rows = latest(shop, [ACTIVITY, "customer_profile:region", "purchase_history:history_product_ids"])
    assert (rows.ids, rows.as_of) == (["a", "b"], day("2024-03-01"))
    assert rows.columns["orders_total"].tolist() == [2, 1]
    assert rows.columns["region"].tolist() == [None, None]
    assert [each.tolist() for each in rows.columns["history_product_ids"]] == [["p", "q"], ["q"]]


def test_names_of_features_are_unique_over_views() -> None:
    names = [reference.split(":")[1] for reference in offered()]
    assert len(names) == len(set(names))
    assert all(set(each.references) <= set(offered()) for each in VIEWS)


SNIPPET = """
from pathlib import Path
from tests.features.snapshots import built, rows_of, day
from tests.shops import line
from features import customer_profile
settings = built(Path({home!r}), ["2024-03-01"], order_lines=[line("a", "p", "2024-02-01")],
    customers=[{{"customer_id": "a", "birthday": day("1990-07-01"), "signed_up_at": day("2024-01-01")}}])
row = rows_of(settings, customer_profile.VIEW, "2024-03-01")["a"]
assert row["birthday"] == day("1990-07-01").timestamp(), row
assert row["signed_up_at"] == day("2024-01-01").timestamp(), row
"""


def test_the_time_zone_of_the_machine_changes_nothing(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", SNIPPET.format(home=str(tmp_path))],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"TZ": "America/New_York"},
        check=True,
        timeout=60,
    )
