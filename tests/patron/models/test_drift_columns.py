"""One column of a reference: what it kept, and the words for what moved."""

from __future__ import annotations

import json

import numpy as np
import pytest

from patron.models.drift_columns import ColumnReference, number, scaled

WEEK = 7 * 86_400.0


def learned(values):
    """Two moments of half the values each, both of the fit."""
    half = len(values) // 2
    rows = {0.0: np.arange(half), WEEK: np.arange(half, len(values))}
    return ColumnReference.learn(values, rows, [0.0, WEEK])


def texts(*values):
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def test_counts_are_of_as_many_rows_as_a_moment_has():
    told, counted = learned(np.array([0.0, 1, 1, 1, 2, 2]))
    assert counted.tolist() == [[0, 1, 2, 0, 0, 0], [0, 0, 1, 2, 0, 0]]
    assert told.fit.sum() == pytest.approx(3, abs=1)
    assert told.counts("last").tolist() == [0, 0, 1, 2, 0, 0]
    assert told.medians == {"fit": 1, "last": 2}
    assert told.moved.points[0][0] == 7


def test_scaling_keeps_shares():
    assert scaled(np.array([120, 360, 0]), 40).tolist() == [10, 30, 0]


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ([0.0, 0, 0, 0], "median 1 -> 0, share of 0: 16.7% -> 100.0%"),
        ([9.0, 9, 9, 9], "median 1 -> 9, share above 2: 0.0% -> 100.0%"),
        ([-1.0, -1, -1, 1], "median 1 -> -1, share below 0: 0.0% -> 75.0%"),
        ([np.nan] * 4, "median 1 -> nothing, share missing: 0.0% -> 100.0%"),
    ],
)
def test_what_moved_is_told_in_words(now, words):
    told, _ = learned(np.array([0.0, 1, 1, 1, 2, 2] * 10))
    values = np.array(now)
    assert told.change("fit", told.bins.counts(values), values) == words


def test_ranges_and_categories_have_names():
    told, _ = learned(np.arange(20_000.0))
    assert told.label(1) == "0 to 1,999"
    assert told.label(2) == "1,999 to 3,999"
    named, _ = learned(texts("north", "south", "north", "south"))
    assert [named.label(each) for each in range(4)] == ["north", "south", "unseen before", "missing"]
    values = texts("north", "west")
    assert named.change("fit", named.bins.counts(values), values) == "share south: 50.0% -> 0.0%"


def test_numbers_are_short():
    assert [number(each) for each in (None, 0.123456, 12.345, 1234567.8)] == [
        "nothing",
        "0.123",
        "12.3",
        "1,234,568",
    ]


@pytest.mark.parametrize("values", [np.array([0.1, np.nan, 3, 4]), texts("a", None, "b", "a")])
def test_a_document_is_read_back(values):
    told, _ = learned(values)
    document = json.loads(json.dumps(told.document(), allow_nan=False))
    assert json.loads(json.dumps(ColumnReference.of(document).document())) == document
