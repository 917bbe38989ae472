"""Times of day by the shop's own clock, and how dear is what somebody buys; held against a brute force."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from features.build import build
from features.customer_habits import FIELDS, VIEW
from features.local_time import offsets
from patron.errors import ConfigurationError
from patron.settings import load_settings
from tests.features.brute_force import DAY, Line, Shop
from tests.features.snapshots import START, day, odd_shop, rows_of, settings_of
from tests.shops import line, write_lake

ZONE = "America/New_York"
CUTOFFS = [START + timedelta(days=each) for each in (40, 90, 300, 431)]


def habits(shop: Shop, cutoff: int, zone: str) -> dict[str, dict[str, Any]]:
    """Every customer's features, told from all lines before the cutoff."""
    ranks, found = price_ranks(shop.known(cutoff)), {}
    timed = has_times(shop.by_customer(cutoff), zone)
    for customer, lines in shop.by_customer(cutoff).items():
        bought = [each for each in lines if not each["is_return"]]
        if bought:
            ranked = [ranks[each["product"]] for each in bought if on_sale(each) and each["product"] in ranks]
            share = times(bought, zone, timed)
            found[customer] = share | {
                "price_percentile": sum(ranked) / (len(ranked) * 1_000_000) if ranked else None
            }
    return found


def on_sale(each: Line) -> bool:
    return not each["is_return"] and each["visible"]


def has_times(by_customer: dict[str, list[Line]], zone: str) -> bool:
    """Whether an order began at another time than midnight, by the clock of the shop and in UTC."""
    starts: dict[tuple[str, str], int] = {}
    for customer, lines in by_customer.items():
        for each in lines:
            if not each["is_return"]:
                order = customer, each["order"]
                starts[order] = min(each["at"], starts.get(order, each["at"]))
    return all(
        any(datetime.fromtimestamp(at, ZoneInfo(name)).time() != time() for at in starts.values())
        for name in (zone, "UTC")
    )


def times(bought: list[Line], zone: str, timed: bool) -> dict[str, float | None]:
    first: dict[str, int] = {}
    for each in bought:
        first[each["order"]] = min(each["at"], first.get(each["order"], each["at"]))
    clocks = [datetime.fromtimestamp(at, ZoneInfo(zone)) for at in first.values()]
    of_day = [part_of_day(each.hour) for each in clocks]
    return {
        **{f"{name}_share": of_day.count(name) / len(clocks) if timed else None for name in NAMES},
        "weekend_share": sum(each.isoweekday() > 5 for each in clocks) / len(clocks),
    }


NAMES = {"morning", "afternoon", "evening", "night"}


def part_of_day(hour: int) -> str:
    if hour < 5 or hour >= 22:
        return "night"
    return "morning" if hour < 11 else "afternoon" if hour < 17 else "evening"


