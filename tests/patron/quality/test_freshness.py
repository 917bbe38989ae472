"""Silence against a table's own rhythm."""

from __future__ import annotations

from datetime import timedelta

import pytest

from patron.lake.tables import Lake
from patron.quality.freshness import freshness, import_gaps, longest
from patron.quality.report import quality
from patron.quality.tables import opened, written
from tests.patron.quality.conftest import START
from tests.shops import line


def sold_on(days):
    return [line("a", "p", START + timedelta(days=day, hours=12), order_id=str(day)) for day in days]


def after(settings, days):
    """The freshness of the order lines so many days after the shop began."""
    with opened(settings, Lake(settings.lake)) as sources:
        return freshness(sources[0], START + timedelta(days=days))


def test_a_shop_that_sells_daily_is_missed_after_a_whole_day(home):
    settings = home(order_lines=sold_on(range(60)))
    assert after(settings, 59.9)["alarm"] is False
    assert after(settings, 60.9)["alarm"] is False
    found = after(settings, 61.1)
    assert (found["alarm"], found["silent_days"], found["usual_days"]) == (True, 2, 1)


def test_a_shop_that_rests_on_sundays_is_not(home):
    settings = home(order_lines=sold_on(day for day in range(62) if day % 7 != 6))
    assert after(settings, 63.5)["alarm"] is False
    assert after(settings, 64.5)["alarm"] is True


def test_a_year_may_have_one_long_holiday(home):
    settings = home(order_lines=sold_on([*range(40), *range(50, 300)]))
    assert after(settings, 309)["alarm"] is False
    assert after(settings, 311)["alarm"] is True


def test_too_few_days_say_nothing(home):
    assert after(home(order_lines=sold_on(range(5))), 500)["usual_days"] is None


def test_a_table_without_times_is_not_asked(home):
    settings = home(products=[{"product_id": "p"}])
    assert after(settings, 10) is None


def test_the_time_between_imports_is_added():
    moments = [written(each) for each in ("20240101T000000-ab", "20240108T000000-cd", "20240115T010000-ef")]
    assert import_gaps(moments) == [7, 7]
    assert longest([7, 7], 1) == 7
    assert written("part") is None


@pytest.mark.parametrize(("clock", "expected"), [("wall", {"freshness"}), ("data", set())])
def test_now_follows_the_clock(home, clock, expected):
    found = quality(home(clock=clock, order_lines=sold_on(range(60))))
    assert {each["check"] for each in found["alarms"]} == expected
