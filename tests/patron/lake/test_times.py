"""Local times become UTC; clock changes are resolved, not refused."""

from __future__ import annotations

import pytest

from tests.lake_shop import MAPPING


def ordered_at(shop, written: str) -> str:
    shop.lines(f'1,ann,tea,"{written}",1,1')
    return shop.rows()[0]["ordered_at"].strftime("%Y-%m-%d %H:%M:%S.%f").removesuffix(".000000")


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2024-01-05 10:00:00", "2024-01-05 09:00:00"),
        ("2024-07-05T10:00", "2024-07-05 08:00:00"),
        ("2024-07-05", "2024-07-04 22:00:00"),
        ("2024-07-05 10:00:00.123456", "2024-07-05 08:00:00.123456"),
        ("2024-07-05T10:00:00Z", "2024-07-05 10:00:00"),
        ("2024-07-05 10:00:00+05:30", "2024-07-05 04:30:00"),
        ("2024-07-05T10:00:00-08", "2024-07-05 18:00:00"),
        ("2024-03-31 02:30:00", "2024-03-31 01:30:00"),  # the clock went from 2 to 3: this never was
        ("2024-10-27 02:30:00", "2024-10-27 01:30:00"),  # this was twice: the later one
    ],
)
def test_times(shop, written, utc):
    assert ordered_at(shop, written) == utc


def test_times_may_be_written_in_the_shops_own_way(shop):
    shop.mapping(MAPPING.replace("time_zone", 'time_formats = ["%d.%m.%Y %H:%M", "%d.%m.%Y"]\ntime_zone'))
    shop.lines('1,ann,tea,"05.01.2024 10:00",1,1', "2,ann,tea,06.07.2024,1,1", "3,ann,tea,2024-01-05,1,1")
    assert [str(row["ordered_at"]) for row in shop.rows()] == [
        "2024-01-05 09:00:00+00:00",
        "2024-07-05 22:00:00+00:00",
        "2024-01-04 23:00:00+00:00",
    ]
