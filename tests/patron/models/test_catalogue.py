from __future__ import annotations

import numpy as np
import pytest

from patron.errors import DataError
from patron.models.catalogue import Catalogue


@pytest.fixture
def catalogue():
    return Catalogue(
        product_ids=np.array(["tea", "cup", "postage", "pot"]),
        titles=np.array(["Green tea", "Cup", "Postage", ""]),
        categories=np.array(["food", "kitchen", "", "kitchen"]),
        brands=np.array(["Leaf", "Clay", "", ""]),
        prices=np.array([4.0, 9.0, 3.0, np.nan]),
        costs=np.full(4, np.nan),
        in_stock=np.array([True, True, True, False]),
        visible=np.array([True, True, False, True]),
    )


def names(catalogue, mask):
    return catalogue.product_ids[mask].tolist()


def test_positions_and_titles(catalogue):
    assert catalogue.position("cup") == 1
    assert catalogue.position("saucer") is None
    assert [catalogue.title(each) for each in (0, 3)] == ["Green tea", "pot"]


def test_without_a_filter_the_visible_products_in_stock_are_allowed(catalogue):
    assert names(catalogue, catalogue.allowed()) == ["tea", "cup"]
    assert names(catalogue, catalogue.allowed(in_stock_only=False)) == ["tea", "cup", "pot"]


def test_filters_narrow_together(catalogue):
    assert names(catalogue, catalogue.allowed(categories=["kitchen"])) == ["cup"]
    assert names(catalogue, catalogue.allowed(brands=["Leaf", "Clay"], max_price=4)) == ["tea"]
    assert names(catalogue, catalogue.allowed(categories=["garden"])) == []


def test_no_price_passes_no_price_bound(catalogue):
    assert names(catalogue, catalogue.allowed(min_price=0, in_stock_only=False)) == ["tea", "cup"]
    assert names(catalogue, catalogue.allowed(max_price=1e9, in_stock_only=False)) == ["tea", "cup"]


def test_a_filter_does_not_change_what_is_available(catalogue):
    catalogue.allowed(categories=["food"])
    assert names(catalogue, catalogue.allowed()) == ["tea", "cup"]


def test_aligned_keeps_facts_by_id_and_takes_the_unknown_for_sellable(catalogue):
    found = catalogue.aligned(np.array(["new", "pot", "tea"]))
    assert found.titles.tolist() == ["", "", "Green tea"]
    assert found.in_stock.tolist() == [True, False, True]
    assert np.isnan(found.prices[0])
    assert found.prices[2] == 4.0


def test_what_was_saved_is_what_is_loaded(catalogue, tmp_path):
    catalogue.save(tmp_path)
    found = Catalogue.load(tmp_path)
    assert found.titles.tolist() == catalogue.titles.tolist()
    np.testing.assert_array_equal(found.prices, catalogue.prices)
    assert found.visible.dtype == np.bool_


def test_unequal_lengths_are_refused():
    with pytest.raises(DataError, match="one entry a product"):
        Catalogue(**{**vars(Catalogue.of(np.array(["a"]))), "titles": np.array(["A", "B"])})
