from __future__ import annotations

import numpy as np
import pytest
from recommending.judging import judged, truth, within
from recommending.splits import folds

from tests.benchmarks.shops import shop


def test_hits_stand_where_a_shown_product_was_bought():
    shown = np.array([[2, 0, -1], [1, 2, 0]])
    found = within(shown, [np.array([0, -1]), np.array([2])])
    assert found.tolist() == [[False, True, False], [False, True, False]]


def test_metrics_of_a_panel_told_by_hand():
    rows = [("a", "x", 0), ("b", "y", 1), ("b", "z", 2), ("a", "x", 88), ("a", "y", 88), ("b", "x", 88)]
    fold = folds(shop(*rows), "global")["test"]
    shown = np.array([[0, 2], [1, -1]])  # a: x (bought again), z (not bought); b: y (not bought)
    found = judged(shown, truth(fold.panels["test"], "repeats"), fold).metrics
    assert found["recall_at_10"] == pytest.approx(1 / 4)  # a: one of two; b: none of one
    assert found["ndcg_at_10"] == pytest.approx(1 / (1 + 1 / np.log2(3)) / 2)
    assert found["repeat_recall_at_10"] == 1
    assert found["explore_recall_at_10"] == 0
    assert found["coverage_at_10"] == 1
    assert found["novelty_at_10"] == 1  # every product was bought by one of two customers


def test_a_customer_who_bought_nothing_new_is_not_judged_on_new_products():
    fold = folds(shop(("a", "x", 0), ("b", "y", 0), ("a", "x", 88), ("b", "x", 88)), "global")["test"]
    panel = fold.panels["test"]
    assert truth(panel, "new").rows.tolist() == [1]
    assert truth(panel, "new", keep_all=True).rows.tolist() == [0, 1]
