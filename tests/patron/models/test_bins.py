"""Bins: equal values stay together, missing and what was never seen are counted apart."""

from __future__ import annotations

import numpy as np
import pytest

from patron.models.bins import BINS, MOST_CATEGORIES, Bins

NAN = float("nan")


def texts(*values):
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def test_few_values_have_a_bin_each():
    bins = Bins.of(np.array([0.0, 1, 1, 3]))
    assert bins.counts(np.array([0.0, 1, 1, 3])).tolist() == [0, 1, 2, 1, 0, 0]
    assert bins.counts(np.array([-1.0, 4, NAN, np.inf, 2])).tolist() == [1, 0, 0, 1, 1, 2]


def test_many_values_have_a_bin_for_each_tenth():
    values = np.random.default_rng(1).permutation(1000.0 * np.arange(1000))
    counts = Bins.of(values).counts(values)
    assert counts.tolist() == [0, *[100] * BINS, 0, 0]


def test_a_value_that_a_tenth_share_stands_alone():
    values = np.concatenate([np.full(500, 7.0), np.linspace(0, 20, 500)])
    bins = Bins.of(values)
    own = bins.places(np.array([7.0]))[0]
    assert bins.counts(values)[own] == 500
    assert own not in bins.places(np.array([6.999, 7.001]))


@pytest.mark.parametrize("value", [5.0, 0.0, -3.0])
def test_a_constant_column_notices_other_values(value):
    bins = Bins.of(np.full(50, value))
    assert bins.counts(np.array([value - 1, value, value + 1])).tolist() == [1, 1, 1, 0]


def test_a_column_without_a_value_notices_the_first():
    bins = Bins.of(np.full(5, NAN))
    assert bins.counts(np.array([NAN, 3.0])).tolist() == [1, 0, 1] or bins.size == 2
    assert bins.counts(np.array([NAN, 3.0])).sum() == 2
    assert bins.places(np.array([NAN]))[0] != bins.places(np.array([3.0]))[0]


def test_categories_are_counted_by_name():
    bins = Bins.of(texts("north", "south", "north", None))
    assert bins.categories == ("north", "south")
    assert bins.counts(texts("south", "west", None, "north")).tolist() == [1, 1, 1, 1]
    assert bins.counts(np.array(["south", "west"])).tolist() == [0, 1, 1, 0]


def test_rare_categories_are_counted_with_the_unseen():
    names = [f"k{number:03d}" for number in range(60) for _ in range(60 - number)]
    bins = Bins.of(texts(*names))
    assert len(bins.categories) == MOST_CATEGORIES
    assert bins.places(texts("k000"))[0] == 0
    assert bins.places(texts("k059", "never")).tolist() == [MOST_CATEGORIES] * 2


def test_flags_are_numbers():
    assert Bins.of(texts(True, False, None)).counts(texts(True, None)).tolist() == [0, 0, 1, 0, 1]
    assert Bins.of(np.array([True, False])).counts(np.array([True])).tolist() == [0, 0, 1, 0, 0]


def test_a_column_of_another_kind_was_never_seen():
    assert Bins.of(np.array([1.0, 2])).counts(texts("1", None)).tolist() == [0, 0, 0, 1, 1]
    assert Bins.of(texts("a")).counts(np.array([1.0])).tolist() == [0, 1, 0]


@pytest.mark.parametrize("values", [np.array([0.1, 1 / 3, 7]), texts("a", None), np.full(2, NAN)])
def test_a_document_is_read_back(values):
    bins = Bins.of(values)
    assert Bins.of_document(bins.document()) == bins
