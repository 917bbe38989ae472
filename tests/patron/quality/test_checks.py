"""Each check on a shop that sells daily: silent as it is, an alarm for what was broken on purpose."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from patron.lake.tables import Lake
from patron.quality.report import quality
from patron.quality.show import page
from patron.quality.tables import opened
from patron.quality.volume import volume
from tests.patron.quality.conftest import START, daily

LAST_MONTH = START + timedelta(days=253)


def lately(lines, change):
    """The lines with a change to those of the last 28 days."""
    return [each | change(each) if each["ordered_at"] >= LAST_MONTH else each for each in lines]


def alarms(found):
    return {(each["table"], each["check"]) for each in found["alarms"]}


@pytest.mark.parametrize("seed", range(4))
def test_an_ordinary_shop_raises_no_alarm(home, seed):
    found = quality(home(order_lines=daily(seed=seed)))
    assert found["alarms"] == []
    assert found["tables"]["order_lines"]["freshness"]["silent_days"] == 0


def test_a_report_is_json_without_customers_and_is_kept(home, lines):
    settings = home(order_lines=lines, customers=[{"customer_id": "secret-001"}])
    found = quality(settings)
    text = (settings.reports / "quality.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["tables"].keys() == found["tables"].keys()
    assert "secret-" not in text
    assert "secret-" not in page(found, None)


def test_an_empty_lake_has_nothing_to_tell(home):
    found = quality(home())
    assert (found["tables"], found["alarms"]) == ({}, [])


# Completeness


def every(number, **change):
    turn = count()
    return lambda each: change if next(turn) % number == 0 else {}


def test_ids_that_go_missing(home, lines):
    found = quality(home(order_lines=lately(lines, every(2, customer_id=None))))
    assert alarms(found) == {("order_lines", "completeness")}
    assert found["alarms"][0]["text"].startswith("order_lines.customer_id is missing in 5")


def test_a_column_that_was_always_there(home, lines):
    always = [each | {"offer_id": "spring"} for each in lines]
    assert quality(home(order_lines=always))["alarms"] == []
    found = quality(home(order_lines=lately(always, every(50, offer_id=None))))
    assert alarms(found) == {("order_lines", "completeness")}


def test_what_is_still_to_come_is_not_missing(home, lines):
    """Tickets close and offers convert in the weeks after they were opened and shown."""
    tickets, exposures = [], []
    for day in range(281):
        at, over = START + timedelta(days=day), day < 260
        for number in range(5):
            name, who = f"{day}-{number}", {"customer_id": "secret-001"}
            closed = {"closed_at": at + timedelta(days=20), "satisfied": True} if over else {}
            tickets.append(who | {"ticket_id": name, "opened_at": at, "category": "post"} | closed)
            taken = {"converted": True, "value": 5} if over else {}
            shown = {"decision_id": name, "offer_id": "spring", "shown_at": at, "propensity": 1}
            exposures.append(who | shown | taken)
    late = [
        each | {"ingested_at": each["ordered_at"] + timedelta(days=20)} if at % 2 else each
        for at, each in enumerate(lines)
        if at % 2 == 0 or each["ordered_at"] < START + timedelta(days=260)
    ]
    found = quality(home(order_lines=late, tickets=tickets, exposures=exposures))
    assert [each for each in found["alarms"] if each["check"] == "completeness"] == []
    assert found["tables"]["tickets"]["completeness"]["satisfied"]["missing"] == pytest.approx(21 / 281)
    unnamed = [each | {"category": None} if each["opened_at"] >= LAST_MONTH else each for each in tickets]
    assert alarms(quality(home(tickets=unnamed))) == {("tickets", "completeness")}


def test_a_column_that_is_filled_at_last_is_a_note(home, lines):
    found = quality(home(order_lines=lately(lines, lambda each: {"discount": 1})))
    assert found["alarms"] == []
    assert found["notes"][0].startswith("order_lines.discount is missing in only ")


# Duplicates


def test_duplicates_are_counted(home, lines):
    other = {**lines[0], "customer_id": "x", "product_id": "p99"}
    known = {**lines[1], "customer_id": "y"}
    found = quality(
        home(order_lines=[*lines, lines[0], lines[0], known, other | {"order_id": known["order_id"]}])
    )
    told = found["tables"]["order_lines"]["duplicates"]
    assert told["identical_rows"] == 2
    assert told["orders_of_several_customers"] == 1
    assert "1 order ids stand for orders of several customers" in found["notes"][-1]


def test_a_key_that_stands_twice_is_an_alarm(home, lines):
    twice = [{"product_id": "p1", "title": "One"}, {"product_id": "p1", "title": "Another"}]
    found = quality(home(order_lines=lines, products=twice))
    assert alarms(found) == {("products", "duplicates")}


# Outliers


def test_prices_in_cents(home, lines):
    found = quality(home(order_lines=lately(lines, every(20, unit_price=900))))
    assert alarms(found) == {("order_lines", "outliers")}
    told = found["tables"]["order_lines"]["outliers"]["unit_price"]
    assert told["median"] == pytest.approx(1, abs=0.05)
    assert told["examples"][0]["value"] == pytest.approx(450, rel=0.2)
    assert told["share_last"] > 0.03 > told["usual"][1]


def test_one_absurd_quantity_is_shown_and_no_alarm(home, lines):
    absurd = lines[500] | {"quantity": 1e6}
    found = quality(home(order_lines=[*lines[:500], absurd, *lines[501:]]))
    told = found["tables"]["order_lines"]["outliers"]["quantity"]
    assert (told["lines"], told["examples"][0]["value"]) == (1, 1e6)
    assert found["alarms"] == []


def test_returns_and_gifts_are_measured_without_a_sign(home, lines):
    back = [each | {"quantity": -1, "unit_price": 0} for each in lines[:300]]
    assert quality(home(order_lines=[*back, *lines[300:]]))["alarms"] == []


# Volume


def test_half_an_export(home, lines):
    last_week = START + timedelta(days=273)
    half = [each for at, each in enumerate(lines) if each["ordered_at"] < last_week or at % 3 == 0]
    found = quality(home(order_lines=half))
    assert alarms(found) == {("order_lines", "volume")}
    assert found["tables"]["order_lines"]["volume"]["change_last"] == pytest.approx(1 / 3, abs=0.1)


def test_a_week_that_is_not_over_is_not_judged(home, lines):
    some = [each for each in lines if each["ordered_at"] < START + timedelta(days=274)]
    found = quality(home(order_lines=some))
    assert found["alarms"] == []
    assert list(found["tables"]["order_lines"]["volume"]["weeks"])[-1] == "2024-09-23"


@pytest.mark.parametrize(
    ("days", "imported", "newest"),
    [
        (276, None, "2024-09-23"),  # until Wednesday, and nothing was imported since
        (276, 276, "2024-09-23"),
        (276, 280, "2024-09-30"),  # nobody bought from Thursday on
        (280, None, "2024-09-30"),  # until Sunday
    ],
)
def test_a_week_that_an_import_ended_in_is_not_judged(home, lines, days, imported, newest):
    """Asked on the Tuesday after."""
    some = [each for each in lines if each["ordered_at"] < START + timedelta(days=days)]
    settings = home(order_lines=some)
    with opened(settings, Lake(settings.lake)) as [source]:
        moments = () if imported is None else (START + timedelta(days=imported, hours=3),)
        found = volume(replace(source, imported=moments), START + timedelta(days=281))
    assert list(found["weeks"])[-1] == newest
    assert found["alarm"] is (imported == 280)


def test_a_week_of_the_past_is_a_note(home, lines):
    closed = START + timedelta(days=140)
    found = quality(
        home(
            order_lines=[
                each for each in lines if not closed <= each["ordered_at"] < closed + timedelta(days=7)
            ]
        )
    )
    assert found["tables"]["order_lines"]["volume"]["weeks"]["2024-05-20"] == 0
    assert [each for each in found["notes"] if "2024-05-20" in each]
    assert found["alarms"] == []


def test_campaigns_have_no_weekly_volume(home, lines):
    shown = [
        {
            "decision_id": f"d{day}-{number}",
            "customer_id": "secret-001",
            "offer_id": "spring",
            "shown_at": START + timedelta(days=day),
            "propensity": 1,
        }
        for day in range(0, 280, 20)
        for number in range(50)
    ]
    found = quality(home(order_lines=lines, exposures=shown))
    assert found["alarms"] == []
    assert "change_last" not in found["tables"]["exposures"]["volume"]
