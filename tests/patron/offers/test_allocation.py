"""Budgets: known answers, every small case tried by hand, and bounds where nobody can try them all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from patron.offers.allocation import allocate

NOTHING = float("-inf")


def table(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, dtype=np.float64)


def best(value, cost, budget, arm_budgets, arm_caps, total_cap) -> float:
    """The most that any allocation is worth, by trying all of them."""
    found, arms = 0.0, value.shape[1]
    for choice in itertools.product(range(-1, arms), repeat=len(value)):
        chosen = np.array(choice)
        if fits(chosen, cost, budget, arm_budgets, arm_caps, total_cap):
            given = np.flatnonzero(chosen >= 0)
            found = max(found, float(value[given, chosen[given]].sum()))
    return found


def fits(chosen, cost, budget, arm_budgets, arm_caps, total_cap) -> bool:
    given = np.flatnonzero(chosen >= 0)
    arms = cost.shape[1]
    spent = np.bincount(chosen[given], weights=cost[given, chosen[given]], minlength=arms)
    counts = np.bincount(chosen[given], minlength=arms)
    return bool(
        (budget is None or spent.sum() <= budget + 1e-6)
        and (total_cap is None or len(given) <= total_cap)
        and (arm_budgets is None or (spent <= arm_budgets + 1e-6).all())
        and (arm_caps is None or (counts <= arm_caps).all())
    )


class TestKnownAnswers:
    def test_without_limits_everyone_gets_their_best_and_nobody_what_loses(self):
        found = allocate(table((1, 3), (2, 1), (-1, -2)), np.ones((3, 2)))
        assert found.chosen.tolist() == [1, 0, -1]
        assert (found.value, found.spent, found.price, found.gap) == (5, 2, 0, 0)

    def test_a_budget_goes_to_those_who_bring_most_for_it(self):
        value = table((9,), (8,), (3,), (1,))
        found = allocate(value, np.ones((4, 1)), budget=2)
        assert found.chosen.tolist() == [0, 0, -1, -1]
        assert 3 - 1e-6 <= found.price <= 8 + 1e-6

    def test_the_price_is_what_the_last_unit_of_money_brings(self):
        value = np.arange(1, 1001, dtype=np.float64)[:, None]
        less, more = (allocate(value, np.ones((1000, 1)), budget=money) for money in (300, 301))
        assert more.value - less.value == pytest.approx(700, abs=1)
        assert less.price == pytest.approx(700, abs=1.01)

    @pytest.mark.parametrize("budget", [0, 4.99])
    def test_where_no_arm_fits_into_the_budget_the_best_forgone_is_its_price(self, budget):
        found = allocate(table((20,), (50,), (-1,)), np.full((3, 1), 5.0), budget=budget)
        assert found.chosen.tolist() == [-1, -1, -1] and found.price == 10 and found.gap == 0

    def test_what_is_too_dear_is_counted_over_what_the_customer_has(self):
        value, cost = table((4, 16), (np.nan, 9)), table((2, 8), (0, 9))
        assert allocate(value, cost, budget=5).price == pytest.approx((16 - 4) / (8 - 2))
        assert allocate(value, cost, budget=5, arm_caps=np.array([1, 0])).price == 0
        assert allocate(value[1:], cost[1:], budget=5, total_cap=0).price == 0

    def test_a_divisible_budget_is_spent_to_the_last_unit_where_all_are_alike(self):
        found = allocate(np.ones((5000, 1)), np.ones((5000, 1)), budget=1000)
        assert found.spent == 1000
        assert found.gap == pytest.approx(0, abs=1e-9)

    def test_money_left_over_buys_some_a_better_arm(self):
        value, cost = np.tile(table((1, 1.8)), (100, 1)), np.tile(table((1, 2)), (100, 1))
        found = allocate(value, cost, budget=150)
        assert found.spent == 150
        assert found.value == pytest.approx(50 * 1 + 50 * 1.8)

    def test_one_who_takes_it_all_may_be_worth_more_than_several(self):
        found = allocate(table((2,), (9,)), table((1,), (10,)), budget=10)
        assert found.chosen.tolist() == [-1, 0]

    def test_a_cap_sends_the_others_to_their_second_choice(self):
        value = table((5, 4), (5, 1), (5, 3))
        found = allocate(value, np.zeros((3, 2)), arm_caps=np.array([1, 3]))
        assert found.chosen.tolist() == [1, 0, 1]

    def test_so_many_customers_in_all(self):
        found = allocate(table((5, 4), (7, 1), (3, 9)), np.ones((3, 2)), total_cap=2)
        assert found.chosen.tolist() == [-1, 0, 1]
        assert found.total_place_price >= 5 - 1e-6

    def test_an_arm_has_a_budget_of_its_own(self):
        found = allocate(table((9, 1), (8, 1)), table((2, 0), (2, 0)), arm_budgets=np.array([2.0, np.inf]))
        assert found.chosen.tolist() == [0, 1]

    @pytest.mark.parametrize("forbidden", [np.nan, NOTHING])
    def test_what_may_not_be_given_is_not_given(self, forbidden):
        found = allocate(table((forbidden, 1), (forbidden, forbidden)), table((np.nan, 1), (0, 0)))
        assert found.chosen.tolist() == [1, -1]

    @pytest.mark.parametrize(
        "limits", [{"budget": 0.0}, {"total_cap": 0}, {"arm_caps": np.zeros(2)}, {"arm_budgets": np.zeros(2)}]
    )
    def test_no_room_is_an_answer(self, limits):
        found = allocate(np.ones((3, 2)), np.ones((3, 2)), **limits)
        assert found.chosen.tolist() == [-1, -1, -1]
        assert (found.value, found.spent) == (0, 0)

    def test_nobody_to_give_to(self):
        found = allocate(np.zeros((0, 3)), np.zeros((0, 3)), budget=5)
        assert len(found.chosen) == 0
        assert (found.value, found.bound, found.gap) == (0, 0, 0)

    def test_shapes_and_signs_are_checked(self):
        with pytest.raises(ValueError, match="one shape"):
            allocate(np.ones((3, 2)), np.ones((3, 1)))
        with pytest.raises(ValueError, match="for 2 arms"):
            allocate(np.ones((3, 2)), np.ones((3, 2)), arm_caps=np.ones(3))
        with pytest.raises(ValueError, match="0 or more"):
            allocate(np.ones((3, 2)), -np.ones((3, 2)))
        with pytest.raises(ValueError, match="0 or more"):
            allocate(np.ones((3, 2)), np.ones((3, 2)), budget=-1)


def test_small_cases_keep_every_limit_and_come_near_the_best_of_all_allocations():
    rng = np.random.default_rng(3)
    reached = []
    for case in range(70):
        rows, arms = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        value, cost = rng.normal(1, 2, (rows, arms)), rng.uniform(0, 3, (rows, arms))
        if case % 3 == 0:
            value, cost = np.round(value), np.round(cost)
        limits = (
            float(rng.uniform(0, 6)) if case % 2 else None,
            rng.uniform(0, 4, arms) if case % 5 == 0 else None,
            rng.integers(0, 4, arms) if case % 4 == 0 else None,
            int(rng.integers(0, 5)) if case % 7 == 0 else None,
        )
        found, most = allocate(value, cost, *limits), best(value, cost, *limits)
        assert fits(found.chosen, cost, *limits)
        assert found.value <= most + 1e-9 <= found.bound + 2e-9
        reached.append(found.value / most if most > 0 else 1.0)
    assert min(reached) > 0.5
    assert np.mean(reached) > 0.99


@pytest.mark.parametrize("rows", [2_000, 35_000])
def test_many_customers_come_within_one_customer_of_the_bound(rows):
    rng = np.random.default_rng(0)
    value, cost = rng.gamma(2, 1, (rows, 5)) - 1.5, rng.uniform(0.5, 3, (rows, 5))
    limits = (0.2 * rows, np.full(5, 0.06 * rows), np.full(5, 0.05 * rows), 0.15 * rows)
    found = allocate(value, cost, *limits)
    assert fits(found.chosen, cost, *limits)
    assert found.bound - found.value < value.max()
    assert np.array_equal(found.chosen, allocate(value, cost, *limits).chosen)
