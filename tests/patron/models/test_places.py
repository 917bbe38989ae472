from __future__ import annotations

import numpy as np
import pytest

from patron.models.places import with_new


def shown(flags, kept, limit):
    """flags: one letter a product, best first; n is new."""
    return with_new(np.array([each == "n" for each in flags]), kept, limit).tolist()


def test_without_places_the_order_stays():
    assert shown("oonoo", 0, 3) == [0, 1, 2]


def test_the_last_known_products_give_way_to_the_best_new_one():
    assert shown("o" * 12 + "nn", 1, 10) == [*range(9), 12]
    assert shown("o" * 12 + "nn", 2, 10) == [*range(8), 12, 13]


def test_new_products_that_stand_there_anyway_count():
    assert shown("on" + "o" * 10 + "n", 1, 10) == list(range(10))


def test_what_gave_way_heads_the_next_page():
    assert shown("o" * 12 + "nn", 1, 14) == [*range(9), 12, 9, 10, 11, 13]


@pytest.mark.parametrize("flags", ["", "o", "n", "ooo", "nnn", "o" * 25, "n" * 25, "on" * 15])
@pytest.mark.parametrize("kept", [0, 1, 3, 10, 12])
def test_nobody_is_lost_or_shown_twice(flags, kept):
    for limit in (0, 1, 10, 100):
        found = shown(flags, kept, limit)
        assert len(found) == len(set(found)) == min(limit, len(flags))
