from __future__ import annotations

import numpy as np
import pytest
from recommending.judging import truth
from recommending.ours import histories
from recommending.splits import folds
from recommending.stored import Past

from patron.models.base import DAY
from tests.benchmarks.shops import shop, timeless


def test_leave_one_out_fits_without_the_last_two_and_asks_with_all_but_the_last():
    split = folds(timeless("a x y z w", "b y x", "c x y z"), "leave-one-out")
    fold = split["test"]
    assert split["validation"] is fold
    names = fold.interactions.product_ids
    fitted = sorted(zip(fold.interactions.customer, names[fold.interactions.product], strict=True))
    assert fitted == [(0, "x"), (0, "y"), (2, "x")]  # b bought too little to be split
    validation, test = fold.panels["validation"], fold.panels["test"]
    assert [names[each].tolist() for each in validation.bought] == [["z"], ["y"]]
    assert [names[each].tolist() for each in test.bought] == [["w"], ["z"]]
    assert names[test.past_product[test.past_row == 1]].tolist() == ["x", "y"]


def test_what_ships_learns_from_the_test_a_step_earlier():
    split = folds(timeless("a x y z w", "b y x", "c x y z"), "leave-one-out")
    fold = split["learning"]
    names, lines, panel = fold.interactions.product_ids, fold.interactions, fold.panels["learning"]
    assert names[lines.product].tolist() == ["x"]  # without a's last three; nothing is left of b and c
    assert names[panel.past_product].tolist() == ["x", "y"]
    assert [names[each].tolist() for each in panel.bought] == [["z"]]


def test_without_times_a_line_lies_as_many_days_back_as_it_is_steps_from_the_end():
    fold = folds(timeless("a x y z w v"), "leave-one-out")["test"]
    lines = fold.interactions
    ages = {
        str(lines.product_ids[p]): (lines.as_of - at) / DAY
        for p, at in zip(lines.product, lines.at, strict=True)
    }
    assert ages == {"z": 1, "y": 2, "x": 3}
    assert np.all(np.diff(lines.at) >= 0)


SHOP = shop(
    ("a", "x", 0),
    ("a", "y", 40),
    (None, "y", 45),
    ("b", "x", 50),
    ("a", "y", 70),  # in the test window, which begins on day 61
    ("a", "z", 72),  # never sold before it
    ("b", "y", 88),
    ("c", "x", 88),
)


def test_a_global_split_sees_nothing_of_its_window_and_keeps_guests_for_fitting():
    split = folds(SHOP, "global")
    lines = split["test"].interactions
    assert lines.at.max() < lines.as_of
    assert lines.product_ids.tolist() == ["x", "y"]
    assert sorted(lines.customer.tolist()) == [-1, 0, 0, 1]
    assert split["validation"].interactions.as_of == lines.as_of - 28 * DAY


def test_a_window_earlier_is_learned_from_where_customers_bought_before_and_in_it():
    assert list(folds(SHOP, "global")) == ["validation", "test"]  # nobody bought between days 5 and 33
    longer = folds(shop(("a", "x", 0), ("a", "y", 20), ("a", "x", 40), ("a", "y", 88)), "global")
    earlier = longer["earlier"]
    assert earlier.interactions.as_of == longer["test"].interactions.as_of - 56 * DAY
    assert earlier.interactions.product_ids.tolist() == ["x"]
    assert [each.tolist() for each in earlier.panels["earlier"].bought] == [[-1]]


def test_what_was_bought_outside_the_catalogue_stays_and_counts_as_missed():
    panel = folds(SHOP, "global")["test"].panels["test"]
    assert [each.tolist() for each in panel.bought] == [[1, -1], [1], [0]]
    assert [each.tolist() for each in panel.again] == [[True, False], [False], [False]]


@pytest.mark.parametrize(
    ("reading", "judged"), [("repeats", {0: [1, -1], 1: [1], 2: [0]}), ("new", {0: [-1], 1: [1], 2: [0]})]
)
def test_readings_differ_in_what_counts(reading, judged):
    found = truth(folds(SHOP, "global")["test"].panels["test"], reading)
    assert dict(zip(found.rows.tolist(), [each.tolist() for each in found.bought], strict=True)) == judged


def test_a_customers_history_as_models_read_it():
    rows = [("x", 0), ("x", 20), ("y", 30), ("x", 60)]
    past = Past(
        customers=2,
        row=np.ones(4, dtype=np.int64),
        order=np.arange(4),
        product=np.array([0 if name == "x" else 1 for name, _ in rows]),
        at=np.array([day * DAY for _, day in rows]),
    )
    (nobody, _), (one, positions) = histories(past, np.array(["x", "y"]), 61 * DAY)
    assert len(nobody) == 0
    assert one.product_ids.tolist() == ["y", "x"]
    assert positions.tolist() == [1, 0]
    assert one.times_bought.tolist() == [1, 3]
    assert one.days_since.tolist() == [31, 1]
    np.testing.assert_array_equal(one.interval_days, [np.nan, 30])
    assert one.times_28d.tolist() == [0, 1]
    assert one.times_91d.tolist() == [1, 3]
