from __future__ import annotations

import numpy as np
import pytest

from patron.errors import ConfigurationError
from patron.models.activity import TYPES
from patron.models.loyalty import MEASURES, SHIPPED, Tier, TiersConfig, loyalty, mistakes
from patron.models.rule_files import rules_of
from patron.settings import PROJECT


def of(tiers, **measures):
    """(tier, next tier, missing) of one customer."""
    rows = {"orders_total": 1, **measures}
    found = loyalty(tiers, {name: np.array([value], dtype=np.float64) for name, value in rows.items()})
    return found.tier[0], found.next_tier[0], found.missing[0]


@pytest.mark.parametrize(
    ("spend", "orders", "told"),
    [
        (0, 0, ("bronze", "silver", {"spend_365d": 250, "orders_365d": 6})),
        (249.99, 2, ("bronze", "silver", {"spend_365d": 0.01, "orders_365d": 4})),
        (250, 2, ("silver", "gold", {"spend_365d": 750, "orders_365d": 22})),
        (10, 6, ("silver", "gold", {"spend_365d": 990, "orders_365d": 18})),
        (1000, 6, ("gold", "platinum", {"spend_365d": 2000, "orders_365d": 18})),
        (10, 30, ("gold", "platinum", {"spend_365d": 2990})),
        (3000, 23, ("gold", "platinum", {"orders_365d": 1})),
        (3000, 24, ("platinum", None, None)),
        (np.nan, np.nan, ("bronze", "silver", {"spend_365d": 250, "orders_365d": 6})),
    ],
)
def test_the_shipped_tiers(spend, orders, told):
    assert of(SHIPPED, spend_365d=spend, orders_365d=orders) == told


def test_many_customers_at_once():
    rows = {"spend_365d": np.array([3000.0, 0, 300]), "orders_365d": np.array([30.0, 0, 1])}
    found = loyalty(SHIPPED, {**rows, "orders_total": np.ones(3)})
    assert found.tier == ["platinum", "bronze", "silver"]
    assert found.next_tier == [None, "silver", "gold"]
    assert found.missing[0] is None and found.missing[2] == {"spend_365d": 700, "orders_365d": 23}


def test_a_programme_that_one_has_to_earn_begins_with_no_tier():
    tiers = (Tier(name="member", at_least={"orders_total": 3}),)
    assert of(tiers, orders_total=1) == (None, "member", {"orders_total": 2})
    assert of(tiers, orders_total=3) == ("member", None, None)


def test_the_shipped_file_holds_the_defaults():
    assert rules_of(PROJECT / "configs" / "tiers.toml", TiersConfig) == TiersConfig()


def test_every_measure_is_a_feature():
    assert set(MEASURES) <= set(TYPES)


@pytest.mark.parametrize(
    ("tiers", "told"),
    [
        ((), "there is no tier. Name one at least"),
        ((Tier(name="a"), Tier(name="a", at_least={"orders_total": 1})), "2 tiers are called 'a'"),
        ((Tier(name="a", at_least={"orders": 1}),), "tier 'a': no measure 'orders'. There are: spend_30d,"),
        ((Tier(name="a", at_least={"orders_total": 0}),), "orders_total = 0. Ask for more than 0"),
        ((Tier(name="a", at_least={"orders_total": 2}), Tier(name="b")), "tier 'b' asks for nothing"),
        (
            (Tier(name="a", at_least={"orders_total": 5}), Tier(name="b", at_least={"orders_total": 3})),
            "tier 'b' asks for orders_total = 3, 'a' below it for 5: a higher tier asks for no less",
        ),
    ],
)
def test_a_mistake_is_told(tiers, told):
    assert any(told in each for each in mistakes(tiers))


def test_all_mistakes_of_a_file_are_told_together(tmp_path):
    path = tmp_path / "tiers.toml"
    tiers = [("a", "money", 1), ("a", "orders_total", -1)]
    text = [f"[[tiers]]\nname = '{name}'\nat_least = {{ {what} = {least} }}" for name, what, least in tiers]
    path.write_text("\n".join(text))
    with pytest.raises(ConfigurationError) as error:
        rules_of(path, TiersConfig)
    for each in ("tiers.toml", "no measure 'money'", "orders_total = -1", "2 tiers are called 'a'"):
        assert each in str(error.value)
