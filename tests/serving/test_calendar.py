"""The calendar of the coming days, on customers whose days can be told by reading."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from features.rows import Rows
from patron.errors import UsageError
from patron.models.churn import Churn
from patron.models.waiting import Waiting
from patron.settings import Settings, load_settings
from serving.bootstrap import Served
from serving.calendar import care_calendar, schema
from serving.occasions import Calendar, Entry, closed_tickets, enough, in_year, next_care
from tests.patron.models import test_replenishment as products
from tests.serving.shop import END
from tests.shops import write_lake

TODAY = datetime(2024, 3, 1, tzinfo=UTC)
REGULAR = Waiting(mean_days=10, shape=20, prior_repeats=2)


def people(size: int, **columns: Any) -> Rows:
    """Customers c0, c1, ... who bought twenty times, every ten days, and are nobody special."""
    usual = {"recency_days": 5.0, "mean_gap_days": 10.0, "purchase_days": 20.0, "orders_total": 20.0}
    found = {name: np.full(size, value) for name, value in (usual | {"tenure_days": 200.0}).items()}
    for name in ("birthday", "first_order_at"):
        found[name] = np.full(size, np.nan)
    given = {
        name: np.array(values, dtype=object if "consent" in name else float)
        for name, values in columns.items()
    }
    return Rows([f"c{each}" for each in range(size)], found | given, np.ones(size, dtype=bool), TODAY)


def churn() -> Served:
    model = Churn()
    model.horizon_days, model.waiting = 60, REGULAR
    return Served("patron-churn", "1", model)


def told(rows: Rows, days: int = 14, first: date = TODAY.date(), **models: Served) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    given = {each.name: each for each in models.values()}
    for name, each in Calendar(given, first, days).entries(rows):
        found.setdefault(name, []).append(each)
    return found


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_birthdays_and_anniversaries_of_the_days_ahead():
    birthdays = ["1990-03-01", "1950-03-14", "1990-03-15", "1992-02-29"]
    rows = people(
        5,
        birthday=[*map(seconds, birthdays), np.nan],
        first_order_at=[
            *map(seconds, ["2021-03-05T18:00", "2024-03-02", "2023-03-03", "2019-04-05"]),
            np.nan,
        ],
    )
    found = {name: [(each.day.day, each.text) for each in entries] for name, entries in told(rows).items()}
    assert found == {
        "c0": [(1, "birthday"), (5, "3 years since the first order")],
        "c1": [(14, "birthday")],
        "c2": [(3, "a year since the first order")],
    }


def test_a_birthday_may_be_in_the_next_year_and_on_no_day_of_this_one():
    rows = people(2, birthday=[seconds("1990-01-03"), seconds("1992-02-29")])
    december = told(rows, first=date(2024, 12, 28))
    assert [each.day for each in december["c0"]] == [date(2025, 1, 3)]
    assert in_year(date(1992, 2, 29), 2025) == date(2025, 2, 28)
    assert [each.day for each in told(rows, first=date(2025, 2, 20))["c1"]] == [date(2025, 2, 28)]


def test_an_expected_order_and_one_that_has_not_come():
    rows = people(5, recency_days=[5, 14, 60, 5, 500], purchase_days=[20, 20, 20, 1, 20])
    found = told(rows, churn=churn())
    (expected,), (late,) = found["c0"], found["c1"]
    assert (expected.kind, expected.day) == ("next_order", date(2024, 3, 6))
    assert expected.text == "an order is expected in 5 days: usually after 10 days"
    assert expected.within_days == 14 and expected.probability is not None and expected.probability > 0.9
    assert (late.kind, late.day) == ("overdue", date(2024, 3, 1))
    assert late.text == "an order was expected 4 days ago: usually after 10 days"
    assert {each.kind for each in found.get("c2", [])} <= {"next_order"}, "overdue for longer: told before"
    assert "c3" not in found, "a single order shows no rhythm"
    assert "c4" not in found, "long gone"


def test_an_older_snapshot_is_told_from_today():
    later = told(people(1, recency_days=[5]), first=date(2024, 3, 10), churn=churn())["c0"][0]
    assert later.kind == "overdue" and later.text.startswith("an order was expected 4 days ago")


def test_products_of_a_day_stand_in_one_row():
    model = Served("patron-replenishment", "1", products.fitted())
    ann = [("milk", 20, 2, 7, 4, 13), ("coffee", 8, 16, 21, 1, 4)]
    ben = [("coffee", 8, 23, 21, 1, 4), ("milk", 20, 60, 7, 0, 3)]
    rows = people(2)
    lists = products.rows([ann, ben])
    rows = Rows(rows.ids, {**rows.columns, **lists}, rows.known, TODAY)
    found = told(rows, replenishment=model)
    (both,), (late,) = found["c0"], found["c1"]
    assert (both.kind, both.day, both.within_days) == ("replenishment", date(2024, 3, 6), 14)
    assert sorted(both.text.split("; ")) == [
        "coffee is due in 5 days: bought 8 times, usually every 21 days",
        "milk is due in 5 days: bought 20 times, usually every 7 days",
    ]
    likeliest = both.text.split(" ")[0]
    assert both.product_id == likeliest
    assert (late.kind, late.day, late.product_id) == ("replenishment_overdue", date(2024, 3, 1), "coffee")
    assert late.text == "coffee was due 2 days ago: bought 8 times, usually every 21 days"


def test_who_withholds_a_consent_gets_no_row_that_needs_it():
    day = seconds("1990-03-02")
    rows = people(
        4,
        birthday=[day] * 4,
        consent_recommend=[True, False, None, False],
        consent_offers=[True, True, False, False],
    )
    found = {name: {each.kind for each in entries} for name, entries in told(rows, churn=churn()).items()}
    assert found == {"c0": {"next_order", "birthday"}, "c1": {"birthday"}, "c2": {"next_order"}}


def test_the_chance_is_of_the_shortest_time_that_covers_the_days():
    assert enough((7, 14, 28), 14) == (1, 14)
    assert enough((7, 14, 28), 8) == (1, 14)
    assert enough((7, 14, 28), 90) == (2, 28)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_the_file_holds_a_row_a_customer_day_and_kind(shop: Settings, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"calendar{suffix}"
    outcome = care_calendar(shop, path, days=21)
    read = pyarrow.parquet.read_table if suffix == ".parquet" else pyarrow.csv.read_csv
    table = read(path)
    assert table.schema.names == schema().names
    rows = table.to_pylist()
    assert len(rows) == outcome["rows"] > 10
    assert len({(each["customer_id"], each["date"], each["kind"]) for each in rows}) == len(rows)
    assert [each["date"] for each in rows] == sorted(each["date"] for each in rows)
    assert all(END.date() <= each["date"] for each in rows)
    kinds = {
        name: {each["kind"] for each in rows if each["customer_id"] == name}
        for name in ("ann", "dan", "cleo")
    }
    assert "replenishment" in kinds["ann"] or "replenishment_overdue" in kinds["ann"]
    assert kinds["cleo"] >= {"replenishment"} and kinds["dan"] == set()
    assert outcome["refused"] == {"consent_offers": 1, "consent_recommend": 1}
    tea = next(each for each in rows if each["customer_id"] == "ann" and "replenishment" in each["kind"])
    assert "Product 0 is due in 1 day: bought 20 times, usually every 11 days" in tea["text"].split("; ")
    assert tea["title"] in ("Product 0", "Product 1")
    assert not [each for each in path.parent.iterdir() if each != path], "nothing is left aside"


def test_another_suffix_is_refused(shop: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no suffix of"):
        care_calendar(shop, tmp_path / "calendar.txt")


def test_without_models_the_sure_days_are_told(shop: Settings, tmp_path: Path) -> None:
    bare = shop.model_copy(update={"home": tmp_path})
    (tmp_path / "features").symlink_to(shop.home / "features")
    outcome = care_calendar(bare, days=365)
    assert set(outcome["kinds"]) == {"anniversary"}
    assert outcome["missing"] == ["patron-churn", "patron-replenishment"]


def test_a_closed_ticket_is_thanked_for_the_day_after_and_not_for_long() -> None:
    rows = people(4)
    closed = {
        "c0": date(2024, 2, 29),
        "c1": date(2024, 2, 27),
        "c2": date(2024, 2, 26),
        "c3": date(2024, 3, 1),
    }
    found = [
        (name, each.day, each.text) for name, each in Calendar({}, TODAY.date(), 2, closed).entries(rows)
    ]
    assert found == [
        ("c0", date(2024, 3, 1), "a ticket was closed yesterday"),
        ("c1", date(2024, 3, 1), "a ticket was closed 3 days ago"),
        ("c3", date(2024, 3, 2), "a ticket was closed yesterday"),
    ]


def test_whose_ticket_was_closed_well(tmp_path: Path) -> None:
    def ticket(
        who: str, closed: str | None, satisfied: bool | None = None, number: int = 0
    ) -> dict[str, Any]:
        opened = datetime(2024, 2, 1, tzinfo=UTC)
        at = datetime.fromisoformat(closed).replace(tzinfo=UTC) if closed else None
        told = {"ticket_id": f"{who}{number}", "customer_id": who, "opened_at": opened, "closed_at": at}
        return {**told, "satisfied": satisfied}

    tickets = [
        ticket("ann", "2024-02-28", True),
        ticket("bob", "2024-02-28", False),
        ticket("cid", "2024-02-28"),
        ticket("cid", None, number=1),
        ticket("dan", "2024-02-20"),
        ticket("eve", "2024-02-27"),
        ticket("eve", "2024-02-29", number=1),
        ticket("fay", "2024-03-02"),
    ]
    write_lake(tmp_path, tickets=tickets)
    settings = load_settings(home=tmp_path)
    assert closed_tickets(settings, TODAY) == {"ann": date(2024, 2, 28), "eve": date(2024, 2, 29)}
    assert closed_tickets(load_settings(home=tmp_path / "nowhere"), TODAY) == {}


def test_the_next_act_of_care_is_the_first_of_the_days_ahead() -> None:
    rows = people(
        3, birthday=[seconds("1990-03-05"), seconds("1990-03-05"), np.nan], recency_days=[12.0, 5, 5]
    )
    found = next_care(Calendar({"patron-churn": churn()}, TODAY.date(), 30), rows)
    assert found["next_care_kind"] == ["overdue", "birthday", None]
    assert found["next_care_date"] == [date(2024, 3, 1), date(2024, 3, 5), None]
    assert found["next_care_reason"][0].startswith("an order was expected")