def price_ranks(lines: list[Line]) -> dict[str, int]:
    """Product -> rank of its mean price in its category, in millionths."""
    paid: dict[str, list[int]] = {}
    groups: dict[str, str] = {}
    for each in lines:
        if on_sale(each):
            sums = paid.setdefault(each["product"], [0, 0])
            sums[0] += each["paid"]
            sums[1] += each["milli"]
            groups[each["product"]] = each["category"] or ""
    price = {name: max(sums[0], 0) * 100_000 // sums[1] for name, sums in paid.items() if sums[1] > 0}
    found = {}
    for name, mine in price.items():
        others = [price[each] for each in price if groups[each] == groups[name] and each != name]
        if others:
            below, alike = sum(each < mine for each in others), others.count(mine)
            found[name] = (2 * below + alike) * 500_000 // len(others)
    return found


@pytest.mark.parametrize("zone", [ZONE, "UTC", "Asia/Kolkata"])
def test_every_customer_at_every_cutoff(tmp_path, zone):
    tables = odd_shop()
    write_lake(tmp_path, **tables)
    settings = settings_of(tmp_path).model_copy(update={"time_zone": zone})
    build(settings, CUTOFFS, [VIEW])
    shop = Shop(**tables)
    for moment in CUTOFFS:
        found, told = rows_of(settings, VIEW, moment), habits(shop, int(moment.timestamp()), zone)
        assert sorted(found) == sorted(told)
        for customer, row in told.items():
            assert {name: found[customer][name] for name in FIELDS} == row, (customer, moment)


def built(home, zone, cutoff, *lines, **tables):
    write_lake(home, order_lines=list(lines), **tables)
    settings = load_settings(home=home, threads=1, memory_limit="512MB", time_zone=zone)
    build(settings, [day(cutoff)], [VIEW])
    return rows_of(settings, VIEW, cutoff)


def test_an_hour_is_that_of_the_shops_clock_before_and_after_it_is_set(tmp_path):
    """20:30 in UTC is 21:30 in Berlin in winter, an evening, and 22:30 in summer, at night."""
    winter, summer = "2024-03-30T20:30:00", "2024-03-31T20:30:00"
    found = built(tmp_path, "Europe/Berlin", "2024-05-01", line("a", "p", winter), line("b", "p", summer))
    assert (found["a"]["evening_share"], found["a"]["night_share"]) == (1.0, 0.0)
    assert (found["b"]["evening_share"], found["b"]["night_share"]) == (0.0, 1.0)


def test_a_weekend_begins_when_it_does_in_the_shop(tmp_path):
    """Friday 2024-03-01, 23:00 in UTC is Saturday in Berlin and still Friday in New York."""
    late = line("a", "p", "2024-03-01T23:00:00")
    assert built(tmp_path / "one", "Europe/Berlin", "2024-05-01", late)["a"]["weekend_share"] == 1.0
    assert built(tmp_path / "two", ZONE, "2024-05-01", late)["a"]["weekend_share"] == 0.0


OF_DAY = [f"{name}_share" for name in sorted(NAMES)]


@pytest.mark.parametrize(
    ("zone", "hour"),
    [("UTC", "00:00:00"), ("Europe/Berlin", "23:00:00"), ("Europe/Berlin", "00:00:00")],
    ids=["utc", "local", "imported in utc"],
)
def test_days_without_times_are_no_nights(tmp_path, zone, hour):
    """Two Saturdays and a Wednesday, each at midnight; then somebody orders at a time."""
    friday, saturday = ("2024-03-01", "2024-03-02") if hour == "23:00:00" else ("2024-03-02", "2024-03-09")
    lines = [
        line("ann", "p", f"{friday}T{hour}"),
        line("ben", "p", f"2024-03-13T{hour}"),
        line("ann", "p", f"{saturday}T{hour}", -1),
        line("cid", "p", "2024-03-20T09:00:00"),
    ]
    before = built(tmp_path / "one", zone, "2024-03-20", *lines)
    assert [before[name]["weekend_share"] for name in ("ann", "ben")] == [1.0, 0.0]
    assert [row[name] for row in before.values() for name in OF_DAY] == [None] * 8
    after = built(tmp_path / "two", zone, "2024-03-21", *lines)
    assert [after[name]["night_share"] for name in ("ann", "ben", "cid")] == [1.0, 1.0, 0.0]
    assert after["cid"]["morning_share"] == 1.0


def test_every_customer_of_a_shop_that_tells_days(tmp_path):
    """Some lines are of midnight by the shop's clock, later ones of another time."""
    lines = [
        each | {"ordered_at": datetime.combine(each["ordered_at"], time(), ZoneInfo(ZONE)).astimezone(UTC)}
        if each["ordered_at"] < CUTOFFS[1]
        else each
        for each in odd_shop()["order_lines"]
    ]
    write_lake(tmp_path, order_lines=lines)
    settings = settings_of(tmp_path).model_copy(update={"time_zone": ZONE})
    build(settings, CUTOFFS[:3], [VIEW])
    for moment, dated in zip(CUTOFFS, (True, True, False), strict=False):
        found = rows_of(settings, VIEW, moment)
        told = habits(Shop(lines), int(moment.timestamp()), ZONE)
        assert {name: {field: row[field] for field in FIELDS} for name, row in found.items()} == told
        assert all((row["night_share"] is None) is dated for row in found.values())


def test_how_dear_is_told_within_the_category(tmp_path):
    """The dearest tea costs less than the cheapest pot."""
    products = [
        {"product_id": name, "category": kind}
        for name, kind in [
            ("green", "tea"),
            ("black", "tea"),
            ("white", "tea"),
            ("clay", "pot"),
            ("iron", "pot"),
        ]
    ]
    at = "2024-01-10"
    lines = [
        line("guest", "black", at, price=3),
        line("ann", "green", at, price=2),
        line("ben", "white", at, price=5),
        line("cid", "clay", at, price=20),
        line("dan", "white", at, price=5),
        line("dan", "clay", at, price=20),
        line("eve", "iron", at, price=80, quantity=2),
        line("fay", "lonely", at, price=1),
    ]
    found = built(tmp_path, "UTC", "2024-02-01", *lines, products=products)
    told = {name: row["price_percentile"] for name, row in found.items()}
    assert told == {
        "guest": 0.5,
        "ann": 0.0,
        "ben": 1.0,
        "cid": 0.0,
        "dan": 0.5,
        "eve": 1.0,
        "fay": None,
    }


def test_later_prices_do_not_count(tmp_path):
    lines = [
        line("ann", "p", "2024-01-10", price=2),
        line("ben", "q", "2024-01-11", price=3),
        line("ben", "q", "2024-02-01", price=1),
        line("ben", "p", "2024-02-02", price=9),
    ]
    found = built(tmp_path, "UTC", "2024-02-01", *lines)
    assert (found["ann"]["price_percentile"], found["ben"]["price_percentile"]) == (0.0, 1.0)


def test_the_zone_is_the_imports_unless_it_is_set(tmp_path):
    """Another zone is another input: the snapshot is built again."""
    import json

    lake = write_lake(tmp_path, order_lines=[line("a", "p", "2024-03-01T23:00:00")])
    settings = load_settings(home=tmp_path, threads=1, memory_limit="512MB")
    cutoff = day("2024-05-01")
    assert build(settings, [cutoff], [VIEW])["built"] == 1
    assert rows_of(settings, VIEW, cutoff)["a"]["weekend_share"] == 0.0
    facts = json.loads((lake / "manifest.json").read_text()) | {"time_zone": "Europe/Berlin"}
    (lake / "manifest.json").write_text(json.dumps(facts))
    assert build(settings, [cutoff], [VIEW])["built"] == 1
    assert rows_of(settings, VIEW, cutoff)["a"]["weekend_share"] == 1.0
    assert build(settings, [cutoff], [VIEW])["built"] == 0
    other = settings.model_copy(update={"time_zone": ZONE})
    assert build(other, [cutoff], [VIEW])["built"] == 1


def test_a_zone_that_nobody_knows_is_refused():
    with pytest.raises(ConfigurationError, match=r"time_zone: .*no time zone of that name.*Berlin"):
        load_settings(time_zone="Berlin")


@pytest.mark.parametrize("zone", ["Europe/London", ZONE, "Australia/Lord_Howe", "UTC", "Africa/Casablanca"])
def test_offsets_are_those_of_the_zone_at_every_half_hour(zone):
    until = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
    turns = offsets(zone, until)
    at, place = until - 600 * DAY, 0
    while at < until:
        while place + 1 < len(turns) and turns[place + 1][0] <= at:
            place += 1
        told = datetime.fromtimestamp(at, ZoneInfo(zone)).utcoffset()
        assert told is not None and turns[place][1] == told.total_seconds()
        at += 1800
