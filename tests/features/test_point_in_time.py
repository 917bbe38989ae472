"""Features at a cutoff, held against a brute force that sees all order lines; to the last bit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest

from features import product_popularity
from features.offline import historical, snapshot
from features.rows import Rows
from features.views import VIEWS
from tests.features import brute_force
from tests.features.conftest import Built
from tests.features.snapshots import rows_of

PAIRS = 10_000
VIEW_NAMES = [each.__name__ for each in brute_force.CUSTOMER_VIEWS]
REFERENCES = [ref for view in VIEWS if view.name in VIEW_NAMES for ref in view.references]


@pytest.fixture(scope="module")
def pairs(odd: Built) -> tuple[list[str], list[datetime]]:
    """Random (customer, cutoff) in random order, many of them more than once."""
    rng = np.random.default_rng(5)
    ids = [odd.customers[each] for each in rng.integers(len(odd.customers), size=PAIRS)]
    return ids, [odd.cutoffs[each] for each in rng.integers(len(odd.cutoffs), size=PAIRS)]


@pytest.fixture(scope="module")
def read(odd: Built, pairs: tuple[list[str], list[datetime]]) -> Rows:
    return historical(odd.settings, *pairs, REFERENCES)


def expected(odd: Built, view: Any, pairs: tuple[list[str], list[datetime]]) -> list[dict[str, Any] | None]:
    seen: dict[tuple[str, datetime], dict[str, Any] | None] = {}
    for moment in odd.cutoffs:
        cutoff = int(moment.timestamp())
        for customer, lines in odd.shop.by_customer(cutoff).items():
            seen[customer, moment] = view(lines, cutoff)
    return [seen.get(pair) for pair in zip(*pairs, strict=True)]


def same(found: Any, told: Any) -> bool:
    """Equal to the last bit; nothing is NaN for a number and an empty list for a list."""
    if isinstance(found, np.ndarray):
        return found.tolist() == (told or [])
    return bool(np.isnan(found)) if told is None else float(told).hex() == float(found).hex()


@pytest.mark.parametrize("view", brute_force.CUSTOMER_VIEWS, ids=VIEW_NAMES)
def test_training_sees_what_was_known_at_the_cutoff(
    odd: Built, pairs: tuple[list[str], list[datetime]], read: Rows, view: Any
) -> None:
    told = expected(odd, view, pairs)
    fields = next(each for each in VIEWS if each.name == view.__name__).fields
    assert any(row is None for row in told)
    assert {name for row in told if row for name in row} == set(fields)
    for field in fields:
        values = [None if row is None else row[field] for row in told]
        wrong = [at for at in range(PAIRS) if not same(read.columns[field][at], values[at])]
        assert not wrong, f"{field}: {read.columns[field][wrong[0]]!r} instead of {values[wrong[0]]!r}"


def test_rows_are_known_where_a_customer_has_an_order(
    odd: Built, pairs: tuple[list[str], list[datetime]], read: Rows
) -> None:
    told = expected(odd, brute_force.customer_activity, pairs)
    assert read.ids == pairs[0]
    assert read.known.tolist() == [row is not None for row in told]


def test_popularity_of_products_at_every_cutoff(odd: Built) -> None:
    for moment in odd.cutoffs:
        found = rows_of(odd.settings, product_popularity.VIEW, moment)
        told = brute_force.product_popularity(odd.shop, int(moment.timestamp()))
        assert sorted(found) == sorted(told)
        for product, row in told.items():
            assert set(row) == set(product_popularity.VIEW.fields)
            for field, value in row.items():
                assert found[product][field] == value, (product, moment, field)


def test_the_snapshot_holds_what_the_point_in_time_join_gives(odd: Built) -> None:
    cutoff = odd.cutoffs[-1]
    whole = snapshot(odd.settings, REFERENCES, cutoff)
    joined = historical(odd.settings, whole.ids, [cutoff] * len(whole), REFERENCES)
    for name, values in whole.columns.items():
        for one, other in zip(values, joined.columns[name], strict=True):
            np.testing.assert_array_equal(one, other)
