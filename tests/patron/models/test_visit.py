from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from patron.events.event import Event
from patron.models.visit import MAX_PRODUCTS, Visit, joined, with_purchases
from tests.purchases import history, once

NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)
SINCE = NOW - timedelta(days=1)


def event(name: str, product: str | None, minutes: float) -> Event:
    """`minutes` before now."""
    return Event(f"{name}-{product}-{minutes}", NOW - timedelta(minutes=minutes), name, "ann", None, product)


def test_views_stand_newest_last_and_each_product_once() -> None:
    visit = Visit.of([event("view_item", each, 9 - at) for at, each in enumerate("abca")], NOW, SINCE)
    assert visit.seen.product_ids.tolist() == ["b", "c", "a"]
    assert visit.viewed == ("a", "c", "b") and visit.basket == ()
    assert visit.seen.days_since[-1] == pytest.approx(6 / 1440)


def test_a_stronger_sign_is_kept_though_a_weaker_one_follows() -> None:
    visit = Visit.of([event("add_to_cart", "a", 5), event("view_item", "a", 4)], NOW, SINCE)
    assert visit.seen.times_bought.tolist() == [3] and visit.basket == ("a",)


def test_what_was_taken_out_or_bought_is_not_in_the_basket() -> None:
    events = [event("add_to_cart", each, 9) for each in "abc"]
    events += [event("remove_from_cart", "a", 5), event("purchase", "b", 4)]
    visit = Visit.of(events, NOW, SINCE)
    assert visit.basket == ("c",) and set(visit.viewed) == {"a", "c"}
    assert visit.bought == (("b", pytest.approx(-1 + 4 / 1440)),)


def test_purchases_that_the_snapshot_knows_and_old_views_say_nothing() -> None:
    events = [event("purchase", "a", 60 * 30), event("view_item", "b", 1440 * 31), event("search", None, 1)]
    visit = Visit.of(events, NOW, SINCE)
    assert visit.bought == () and len(visit.seen) == 0


def test_an_event_of_the_future_is_of_now() -> None:
    assert Visit.of([event("view_item", "a", -3)], NOW, SINCE).seen.days_since.tolist() == [0]


def test_only_the_last_products_count() -> None:
    events = [event("view_item", f"p{each}", 99 - each) for each in range(50)]
    seen = Visit.of(events, NOW, SINCE).seen
    assert len(seen) == MAX_PRODUCTS and seen.product_ids[-1] == "p49"


def test_purchases_join_the_history_as_the_next_snapshot_would_hold_them() -> None:
    before = history(("milk", 3, 10, 5), ("tea", 1, 4, None))
    after = with_purchases(before, [("milk", -0.5), ("cup", -0.5), ("tea", -1.0)])
    assert after.product_ids.tolist() == ["milk", "cup", "tea"]
    assert after.times_bought.tolist() == [4, 1, 2]
    assert after.days_since.tolist() == [0, 0, 0]
    assert after.interval_days[0] == pytest.approx((5 * 2 + 10.5) / 3)
    assert np.isnan(after.interval_days[1]) and after.interval_days[2] == 5
    assert before.product_ids.tolist() == ["milk", "tea"]


def test_two_lines_of_one_order_are_one_purchase() -> None:
    after = with_purchases(once("tea"), [("cup", -0.5), ("cup", -0.5)])
    assert after.times_bought.tolist() == [1, 1]


def test_counts_of_the_last_days_go_along() -> None:
    counted = history(("tea", 2, 10, 10))
    counted = type(counted)(**{**vars(counted), "times_28d": np.array([1]), "times_91d": np.array([2])})
    after = with_purchases(counted, [("tea", -0.1), ("cup", -0.1)])
    assert after.times_28d is not None and after.times_91d is not None
    assert after.times_28d.tolist() == [2, 1] and after.times_91d.tolist() == [3, 1]


def test_what_was_looked_at_follows_what_was_bought() -> None:
    both = joined(once("a", "b"), once("b", "c", days=0))
    assert both.product_ids.tolist() == ["a", "b", "c"] and both.days_since.tolist() == [10, 0, 0]
