from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from patron.models.asked import Dense
from patron.models.shortlist import Shortlist
from patron.models.weights import CUT, Panel, search

SIZE = 30


def part(**scores):
    """Candidates p0.. by keyword, best first."""
    order = sorted(scores, key=lambda name: -scores[name])
    return np.array([int(name[1:]) for name in order], dtype=np.int64), np.array(
        [scores[name] for name in order], dtype=np.float32
    )


def panel(*customers):
    """customers: (relevant positions, one part a source)."""
    lists = [shortlist(parts) for _, *parts in customers]
    return Panel.of(lists, [np.array(relevant) for relevant, *_ in customers])


def shortlist(parts):
    asked = {f"s{place}": Dense(dense(part)) for place, part in enumerate(parts)}
    found = Shortlist.of(asked, np.ones(SIZE, dtype=bool), SIZE, None)
    values = np.stack([dense(part)[found.positions] for part in parts], axis=1)
    return replace(found, values=values)


def dense(part):
    scores = np.zeros(SIZE, dtype=np.float32)
    scores[part[0]] = part[1]
    return scores


def test_ndcg_of_one_hit_is_its_discount():
    found = panel(([7], part(p3=1.0, p7=0.5, p9=0.2)))
    assert found.ndcg(np.array([1.0])) == pytest.approx(1 / np.log2(3))


def test_relevant_products_that_nobody_proposed_are_missed():
    found = panel(([3, 8], part(p3=1.0)))
    assert found.ndcg(np.array([1.0])) == pytest.approx(1 / (1 + 1 / np.log2(3)))


def test_more_relevant_products_than_places_can_still_be_perfect():
    everything = list(range(CUT + 5))
    found = panel((everything, part(**{f"p{each}": 1.0 - each / 100 for each in everything})))
    assert found.ndcg(np.array([1.0])) == pytest.approx(1.0)


def test_a_customer_whom_no_source_knows_scores_nothing():
    found = panel(([1], part()), ([1], part(p1=1.0)))
    assert found.ndcg(np.array([1.0])) == pytest.approx(0.5)


def test_the_source_that_knows_gets_the_weight():
    right, wrong = part(p1=1.0, p2=0.5), part(p2=1.0, p1=0.5)
    weights, reached = search(panel(([1], wrong, right), ([1], wrong, right)), seed=1)
    assert reached == pytest.approx(1.0)
    assert weights[1] > weights[0]
    assert weights.sum() == pytest.approx(1.0)


def test_two_sources_that_know_half_each_are_mixed():
    found = panel(
        ([1], part(p1=1.0, p2=0.2), part(p2=0.9)),
        ([4], part(p3=0.5), part(p4=1.0)),
        ([5], part(p6=0.4, p5=0.3), part(p5=0.3)),
    )
    singles = [found.ndcg(weights) for weights in np.eye(2)]
    weights, reached = search(found, seed=1)
    assert reached > max(singles)
    assert (weights > 0).all()


def test_the_same_seed_finds_the_same_weights():
    rng = np.random.default_rng(5)
    customers = [
        (
            rng.choice(20, 3, replace=False),
            *(part(**{f"p{each}": rng.random() for each in range(20)}) for _ in "abc"),
        )
        for _ in range(10)
    ]
    one, other = search(panel(*customers), seed=2), search(panel(*customers), seed=2)
    assert one[0].tolist() == other[0].tolist()
    assert one[1] == other[1]
