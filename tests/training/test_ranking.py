"""Ordering candidates: known answers on windows of a few customers."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from patron.errors import DataError
from patron.models.base import CustomerHistory
from patron.models.blend import Blend, BlendConfig
from patron.models.catalogue import Catalogue
from patron.models.popularity import PopularityConfig
from patron.models.ranker import RankerConfig
from tests.purchases import history, once, purchases
from training import ranking
from training.ranking import (
    POPULARITY_WINDOWS,
    Settled,
    Window,
    apart,
    examples,
    places,
    popularity_window,
    settle,
    validated_rankers,
    variant,
)

PRODUCTS = [f"p{each:02d}" for each in range(30)]
OWN, NEW = range(10), range(10, 30)
"""In the windows below everybody bought the first ten products before."""


def at(*positions):
    return np.array(positions, dtype=np.int64)


def window(bought, before=OWN, customers=1, **more):
    """Customers alike: what each buys, and what each had bought."""
    blend = Blend()
    blend.catalogue = Catalogue.of(np.array(PRODUCTS))
    mine = once(*(PRODUCTS[each] for each in before)) if before else CustomerHistory.empty()
    return Window(blend, [mine] * customers, [at(*bought)] * customers, [at(*before)] * customers, **more)


def alike(seen, *order):
    """Every customer is shown the same."""
    return [at(*order)] * len(seen.histories)


def gains(*ranks):
    return sum(1 / math.log2(rank + 1) for rank in ranks)


# What a window says


def test_repeats_and_new_products_are_told_apart():
    seen = window([0, 10, 11, -1])
    shown = seen.shown(alike(seen, 10, 0, 12), 0)
    assert (seen.relevant.tolist(), seen.repeats.tolist()) == ([4], [1])
    assert shown.shown[0, :4].tolist() == [10, 0, 12, -1]
    assert shown.hits[0, :4].tolist() == [True, True, False, False]
    assert shown.again[0, :4].tolist() == [False, True, False, False]
    assert seen.ndcg(shown) == pytest.approx([gains(1, 2) / gains(1, 2, 3, 4)])
    assert seen.explore_recall(shown) == pytest.approx([1 / 3])


def test_who_bought_nothing_new_has_no_explore_recall():
    seen = window([0, 1])
    assert len(seen.explore_recall(seen.shown(alike(seen, 10), 0))) == 0


def test_what_is_not_in_the_catalogue_is_never_hit():
    seen = window([-1], before=())
    shown = seen.shown(alike(seen), 0)
    assert not shown.hits.any() and seen.ndcg(shown) == [0]


def test_places_are_kept_for_new_products():
    seen = window([0])
    assert seen.shown(alike(seen, *OWN, *NEW), 1).shown[0, :11].tolist() == [*range(9), 10, 9]


# Places


@pytest.mark.parametrize(("new", "expected"), [(10, 1), (11, 2), (12, 3)])
def test_so_many_places_are_kept_that_item_item_finds_no_more(new, expected):
    seen = window([0, new], customers=3)
    best, near = (seen.shown(alike(seen, *order), 0) for order in ([29], [new]))
    kept, reached = places(seen, alike(seen, *OWN, *NEW), best, near, seed=1)
    assert kept == expected
    assert reached == pytest.approx(gains(1, 10) / gains(1, 2))


def test_no_place_is_kept_where_three_are_too_few():
    seen = window([0, 13], customers=3)
    best, near = (seen.shown(alike(seen, *order), 0) for order in ([0], [13]))
    assert places(seen, alike(seen, *OWN, *NEW), best, near, seed=1) == (0, pytest.approx(1 / gains(1, 2)))


@pytest.mark.parametrize(("bought", "near"), [([0, 10], [11]), ([0], [10])])
def test_no_place_is_kept_where_nothing_is_missed(bought, near):
    seen = window(bought, customers=3)
    rivals = (seen.shown(alike(seen, *order), 0) for order in ([0], near))
    assert places(seen, alike(seen, *OWN, *NEW), *rivals, seed=1)[0] == 0


def test_no_place_is_kept_where_the_best_source_would_then_be_as_good():
    """Its tenth product is bought as well: a place for a new one costs as much as it brings."""
    seen = window([0, 9, 10], customers=3)
    best, near = (seen.shown(alike(seen, *order), 0) for order in (OWN, [10]))
    kept, reached = places(seen, alike(seen, *OWN, *NEW), best, near, seed=1)
    assert (kept, reached) == (0, pytest.approx(gains(1, 10) / gains(1, 2, 3)))


# Learning without looking


def numbered(*customers):
    """A window whose candidates are not asked for."""
    nothing = [at()] * len(customers)
    seen = Window(
        Blend(), [CustomerHistory.empty()] * len(customers), [at(each) for each in customers], nothing
    )
    seen.__dict__["shortlists"] = list(customers)
    return seen


def taught_by(windows):
    return {int(each[0]) for seen in windows for each in seen.bought}


def test_the_last_window_is_judged_by_what_was_learned_before_it():
    windows = [numbered(1, 2), numbered(3), numbered(4, 5, 6)]
    ((rows, others),) = apart(windows, seed=1)
    assert rows.tolist() == [0, 1, 2]
    assert taught_by(others) == {1, 2, 3}


@pytest.mark.parametrize("size", [2, 7])
def test_a_single_window_is_judged_in_parts_that_saw_nothing_of_themselves(size, monkeypatch):
    seen = numbered(*range(size))
    parts = apart([seen], seed=1)
    assert sorted(np.concatenate([rows for rows, _ in parts]).tolist()) == list(range(size))
    for rows, others in parts:
        assert taught_by(others) == set(range(size)) - set(rows.tolist())
        assert [each.shortlists for each in others] == [sorted(taught_by(others))]
    monkeypatch.setattr(ranking, "fit_ranker", lambda windows, weights, **how: taught_by(windows))
    for rows, ranker in validated_rankers([seen], {}, seed=1, threads=1):
        assert not ranker & set(rows.tolist())


# A shop where everybody buys again what they bought, and some a new product


@cache
def blend(max_customers=4000):
    """Customer i buys p(i mod 4) on every tenth day, and those of even number then p4, last on day 90."""
    rows = [(f"c{i:02d}", f"p{i % 4}", day) for i in range(24) for day in range(10, 100, 10)]
    rows += [(f"c{i:02d}", "p4", 90) for i in range(0, 24, 2)]
    rows += [("strange", f"p{each}", 5) for each in range(5, 9)]
    ranker = RankerConfig(trees=5, min_leaf_customers=5, max_customers=max_customers)
    found = Blend(
        BlendConfig(sources=("buy_again", "item_item", "content", "popularity", "together"), ranker=ranker)
    )
    found.fit(purchases(rows))
    return found


def habits(numbers, bought=lambda i: [i % 4], **more):
    """What the customers with these numbers did before day 100, and what they buy then."""
    mine = [
        history((f"p{i % 4}", 9, 10, 10), *([("p4", 1, 10, None)] if i % 2 == 0 else [])) for i in numbers
    ]
    before = [at(i % 4, *([4] if i % 2 == 0 else [])) for i in numbers]
    return Window(blend(), mine, [at(*bought(i)) for i in numbers], before, **more)


def test_candidates_are_learned_with_what_was_bought():
    columns, hits = examples([habits(range(6))], {"buy_again": 1.0}, seed=1)
    assert len(columns) == len(hits) == 6
    for number, (each, bought) in enumerate(zip(columns, hits, strict=True)):
        assert bought.sum() == 1
        assert each["own_times"][bought].tolist() == [9], number


def test_what_was_described_once_is_not_taken_for_another_window():
    seen = habits(range(4))
    weights = {"buy_again": 1.0}
    first = seen.examples(weights, seed=1)
    assert seen.examples(weights, seed=1) is first
    _, hits = replace(seen, bought=[at(-1)] * 4).examples(weights, seed=1)
    assert not np.concatenate(hits).any() and np.concatenate(first[1]).any()


def test_popularity_counts_over_the_days_that_tell_best_what_is_bought_next():
    """Lately everybody bought p1, for long before that p0: a window of 7 days says p1, a long one p0."""
    rows = [(f"a{each}", "p0", day) for each in range(9) for day in range(10, 90, 5)]
    rows += [(f"b{each}", "p1", 98) for each in range(5)]
    past = purchases(rows)
    everything = np.ones(2, dtype=bool)
    for bought, expected in ((1, True), (0, False)):
        days = popularity_window(PopularityConfig(), past, [at(bought)] * 3, everything)
        assert days in POPULARITY_WINDOWS and (days == 7) is expected


def test_only_so_many_customers_of_a_window_are_learned_from():
    few = [Window(blend(3), each.histories, each.bought, each.before) for each in [habits(range(9))] * 2]
    assert len(examples(few, {"buy_again": 1.0}, seed=1)[0]) == 6


def test_new_products_alone_are_shown_where_only_they_count():
    every, new = habits([0, 1]), habits([0, 1], only_new=True)
    for row in (0, 1):
        assert set(every.before[row].tolist()) & set(every.shortlists[row].positions.tolist())
        assert not set(new.before[row].tolist()) & set(new.shortlists[row].positions.tolist())
        assert len(new.shortlists[row]) > 0
    assert new.of(at(1)).only_new


def test_the_ceiling_is_what_is_among_the_candidates():
    seen = habits([0, 1], bought=lambda i: [i % 4, -1])
    assert seen.ceiling({"buy_again": 1.0}, 100) == 0.5
    assert seen.ceiling({"popularity": 1.0}, 1) <= 0.5


def test_habits_are_settled_upon():
    settled = settle([habits(range(0, 24, 3)), habits(range(24))], seed=1, threads=1)
    assert settled.best_source == "buy_again"
    assert settled.validation.keys() == {*blend().config.asked(), "blend", "ranker"}
    assert settled.validation["buy_again"] == settled.validation["blend"] == 1
    assert settled.weights["buy_again"] > 0 and sum(settled.weights.values()) == pytest.approx(1)
    assert settled.new_places == {"blend": 0, "ranker": 0}
    assert blend().ranker is None and blend().new_places == 0  # the window's own blend stays as it was


def test_a_single_window_is_settled_by_parts_of_it():
    settled = settle([habits(range(24))], seed=1, threads=1)
    assert 0.9 < settled.validation["ranker"] <= 1


def test_without_a_hit_there_is_no_ranker():
    settled = settle([habits(range(4), bought=lambda i: [-1])], seed=1, threads=1)
    assert "ranker" not in settled.validation and settled.validation["blend"] == 0


def test_nobody_who_bought_is_an_error():
    with pytest.raises(DataError, match="No customer bought anything"):
        settle([habits(range(4), bought=lambda i: [])], seed=1, threads=1)


def test_the_best_source_is_a_single_one():
    settled = Settled({}, validation={"ranker": 0.9, "blend": 0.8, "als": 0.3, "ease": 0.4})
    assert (settled.best, settled.best_source) == ("ranker", "ease")


def test_a_variant_answers_as_its_kind():
    seen = habits(range(2))
    settled = Settled({"buy_again": 1.0}, new_places={"blend": 1, "ranker": 2})
    assert variant(seen, "popularity", settled).weights["home"] == {"popularity": 1.0}
    assert variant(seen, "popularity", settled).new_places == 0
    blended = variant(seen, "blend", settled)
    assert (blended.weights["home"], blended.new_places, blended.ranker) == ({"buy_again": 1.0}, 1, None)
