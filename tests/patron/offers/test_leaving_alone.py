from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from patron.offers.leaving_alone import alone, place, whole

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
IDS = [f"c{each}" for each in range(4000)]


def test_as_many_as_the_share_says():
    for share in (0.0, 0.05, 0.5):
        found = np.mean([alone(each, NOW, 28, share) for each in IDS])
        assert abs(found - share) <= 3 * np.sqrt(share * (1 - share) / len(IDS))


def test_for_the_whole_period_and_not_longer():
    for name in IDS[:200]:
        _, days = place(name, NOW.timestamp(), 28)
        start = NOW - timedelta(days=days)
        within = {alone(name, start + timedelta(days=each), 28, 0.5) for each in np.linspace(0.01, 55.9, 20)}
        assert len(within) == 1
    first, second = (
        np.array([alone(each, NOW + timedelta(days=days), 28, 0.5) for each in IDS]) for days in (0, 56)
    )
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06, "drawn anew"


def test_periods_begin_on_other_days():
    starts = [place(each, NOW.timestamp(), 28)[1] for each in IDS]
    assert np.allclose(np.histogram(starts, bins=4, range=(0, 56))[0] / len(IDS), 0.25, atol=0.03)


def test_an_outcome_ends_within_the_period_of_its_first_half():
    for name in IDS[:200]:
        number, days = place(name, NOW.timestamp(), 28)
        end = place(name, NOW.timestamp() + 28 * 86_400, 28)[0]
        assert whole(name, NOW.timestamp(), 28) == (end == number) == (days < 28)
