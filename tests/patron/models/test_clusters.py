"""Groups that can be told by eye: those of a shop that has three kinds of customers."""

from __future__ import annotations

import numpy as np
import pytest

from patron.errors import DataError
from patron.models.clusters import AXES, Clusters, ClustersConfig, names

KINDS = {
    "frequent small baskets": (5, 50, 8),
    "rare big spenders": (60, 1, 200),
    "lapsed rare small spenders": (300, 0, 10),
}


def rows(each=60, seed=3):
    """Customers of the three kinds, each a little apart from the others of its kind."""
    rng = np.random.default_rng(seed)
    made = np.concatenate([np.array(kind) * rng.uniform(0.9, 1.1, (each, 3)) for kind in KINDS.values()])
    return {name: made[:, place] for place, name in enumerate(AXES)}


def test_the_kinds_are_found_and_named():
    found = Clusters.fit(rows(), ClustersConfig(), seed=1)
    assert found.facts["groups"] == 3
    assert found.facts["stability"] == 1 and found.facts["silhouette"] > 0.8
    assert found.named(rows(), "prospect").tolist() == [name for name in KINDS for _ in range(60)]


def test_groups_are_numbered_by_what_they_spend_whatever_the_seed():
    one, other = (Clusters.fit(rows(), ClustersConfig(), seed=each) for each in (1, 2))
    assert one.names == other.names == list(KINDS)
    assert np.allclose(one.centres, other.centres)
    shuffled = np.random.default_rng(0).permutation(180)
    again = Clusters.fit({name: each[shuffled] for name, each in rows().items()}, ClustersConfig(), seed=1)
    assert again.names == one.names


def test_without_an_order_there_is_no_group():
    found = Clusters.fit(rows(), ClustersConfig(), seed=1)
    nothing = {name: np.array([np.nan, 5.0]) for name in AXES}
    assert found.nearest(nothing).tolist()[0] == -1
    assert found.named(nothing, "prospect")[0] == "prospect"
    with pytest.raises(DataError, match="No customer has an order"):
        Clusters.fit({name: np.full(3, np.nan) for name in AXES}, ClustersConfig())


@pytest.mark.parametrize("each", [1, 2])
def test_few_customers_are_one_group(each):
    found = Clusters.fit({name: np.arange(each) + 1.0 for name in AXES}, ClustersConfig(), seed=1)
    assert len(found.names) == 1
    assert found.nearest({name: np.ones(1) for name in AXES}).tolist() == [0]


def test_customers_all_alike_are_one_group():
    found = Clusters.fit({name: np.full(50, 3.0) for name in AXES}, ClustersConfig(), seed=1)
    assert found.names == ["occasional middling baskets"]


def test_where_no_number_is_stable_the_most_stable_is_taken():
    rng = np.random.default_rng(0)
    noise = {name: np.expm1(rng.uniform(0, 5, 300)) for name in AXES}
    found = Clusters.fit(noise, ClustersConfig(stability=1.0), seed=1)
    tried = found.facts["tried"]
    assert found.facts["stability"] == max(each["stability"] for each in tried.values()) < 1


@pytest.mark.parametrize(
    ("centre", "name"),
    [
        ((0, 1, -1), "frequent small baskets"),
        ((-1, 0, 0), "occasional middling baskets"),
        ((0, 1, 1), "frequent big baskets"),
        ((0, -1, 1), "rare big spenders"),
        ((0, -1, 0), "rare middling spenders"),
        ((1, -1, -1), "lapsed rare small spenders"),
        ((0.3, 0.39, -0.39), "occasional middling baskets"),
    ],
)
def test_a_centre_is_named_by_where_it_lies(centre, name):
    assert names(np.array([centre], dtype=np.float64), 0.4) == [name]


def test_equal_names_are_told_apart_by_what_differs_most():
    pair = np.array([[0.1, 1, 1], [0.0, 2, 1]])
    assert names(pair, 0.4) == ["frequent big baskets, less often", "frequent big baskets, more often"]
    late = np.array([[-3.0, 1, 1], [-1.0, 1.1, 1], [0.3, 1, 1.2]])
    assert names(late, 0.4) == [
        "frequent big baskets, lately",
        "frequent big baskets, longer ago 1",
        "frequent big baskets, longer ago",
    ]


def test_what_was_saved_is_read(tmp_path):
    found = Clusters.fit(rows(), ClustersConfig(), seed=1)
    found.save(tmp_path / "clusters.npz")
    again = Clusters.load(tmp_path / "clusters.npz")
    assert again.names == found.names
    assert again.nearest(rows()).tolist() == found.nearest(rows()).tolist()
