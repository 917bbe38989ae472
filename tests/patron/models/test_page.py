from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from patron.errors import ConfigurationError
from patron.models.base import CustomerHistory
from patron.models.blend import Blend
from patron.models.page import Request, compose, mixed
from patron.models.rules import Boost, Pin, Rules, load_rules
from patron.models.visit import Visit
from patron.settings import PROJECT
from tests.patron.models.test_blend import SMALL
from tests.purchases import history, once, purchases

ROWS = [(f"c{who}", f"p{(who * 3 + each) % 12:02d}", 60 + who) for who in range(24) for each in range(4)]
ROWS += [("c0", "p12", 99)]
BUYER = history(("p03", 3, 20, 10), ("p04", 2, 20, 10), ("p05", 1, 20, None))


@pytest.fixture(scope="module")
def blend() -> Blend:
    model = Blend(SMALL)
    model.fit(purchases(ROWS), seed=1)
    return model


def ids(blend: Blend, rules: Rules, **asked: object) -> list[str]:
    request = replace(Request(history=BUYER, limit=6), **asked)  # type: ignore[arg-type]
    return [each.product_id for each in compose(blend, request, rules).items]


def test_places_of_the_session_are_spread_over_the_ten() -> None:
    found = mixed(list(range(20)), list(range(100, 120)), 3, 10)
    assert [rank for rank, position in enumerate(found) if position >= 100] == [1, 5, 8]
    assert list(found) == [0, 100, 1, 2, 3, 101, 4, 5, 102, 6]


def test_whoever_runs_out_leaves_the_rest_to_the_other() -> None:
    assert list(mixed([1, 2], [7, 8, 9], 1, 5)) == [1, 2, 7, 8, 9]
    assert list(mixed([1, 2, 3], [2], 5, 3)) == [2, 1, 3] or list(mixed([1, 2, 3], [2], 5, 3)) == [1, 2, 3]
    assert list(mixed([1, 2, 3], [], 10, 2)) == [1, 2]


def test_a_pin_stands_at_its_rank_and_pushes_out_the_last(blend: Blend) -> None:
    plain = ids(blend, Rules())
    pinned = next(each for each in blend.product_ids.tolist() if each not in plain)
    found = compose(blend, Request(history=BUYER, limit=6), Rules(pins=(Pin(product_id=pinned, rank=2),)))
    assert [each.product_id for each in found.items] == [plain[0], pinned, *plain[1:5]]
    assert found.items[1].source == "promotion" and found.items[1].reasons[0].code == "promoted"
    assert 0 < found.relevance_cost < 1


def test_a_pin_that_may_not_be_shown_is_not(blend: Blend) -> None:
    rules = Rules(pins=(Pin(product_id="p11", rank=1), Pin(product_id="unknown", rank=1)))
    assert "p11" not in ids(blend, rules, exclude=["p11"])


def test_a_boost_raises_and_says_so_and_its_cost_is_told(blend: Blend) -> None:
    plain = ids(blend, Rules())
    rules = Rules(boosts=(Boost(factor=1000, product_ids=(plain[-1],)),))
    page = compose(blend, Request(history=BUYER, limit=6), rules)
    assert page.items[0].product_id == plain[-1]
    assert "promoted" in {each.code for each in page.items[0].reasons}
    assert 0 < page.relevance_cost < 1
    assert compose(blend, Request(history=BUYER, limit=6), Rules()).relevance_cost == 0
    assert ids(blend, Rules(boosts=(Boost(factor=0.001, product_ids=(plain[0],)),)))[0] != plain[0]


def test_rotation_moves_what_was_shown_down(blend: Blend) -> None:
    plain = ids(blend, Rules())
    found = ids(blend, Rules(rotation=0.9), shown=Counter([plain[0]] * 3))
    assert found[0] != plain[0] and ids(blend, Rules(rotation=0.9)) == plain


def test_what_was_bought_can_be_left_out(blend: Blend) -> None:
    assert not set(ids(blend, Rules(bought="drop"))) & set(BUYER.product_ids.tolist())


