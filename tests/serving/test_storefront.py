"""Pages in real time: what a visitor does, what the shop changes and what breaks, on the next answer."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from patron.models.blend import Blend
from serving.keys import create
from serving.service import build
from tests.serving.fakes import FakeFeatures, parts_of
from tests.serving.in_process import InProcess, started
from tests.serving.shop import recommender, tables

TEA = {
    "own_product_ids": ["p05", "p00", "p01"],
    "own_times_bought": [2, 9, 9],
    "own_days_since": [40.0, 9.0, 9.0],
    "own_interval_days": [20.0, 10.0, 10.0],
    "own_times_28d": [0, 3, 3],
    "own_times_91d": [1, 9, 9],
    "consent_recommend": True,
}
CUSTOMERS = {
    "ann": TEA,
    "dan": {**TEA, "consent_recommend": False},
    "eve": {"region": "north", "consent_recommend": True},
}


class Shop:
    """The service in process over real models and logs, and features that a test may break."""

    def __init__(self, client: InProcess, parts: Any, key: str) -> None:
        self.client, self.parts, self.key = client, parts, key

    def send(self, method: str, path: str, body: Any, status: int) -> dict[str, Any]:
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
        response = self.client.request(method, path, content=json.dumps(body).encode(), headers=headers)
        assert response.status_code == status, response.text
        found: dict[str, Any] = response.json()
        return found

    def recommend(self, status: int = 200, **body: Any) -> dict[str, Any]:
        return self.send("POST", "/v1/recommendations", {"explain": True, **body}, status)

    def ids(self, **body: Any) -> list[str]:
        return [each["product_id"] for each in self.recommend(**body)["items"]]

    def happens(self, name: str, product_id: str, **more: Any) -> None:
        event = {
            "event_id": uuid.uuid4().hex,
            "occurred_at": datetime.now(UTC).isoformat(),
            "name": name,
            "product_id": product_id,
            **more,
        }
        found = self.send("POST", "/v1/events", {"events": [event]}, 202)
        assert found == {"accepted": 1, "duplicates": 0, "rejected": []}

    def change(self, product_id: str, **values: Any) -> None:
        self.send("PUT", f"/v1/products/{product_id}", values, 200)


@pytest.fixture(scope="module")
def blend() -> Blend:
    return recommender(tables())


@pytest.fixture
def shop(tmp_path: Path, blend: Blend) -> Iterator[Shop]:
    parts = parts_of(tmp_path, FakeFeatures(CUSTOMERS), recommender=blend)
    key = create(tmp_path / "keys.json", "tests", ["storefront", "crm"])[0]
    with started(build(lambda: parts).to_asgi()) as client:
        yield Shop(client, parts, key)


def codes(item: dict[str, Any]) -> set[tuple[str, str | None]]:
    return {(each["code"], each["product_id"]) for each in item["reasons"]}


def test_a_guests_view_changes_the_next_answer_and_says_so(shop: Shop) -> None:
    assert shop.recommend(session_id="s1")["fallback"] == "popular"
    shop.happens("view_item", "p00", session_id="s1")
    found = shop.recommend(session_id="s1")
    assert found["fallback"] == "session" and not found["degraded"]
    assert found["items"][0]["product_id"] == "p01"
    assert ("because_you_viewed", "p00") in codes(found["items"][0])
    assert shop.recommend(session_id="s2")["fallback"] == "popular"


def test_a_customers_view_joins_what_they_always_buy(shop: Shop) -> None:
    before = shop.ids(customer_id="ann")
    shop.happens("view_item", "p13", customer_id="ann", session_id="s3")
    found = shop.recommend(customer_id="ann")
    assert found["fallback"] is None
    followed = [each for each in found["items"] if ("because_you_viewed", "p13") in codes(each)]
    assert len(followed) == 3 and {each["rank"] for each in followed} == {2, 6, 9}
    assert {"p00", "p01"} & set(before[:2]) & {each["product_id"] for each in found["items"]}


def test_signing_in_brings_the_session_along(shop: Shop) -> None:
    shop.happens("view_item", "p13", session_id="s4")
    assert shop.recommend(customer_id="ann")["items"] and not any(
        ("because_you_viewed", "p13") in codes(each) for each in shop.recommend(customer_id="ann")["items"]
    )
    shop.happens("view_item", "p14", session_id="s4", customer_id="ann")
    reasons = {reason for each in shop.recommend(customer_id="ann")["items"] for reason in codes(each)}
    assert ("because_you_viewed", "p13") in reasons or ("because_you_viewed", "p14") in reasons


def test_a_purchase_is_part_of_the_history_at_once(shop: Shop) -> None:
    assert "p20" not in shop.ids(customer_id="ann", placement="buy_again")
    shop.happens("purchase", "p20", customer_id="ann")
    assert "p20" in shop.ids(customer_id="ann", placement="buy_again")
    assert shop.recommend(customer_id="stranger-yesterday")["fallback"] == "popular"
    shop.happens("purchase", "p00", customer_id="stranger-yesterday")
    assert shop.recommend(customer_id="stranger-yesterday")["fallback"] is None


def test_who_refuses_gets_nothing_of_their_own_used(shop: Shop) -> None:
    shop.happens("view_item", "p13", customer_id="dan")
    for who in ({"customer_id": "dan"}, {"customer_id": "dan", "session_id": "of dan"}):
        found = shop.recommend(**who)
        assert found["fallback"] == "popular"
        assert {each["source"] for each in found["items"]} <= {"popularity", "exploration"}
    shop.happens("view_item", "p13", customer_id="dan", session_id="of dan")
    found = shop.recommend(session_id="of dan")
    assert found["fallback"] == "popular"
    shop.parts.answers.flush()
    reader = shop.parts.answers.database.reader()
    kept = reader.execute("select distinct customer_id, session_id from answers").fetchall()
    assert kept == [(None, None)]


def test_a_session_that_was_signed_in_to_is_the_customers(shop: Shop) -> None:
    shop.happens("view_item", "p13", customer_id="ann", session_id="s9")
    found = shop.recommend(session_id="s9")
    assert found["fallback"] is None and {"p00", "p01"} & {each["product_id"] for each in found["items"]}


def test_unreadable_answers_and_updates_change_nothing_else(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.change("p00", in_stock=False)
    assert "p00" not in shop.ids(customer_id="ann", limit=100)

    def gone(*_: Any) -> Any:
        raise OSError("disk")

    for log, names in ((shop.parts.answers, ("lately", "pages")), (shop.parts.events, ("updates",))):
        for name in names:
            monkeypatch.setattr(log, name, gone)
    found = shop.recommend(customer_id="ann", limit=100)
    assert found["fallback"] is None and found["degraded"]
    assert "p00" not in {each["product_id"] for each in found["items"]}
    again = shop.recommend(recommendation_id=found["recommendation_id"], offset=10)
    assert again["degraded"] and again["items"]


def test_a_first_page_has_an_id_of_its_own(shop: Shop) -> None:
    first = shop.recommend(customer_id="ann")["recommendation_id"]
    assert shop.recommend(customer_id="ann", recommendation_id=first)["recommendation_id"] != first


def test_the_basket_of_the_last_events_is_completed_and_never_answered(shop: Shop) -> None:
    shop.happens("add_to_cart", "p00", session_id="s5")
    found = shop.recommend(session_id="s5", placement="cart", limit=3)
    assert found["fallback"] == "similar" and found["items"][0]["product_id"] == "p01"
    assert "p00" not in shop.ids(session_id="s5", limit=100)
    shop.happens("remove_from_cart", "p00", session_id="s5")
    assert "p00" in shop.ids(session_id="s5", limit=100)


def test_recently_viewed_and_trending(shop: Shop) -> None:
    for product_id in ("p03", "p04", "p03", "p06"):
        shop.happens("view_item", product_id, session_id="s6")
    assert shop.ids(session_id="s6", placement="recently_viewed") == ["p06", "p03", "p04"]
    assert shop.ids(session_id="nobody", placement="recently_viewed") == []
    assert len(shop.ids(placement="trending")) == 10


def test_a_product_out_of_stock_is_gone_from_the_next_answer_and_comes_back(shop: Shop) -> None:
    everything = shop.ids(customer_id="ann", limit=100)
    assert "p00" in everything
    shop.change("p00", in_stock=False)
    assert shop.ids(customer_id="ann", limit=100) == [each for each in everything if each != "p00"]
    similar = shop.send("POST", "/v1/similar-products", {"product_id": "p01"}, 200)["items"]
    assert "p00" not in {each["product_id"] for each in similar}
    shop.change("p00", in_stock=True)
    assert "p00" in shop.ids(customer_id="ann", limit=100)


def test_price_brand_and_visibility_count_as_they_are_now(shop: Shop) -> None:
    shop.change(
        "p07", price=4999.5, brand="A brand with a name longer than any that the model was trained on"
    )
    assert shop.ids(filter={"min_price": 4999}) == ["p07"]
    brand = "A brand with a name longer than any that the model was trained on"
    assert shop.ids(filter={"brand": brand}) == ["p07"]
    shop.change("p07", visible=False)
    assert shop.ids(filter={"brand": brand}) == []
    shop.change("a product that no model knows", price=1)
    assert len(shop.ids()) == 10


def test_ten_pages_of_scroll_hold_no_product_twice(shop: Shop) -> None:
    first = shop.recommend(customer_id="ann", limit=3)
    seen = [each["product_id"] for each in first["items"]]
    for page in range(1, 10):
        more = {"recommendation_id": first["recommendation_id"], "offset": 3 * page}
        if page == 4:
            shop.happens("view_item", "p13", customer_id="ann")
        found = shop.recommend(customer_id="ann", limit=3, **more)
        assert found["recommendation_id"] == first["recommendation_id"]
        assert [each["rank"] for each in found["items"]] == [3 * page + rank for rank in (1, 2, 3)]
        seen += [each["product_id"] for each in found["items"]]
    assert len(seen) == len(set(seen)) == 30


def test_a_next_page_of_nothing_is_refused(shop: Shop) -> None:
    assert shop.recommend(404, recommendation_id=str(uuid.uuid4()), offset=10)["code"] == (
        "no_such_recommendation"
    )
    assert shop.recommend(422, offset=10)["code"] == "invalid"


def test_rankings_give_back_the_same_products(shop: Shop) -> None:
    given = ["p20", "none such", "p00", "p20", "p11"]
    shop.change("p11", in_stock=False)
    found = shop.send("POST", "/v1/rankings", {"customer_id": "ann", "product_ids": given}, 200)
    ids = [each["product_id"] for each in found["items"]]
    assert ids[0] == "p00" and set(ids) == set(given) and len(ids) == 4
    assert found["fallback"] is None
    stranger = shop.send("POST", "/v1/rankings", {"product_ids": given}, 200)
    assert stranger["fallback"] == "popular" and len(stranger["items"]) == 4


def test_every_answer_is_recorded_with_what_is_needed_to_judge_it(shop: Shop) -> None:
    found = shop.recommend(customer_id="ann", session_id="s7")
    shop.parts.answers.flush()
    reader = shop.parts.answers.database.reader()
    query = "select placement, customer_id, session_id, product_ids, rung, model_version from answers where "
    row = reader.execute(query + "recommendation_id = ?", (found["recommendation_id"],)).fetchall()
    ids = [each["product_id"] for each in found["items"]]
    assert row == [("home", "ann", "s7", json.dumps(ids), "personal", "7")]


# What breaks


def test_a_lost_feature_store_is_answered_around_and_its_return_is_noticed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.ladder.OPEN_SECONDS", 0.2)
    shop.parts.features.error = OSError("gone")
    for _ in range(5):
        found = shop.recommend(customer_id="ann")
        assert found["degraded"] and found["fallback"] == "popular" and len(found["items"]) == 10
    shop.happens("view_item", "p00", session_id="s8")
    assert shop.recommend(session_id="s8")["fallback"] == "session"
    shop.happens("view_item", "p00", customer_id="ann")
    assert shop.recommend(customer_id="ann")["fallback"] == "popular"  # whether they agreed is not known
    ranked = shop.send("POST", "/v1/rankings", {"customer_id": "ann", "product_ids": ["p00"]}, 200)
    assert ranked["degraded"] and ranked["fallback"] == "popular"
    shop.parts.features.error = None
    time.sleep(0.3)
    found = shop.recommend(customer_id="ann")
    assert found["fallback"] is None and not found["degraded"]


def test_a_lost_event_log_is_answered_around(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any) -> Any:
        raise OSError("disk")

    monkeypatch.setattr(shop.parts.events, "recent", gone)
    monkeypatch.setattr(shop.parts.events, "updates", gone)
    found = shop.recommend(customer_id="ann")
    assert found["degraded"] and found["fallback"] is None and len(found["items"]) == 10


class Stuck:
    """A source that takes two seconds, until it is released."""

    def __init__(self, source: Any) -> None:
        self.source, self.released = source, threading.Event()

    def __getattr__(self, name: str) -> Any:
        if name in ("scores", "ask", "asked"):
            self.released.wait(2)
        return getattr(self.source, name)


def test_a_source_that_hangs_costs_the_budget_and_then_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.ladder.OPEN_SECONDS", 0.3)
    blend = recommender(tables())
    parts = parts_of(tmp_path, FakeFeatures(CUSTOMERS), recommender=blend)
    key = create(tmp_path / "keys.json", "tests", ["storefront", "crm"])[0]
    with started(build(lambda: parts).to_asgi()) as client:
        shop = Shop(client, parts, key)
        stuck = Stuck(blend.sources["als"])
        blend.sources["als"] = stuck  # type: ignore[assignment]
        took = []
        for _ in range(6):
            began = time.monotonic()
            found = shop.recommend(customer_id="ann", placement="buy_again_soon")
            took.append(time.monotonic() - began)
            assert found["degraded"] and found["fallback"] is not None and len(found["items"]) == 10
        assert max(took) < 2  # the source itself takes two seconds, each time
        stuck.released.set()
        time.sleep(0.5)
        found = shop.recommend(customer_id="ann")
        assert found["fallback"] is None and not found["degraded"]


def test_without_any_model_the_list_of_last_resort_answers(tmp_path: Path, blend: Blend) -> None:
    parts = parts_of(tmp_path, FakeFeatures(CUSTOMERS))
    key = create(tmp_path / "keys.json", "tests", ["storefront", "crm"])[0]
    with started(build(lambda: parts).to_asgi()) as client:
        shop = Shop(client, parts, key)
        assert shop.recommend(503, customer_id="ann")["code"] == "no_champion"
        parts.static.keep(blend)
        found = shop.recommend(customer_id="ann", filter={"category": "k1"}, limit=3)
        assert found["fallback"] == "static" and found["degraded"] and found["model"] is None
        ids = [each["product_id"] for each in found["items"]]
        assert len(ids) == 3 and {int(each[1:]) % 5 for each in ids} == {1}
        shop.change(ids[0], in_stock=False)
        assert ids[0] not in shop.ids(filter={"category": "k1"}, limit=3)


# Whatever is asked


def test_a_thousand_random_requests_keep_every_rule(shop: Shop, blend: Blend) -> None:
    draw = np.random.default_rng(11)
    hidden, gone = {"p02", "p17"}, {"p08", "p23"}
    for each in sorted(hidden):
        shop.change(each, visible=False)
    for each in sorted(gone):
        shop.change(each, in_stock=False)
    for visitor in range(5):
        for product in draw.choice(30, 4, replace=False):
            shop.happens("view_item", f"p{product:02d}", session_id=f"v{visitor}")
    catalogue = blend.catalogue
    for _ in range(1000):
        body = random_request(draw)
        found = [each["product_id"] for each in shop.recommend(**body)["items"]]
        may = set(sellable(catalogue, body["filter"])) - hidden - gone
        may -= {*body["exclude_product_ids"], *body["product_ids"]}
        assert len(found) == len(set(found)) and set(found) <= may, body
        if body["placement"] not in ("buy_again", "recently_viewed"):
            assert len(found) == min(body["limit"], len(may)), body


def random_request(draw: np.random.Generator) -> dict[str, Any]:
    def some(most: int) -> list[str]:
        return [f"p{each:02d}" for each in draw.choice(30, int(draw.integers(0, most)), replace=False)]

    wanted: dict[str, Any] = {}
    if draw.random() < 0.5:
        wanted["category"] = [f"k{each}" for each in draw.choice(5, int(draw.integers(1, 4)), replace=False)]
    if draw.random() < 0.3:
        wanted["min_price"] = float(draw.integers(0, 12))
    if draw.random() < 0.3:
        wanted["max_price"] = float(draw.integers(4, 20))
    return {
        "customer_id": str(draw.choice(["ann", "dan", "eve", "nobody"])) if draw.random() < 0.7 else None,
        "session_id": f"v{draw.integers(0, 8)}" if draw.random() < 0.7 else None,
        "placement": str(draw.choice(["home", "product", "cart", "buy_again", "email", "trending", "other"])),
        "product_ids": some(4),
        "exclude_product_ids": some(8),
        "limit": int(draw.integers(1, 31)),
        "filter": wanted,
        "diversity": float(draw.choice([0.0, 0.3, 1.0])),
    }


def sellable(catalogue: Any, wanted: dict[str, Any]) -> list[str]:
    """The oracle: one product at a time."""
    found = []
    for position, product_id in enumerate(catalogue.product_ids.tolist()):
        price = catalogue.prices[position]
        if "category" in wanted and catalogue.categories[position] not in wanted["category"]:
            continue
        if "min_price" in wanted and not price >= wanted["min_price"]:
            continue
        if "max_price" in wanted and not price <= wanted["max_price"]:
            continue
        found.append(product_id)
    return found
