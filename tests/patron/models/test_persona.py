from __future__ import annotations

import numpy as np
import pytest

from patron.models.persona import (
    PersonaConfig,
    learned,
    level,
    personas,
    rhythm,
    thirds,
    time_of_day,
    weekday_or_weekend,
)

CONFIG = PersonaConfig()
EDGES = {"price": [0.4, 0.6], "discount": [0.05, 0.2]}
NAN = float("nan")


def person(**more):
    """Features of a customer who buys coffee and tea every week on Saturday evenings, dear and discounted."""
    usual = {
        "orders_total": 20,
        "purchase_days": 20,
        "mean_gap_days": 7,
        "sd_gap_days": 2,
        "discount_share": 0.3,
        "price_percentile": 0.8,
        "morning_share": 0.2,
        "afternoon_share": 0.1,
        "evening_share": 0.7,
        "night_share": 0,
        "weekend_share": 0.9,
        "category_names": ["milk", "tea", "coffee"],
        "category_times_bought": [2, 9, 9],
        "brand_names": ["Leaf", "Bean"],
        "brand_times_bought": [3, 12],
        "preferred_channel": "email",
    }
    return {**usual, **more}


def of(**more):
    return many(person(**more))[0]


def many(*people):
    rows = {}
    for name in people[0]:
        values = [each[name] for each in people]
        plain = isinstance(values[0], int | float)
        rows[name] = np.array(values, dtype=np.float64) if plain else np.empty(len(values), dtype=object)
        if not plain:
            for place, each in enumerate(values):
                rows[name][place] = np.array(each) if isinstance(each, list) else each
    return personas(rows, CONFIG, EDGES)


def test_everything_of_a_customer():
    found = of()
    assert found.top_categories == ("coffee", "tea", "milk"), "the more recent first where equal"
    assert found.top_brands == ("Bean", "Leaf")
    assert (found.price_level, found.discount_sensitivity, found.rhythm) == ("high", "high", "weekly")
    assert (found.time_of_day, found.weekday_or_weekend, found.channel) == ("evening", "weekend", "email")
    assert found.label == "weekly premium bargain hunter"
    assert found.text == (
        "Buys weekly, mostly at weekends in the evening; favours coffee and tea, the brand Bean; "
        "takes the dearer products, often at a discount; answers by email."
    )


@pytest.mark.parametrize(
    ("days", "gap", "spread", "name"),
    [
        (1, NAN, NAN, "one-off"),
        (2, 7, NAN, "weekly"),
        (9, 10, 3, "weekly"),
        (9, 10.1, 3, "fortnightly"),
        (9, 21, 3, "fortnightly"),
        (9, 30, 3, "monthly"),
        (9, 46, 3, "quarterly"),
        (9, 135, 3, "quarterly"),
        (9, 136, 3, "seldom"),
        (9, 7, 10.5, "weekly"),
        (9, 7, 10.6, "irregular"),
        (0, NAN, NAN, None),
        (NAN, NAN, NAN, None),
    ],
)
def test_rhythm(days, gap, spread, name):
    assert rhythm(days, gap, spread, CONFIG) == name


@pytest.mark.parametrize(
    ("shares", "name"),
    [
        ([1, 0, 0, 0], "morning"),
        ([0.2, 0.5, 0.2, 0.1], "afternoon"),
        ([0, 0, 0.4, 0.6], "night"),
        ([0.3, 0.2, 0.45, 0.05], "any"),
        ([NAN] * 4, None),
    ],
)
def test_time_of_day(shares, name):
    assert time_of_day(shares, CONFIG) == name


@pytest.mark.parametrize(
    ("share", "name"), [(0.5, "weekend"), (0.3, "any"), (0.1, "weekday"), (0, "weekday"), (NAN, None)]
)
def test_weekday_or_weekend(share, name):
    assert weekday_or_weekend(share, CONFIG) == name


@pytest.mark.parametrize(
    ("value", "name"), [(0.4, "low"), (0.41, "middle"), (0.6, "middle"), (0.61, "high"), (NAN, None)]
)
def test_level(value, name):
    assert level(value, EDGES["price"]) == name
    assert level(value, []) is None


def test_thirds_are_the_shops():
    low, high = thirds(np.arange(10.0))
    assert (low, high) == (3, 6)
    assert thirds(np.array([NAN, 1, 2, 3, 4]))[0] == 2
    assert thirds(np.zeros(5)) == [] and thirds(np.full(3, NAN)) == []


def test_thirds_are_learned_from_those_who_order_often_enough():
    rows = {
        "orders_total": np.array([9.0, 9, 9, 9, 1]),
        "price_percentile": np.array([0.1, 0.2, 0.3, 0.4, 1]),
        "discount_share": np.array([0, 0, 0, 0, 0.9]),
    }
    found = learned(rows, CONFIG)
    assert found == {"price": pytest.approx([0.2, 0.3]), "discount": []}
    del rows["price_percentile"]
    assert learned(rows, CONFIG)["price"] == []


def test_a_few_orders_say_little():
    found = of(orders_total=2, purchase_days=1, mean_gap_days=NAN, sd_gap_days=NAN)
    assert (found.rhythm, found.label) == ("one-off", "one-off shopper")
    assert (found.price_level, found.discount_sensitivity) == (None, None)
    assert (found.time_of_day, found.weekday_or_weekend) == (None, None)
    assert found.text == "Bought once; favours coffee and tea, the brand Bean; answers by email."


def test_what_is_unknown_is_left_out():
    unknown = {
        "price_percentile": NAN,
        "discount_share": NAN,
        **dict.fromkeys(("morning_share", "afternoon_share", "evening_share", "night_share"), NAN),
        "weekend_share": NAN,
        "category_names": [],
        "brand_names": [],
        "category_times_bought": [],
        "brand_times_bought": [],
        "preferred_channel": None,
    }
    found = of(**unknown)
    assert (found.label, found.text) == ("weekly shopper", "Buys weekly.")
    assert (found.top_categories, found.top_brands, found.channel) == ((), (), None)


def test_who_has_not_ordered_has_no_persona():
    found = of(orders_total=NAN, purchase_days=NAN)
    assert (found.label, found.text, found.rhythm, found.price_level) == (None, None, None, None)


@pytest.mark.parametrize(
    ("more", "label", "text"),
    [
        (
            {"price_percentile": 0.1, "discount_share": 0.1},
            "weekly thrifty shopper",
            "takes the cheaper products",
        ),
        (
            {"price_percentile": 0.1},
            "weekly bargain hunter",
            "takes the cheaper products, often at a discount",
        ),
        ({"price_percentile": 0.5, "discount_share": 0}, "weekly shopper", "buys seldom at a discount;"),
        ({"discount_share": 0.1}, "weekly premium shopper", "takes the dearer products"),
        ({"sd_gap_days": 30}, "irregular premium bargain hunter", "Buys at irregular times, mostly"),
        ({"weekend_share": 0, "evening_share": 0, "night_share": 0.7}, None, "mostly on weekdays at night;"),
        ({"brand_names": [], "brand_times_bought": []}, None, "favours coffee and tea;"),
    ],
)
def test_words(more, label, text):
    found = of(**more)
    assert label in (None, found.label)
    assert text in found.text


def test_one_of_many_is_as_alone():
    people = [person(), person(orders_total=2), person(weekend_share=NAN, preferred_channel=None)]
    assert many(*people) == [many(each)[0] for each in people]
