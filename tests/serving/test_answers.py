"""What the running service answers about the small shop."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest

from patron.settings import Settings
from tests.serving.conftest import Client
from tests.serving.shop import END


def test_ready_says_what_is_loaded(client: Client) -> None:
    found = client.get("/readyz").json()
    assert found["status"] == "ready"
    assert found["models"]["patron-churn"] == "1"
    assert datetime.fromisoformat(found["features_as_of"]) == END


def test_recommendations_for_a_known_customer_are_personal(client: Client) -> None:
    found = client.post("recommendations", {"customer_id": "ann", "limit": 5, "explain": True}).json()
    assert found["fallback"] is None and found["degraded"] is False and found["experiment"] is None
    assert [each["rank"] for each in found["items"]] == [1, 2, 3, 4, 5]
    assert {"p00", "p01"} & {each["product_id"] for each in found["items"][:2]}
    assert all(each["reasons"] for each in found["items"])
    assert found["model"] == {"name": "patron-recommender", "version": "1"}
    assert datetime.fromisoformat(found["features_as_of"]) == END


def test_an_unknown_customer_gets_popular_products(client: Client) -> None:
    found = client.post("recommendations", {"customer_id": "nobody"}).json()
    assert found["fallback"] == "popular" and found["degraded"] is False
    assert len(found["items"]) == 10


def test_a_stranger_on_a_page_gets_similar_products(client: Client) -> None:
    found = client.post(
        "recommendations", {"placement": "product", "product_ids": ["p00"], "limit": 3}
    ).json()
    assert found["fallback"] == "similar"
    assert found["items"][0]["product_id"] == "p01"


def test_no_consent_no_personal_recommendations(client: Client) -> None:
    found = client.post("recommendations", {"customer_id": "dan"}).json()
    assert found["fallback"] == "popular"


def test_filters_apply_before_the_cut(client: Client) -> None:
    body = {"customer_id": "ann", "limit": 6, "filter": {"category": ["k1", "k2"], "max_price": 8}}
    found = client.post("recommendations", body).json()["items"]
    assert len(found) == 6
    assert {int(each["product_id"][1:]) % 5 for each in found} == {1, 2}
    one = client.post("recommendations", {"customer_id": "ann", "filter": {"brand": "Leaf"}}).json()["items"]
    assert {each["product_id"] for each in one} == {"p00", "p01", "p02"}


def test_the_basket_and_what_is_excluded_never_return(client: Client) -> None:
    body = {"customer_id": "ann", "limit": 100, "product_ids": ["p00"], "exclude_product_ids": ["p01"]}
    found = {each["product_id"] for each in client.post("recommendations", body).json()["items"]}
    assert len(found) == 28 and not found & {"p00", "p01"}


def test_diversity_changes_categories_first(client: Client) -> None:
    body = {"limit": 5, "diversity": 1.0}
    found = client.post("recommendations", body).json()["items"]
    assert len({int(each["product_id"][1:]) % 5 for each in found}) == 5


@pytest.mark.parametrize("kind", ["similar", "bought_together"])
def test_similar_products(client: Client, kind: str) -> None:
    found = client.post("similar-products", {"product_id": "p00", "kind": kind, "limit": 3}).json()
    assert found["items"][0]["product_id"] == "p01" and found["fallback"] is None
    assert "p00" not in {each["product_id"] for each in found["items"]}


def test_an_unknown_product_is_answered_by_popular_ones(client: Client) -> None:
    found = client.post("similar-products", {"product_id": "none such"}).json()
    assert found["fallback"] == "popular" and found["items"]


def test_churn_scores_keep_order_and_say_their_status(client: Client) -> None:
    found = client.post("churn-scores", {"customer_ids": ["ann", "nobody", "bob", "eve", "ann"]}).json()
    scores = found["scores"]
    assert [each["customer_id"] for each in scores] == ["ann", "nobody", "bob", "eve", "ann"]
    assert [each["status"] for each in scores] == [
        "scored",
        "unknown",
        "already_churned",
        "unknown",
        "scored",
    ]
    ann = scores[0]
    assert 0 < ann["churn_probability"] < 1 and ann["risk"] in ("low", "medium", "high") and ann["reasons"]
    wait = datetime.fromisoformat(ann["expected_next_order_at"]) - END
    assert timedelta(0) <= wait < timedelta(days=60)
    assert scores[1]["churn_probability"] is None and scores[1]["reasons"] == []
    assert ann["model"]["version"] == "1"


def test_lifetime_values_have_intervals_and_horizons(client: Client) -> None:
    usual = client.post("lifetime-values", {"customer_ids": ["ann", "nobody"]}).json()
    longer = client.post("lifetime-values", {"customer_ids": ["ann"], "horizon_days": 90}).json()
    ann, nobody = usual["values"]
    assert usual["horizon_days"] == 30 and longer["horizon_days"] == 90
    assert ann["interval"][0] <= ann["expected_value"] <= ann["interval"][1]
    assert longer["values"][0]["expected_value"] > ann["expected_value"] > 0
    assert longer["values"][0]["value_tier"] == ann["value_tier"]
    assert nobody["status"] == "unknown" and nobody["expected_value"] is None


def test_a_profile_is_of_one_moment(client: Client) -> None:
    found = client.get("/v1/customers/ann").json()
    assert (
        found["tier"] == "gold" and found["region"] == "north" and found["attributes"] == {"newsletter": True}
    )
    assert found["top_products"][0]["product_id"] in ("p00", "p01") and found["top_categories"]
    score = client.post("churn-scores", {"customer_ids": ["ann"]}).json()["scores"][0]
    assert found["churn"]["churn_probability"] == score["churn_probability"]
    assert found["expected_next_order_at"] == score["expected_next_order_at"]
    worth = client.post("lifetime-values", {"customer_ids": ["ann"]}).json()["values"][0]
    assert found["value"]["expected_value"] == worth["expected_value"]
    assert datetime.fromisoformat(found["features_as_of"]) == END
    assert found["segment"] and found["lifecycle_stage"] and found["missing"] == []
    assert found["next_best_action"]["offer_id"] == "coupon"


def test_a_profile_holds_a_portrait_in_words(client: Client) -> None:
    found = client.get("/v1/customers/ann").json()
    assert found["persona"]["rhythm"] == "weekly"
    assert found["persona"]["text"].startswith("Buys weekly")
    assert found["persona"]["top_categories"][0] == found["top_categories"][0]["category"]
    assert found["segment_reason"].startswith("R 5") and found["cluster"]
    assert found["loyalty"]["tier"] in ("bronze", "silver", "gold", "platinum")
    bob = client.get("/v1/customers/bob").json()
    assert bob["tier"] == bob["loyalty"]["tier"] == "bronze" and bob["loyalty"]["missing"]["orders_365d"] == 5
    assert bob["persona"]["rhythm"] == "one-off"


def decisions(shop: Settings) -> list[tuple[Any, ...]]:
    query = "select decision_id, customer_id, offers, channel, model_version, occurred_at from decisions"
    with closing(sqlite3.connect(f"file:{shop.events / 'decisions.db'}?mode=ro", uri=True)) as log:
        return log.execute(query).fetchall()


def test_a_decision_is_on_disk_before_it_is_answered(client: Client, shop: Settings) -> None:
    found = client.post("next-best-offers", {"customer_id": "ann", "channel": "web"}).json()
    assert len(found["offers"]) == 1 and found["offers"][0]["offer_id"] in ("coupon", "none")
    logged = {row[0]: row for row in decisions(shop)}[found["decision_id"]]
    assert logged[1] == "ann" and logged[3:] == ("web", "1", END.isoformat(timespec="microseconds"))
    offer = found["offers"][0]
    assert json.loads(logged[2]) == [{"offer_id": offer["offer_id"], "propensity": offer["propensity"]}]


def test_propensities_are_those_of_the_policy(client: Client) -> None:
    asked = [
        client.post("next-best-offers", {"customer_id": f"visitor-{each}", "channel": "web"}).json()
        for each in range(20)
    ]
    offers = {each["offers"][0]["offer_id"]: each["offers"][0]["propensity"] for each in asked}
    assert offers["coupon"] == pytest.approx(0.9)  # of two arms: 1 - epsilon + epsilon / 2
    assert offers.get("none", 0.1) == pytest.approx(0.1)


def test_who_wants_no_offers_gets_none(client: Client) -> None:
    offers = client.post("next-best-offers", {"customer_id": "cleo", "limit": 5}).json()["offers"]
    assert [(each["offer_id"], each["propensity"]) for each in offers] == [("none", 1.0)]
    assert client.get("/v1/customers/cleo").json()["next_best_action"]["offer_id"] == "none"


def test_a_stranger_is_decided_on_as_a_prospect(client: Client) -> None:
    found = client.post("next-best-offers", {"customer_id": "nobody"})
    assert found.status_code == 200 and found.json()["offers"]


def test_looking_at_a_profile_logs_nothing(client: Client, shop: Settings) -> None:
    client.post("next-best-offers", {"customer_id": "ann"})
    before = len(decisions(shop))
    client.get("/v1/customers/ann")
    assert len(decisions(shop)) == before


def test_a_customer_without_orders_has_a_profile(client: Client) -> None:
    found = client.get("/v1/customers/eve").json()
    assert found["tier"] == "basic" and found["top_products"] == []
    assert found["expected_next_order_at"] is None and found["lifecycle_stage"] == "prospect"
    assert found["churn"]["status"] == "unknown" and found["churn"]["churn_probability"] is None
    assert found["value"]["expected_value"] is None and found["value"]["reasons"] == []


def test_an_unknown_customer_is_404(client: Client) -> None:
    found = client.get("/v1/customers/nobody")
    assert found.status_code == 404 and found.json()["code"] == "no_such_customer"
    assert "nobody" not in found.text