def test_exploration_draws_as_often_as_it_says_and_the_propensities_are_true(blend: Blend) -> None:
    rules, draw = Rules(exploration=0.3), random.Random(5)
    drawn, shares = 0, []
    for _ in range(2000):
        page = compose(blend, Request(history=BUYER, limit=4, draw=draw), rules)
        assert page.propensities is not None and page.propensities[:2] == [1, 1]
        new = [rank for rank, each in enumerate(page.items) if each.source == "exploration"]
        drawn += len(new)
        assert all(rank >= 2 and page.items[rank].product_id == "p12" for rank in new)
        shares += [page.propensities[rank] for rank in new]
    assert drawn == pytest.approx(600, abs=4 * (2000 * 0.3 * 0.7) ** 0.5)
    assert set(shares) == {0.3}  # one new product: always the one that is drawn
    assert compose(blend, Request(history=BUYER, limit=4), rules).propensities is None
    nothing_new = Request(history=BUYER, limit=4, exclude=["p12"], draw=draw)
    assert compose(blend, nothing_new, rules).propensities == [1, 1, 1, 1]


def test_exploration_leaves_pins_where_they_are(blend: Blend) -> None:
    rules = Rules(exploration=1.0, pins=(Pin(product_id="p11", rank=3),))
    for seed in range(20):
        page = compose(blend, Request(history=BUYER, limit=4, draw=random.Random(seed)), rules)
        assert [page.items[rank].product_id for rank in (2, 3)] == ["p11", "p12"]


def test_a_visit_takes_its_places_and_the_viewed_product_is_not_repeated(blend: Blend) -> None:
    visit = Visit(seen=once("p09", days=0), viewed=("p09",))
    page = compose(blend, Request(history=BUYER, limit=6, visit=visit), Rules(session_places=5))
    told = {reason.product_id for each in page.items for reason in each.reasons}
    assert "p09" in told
    of_visit = [each for each in page.items if any(reason.product_id == "p09" for reason in each.reasons)]
    assert of_visit and all(each.product_id != "p09" for each in of_visit)


def test_diversity_of_the_placement_holds_where_the_request_says_nothing(blend: Blend) -> None:
    asked = Request(history=BUYER, limit=6)
    rules = Rules(diversity=1.0)
    ours = [each.product_id for each in compose(blend, asked, rules).items]
    theirs = [each.product_id for each in compose(blend, replace(asked, diversity=1.0), Rules()).items]
    assert ours == theirs
    assert ids(blend, rules, diversity=0.0) == ids(blend, Rules())


def test_trending_is_what_sells_faster_than_usual() -> None:
    steady = [(f"s{who}-{day}", "steady", day) for day in range(60, 100) for who in range(4)]
    rising = [(f"r{who}-{day}", "rising", day) for day in range(93, 100) for who in range(3)]
    falling = [(f"f{who}-{day}", "falling", day) for day in range(60, 90) for who in range(5)]
    model = Blend(SMALL)
    model.fit(purchases([*steady, *rising, *falling]), seed=1)
    page = compose(model, Request(limit=3), Rules(answers="trending"))
    assert [each.source for each in page.items] == ["trending", "popularity", "popularity"]
    assert page.items[0].product_id == "rising"
    assert page.items[0].reasons[0].text == "Bought by 21 customers this week, more than usual"
    assert model.new.tolist() == [False, True, False]


def test_the_shipped_placements_load_and_home_explains_every_key() -> None:
    found = load_rules(PROJECT / "configs" / "placements")
    assert {"home", "product", "cart", "buy_again", "recently_viewed", "trending"} <= set(found)
    text = (PROJECT / "configs" / "placements" / "home.toml").read_text()
    assert all(name in text for name in Rules.model_fields)


@pytest.mark.parametrize("text", ["sesion_places = 3", "rotation = 2", "[[boosts]]\nfactor = 2", "= 1"])
def test_a_mistake_in_a_placement_is_named(tmp_path, text) -> None:
    (tmp_path / "home.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"home\.toml"):
        load_rules(tmp_path)


def test_nobody_asked_about_nothing_gets_what_is_popular(blend: Blend) -> None:
    page = compose(blend, Request(history=CustomerHistory.empty(), limit=3), Rules(session_places=3))
    assert [each.source for each in page.items] == ["popularity"] * 3
    assert compose(blend, Request(limit=0), Rules()).items == []
    assert np.isfinite(page.relevance_cost)
