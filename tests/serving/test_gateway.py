"""Every way in which a request can be refused, in process."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving import gateway, keys
from serving.keys import create, revoke
from serving.service import build
from tests.serving.fakes import FakeChurn, FakeFeatures, parts_of
from tests.serving.in_process import InProcess, started

ENDPOINT = "/v1/churn-scores"
BODY = {"customer_ids": ["kim"]}


class Shop:
    """An in-process service over fakes, and a key of each scope."""

    def __init__(self, home: Path, client: InProcess, parts: Any) -> None:
        self.home, self.client, self.parts = home, client, parts
        self.crm = create(home / "keys.json", "crm", ["crm"])[0]
        self.storefront = create(home / "keys.json", "storefront", ["storefront"])[0]

    def post(self, body: Any = BODY, path: str = ENDPOINT, **headers: str) -> Any:
        sent = {"X-API-Key": self.crm, "Content-Type": "application/json", **headers}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, content=content, headers={k: v for k, v in sent.items() if v})


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(keys, "RECHECK_SECONDS", 0.05)
    features = FakeFeatures({"kim": {"return_share": 0.75, "orders_total": 3}})
    parts = parts_of(tmp_path, features, churn=FakeChurn())
    with started(build(lambda: parts).to_asgi()) as client:
        yield Shop(tmp_path, client, parts)


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The problem document, after what every one of them keeps."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["code"] == code and found["status"] == status
    assert {"type", "title", "detail", "instance"} <= set(found)
    assert found["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text and "kim" not in found["detail"]
    return found


def test_a_good_request_is_answered(shop: Shop) -> None:
    response = shop.post()
    assert response.status_code == 200 and response.headers["cache-control"] == "no-store"
    score = response.json()["scores"][0]
    assert score["churn_probability"] == 0.75 and score["risk"] == "high"
    assert score["expected_next_order_at"] == "2024-07-08T12:00:00Z"


def test_a_request_id_is_kept_where_it_is_well_formed(shop: Shop) -> None:
    assert shop.post(**{"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert len(shop.post(**{"X-Request-Id": "a b<script>"}).headers["x-request-id"]) == 32


@pytest.mark.parametrize("key", ["", "wrong", "patron_00000000_" + "0" * 64, "pätron"])
def test_without_a_live_key_nothing_is_answered(shop: Shop, key: str) -> None:
    problem(
        shop.client.post(ENDPOINT, json=BODY, headers={"X-API-Key": key.encode("latin-1")}), 401, "no_key"
    )


def test_a_key_of_another_scope_is_told_which_it_lacks(shop: Shop) -> None:
    assert "crm" in problem(shop.post(**{"X-API-Key": shop.storefront}), 403, "missing_scope")["detail"]


def test_admin_implies_no_other_scope(shop: Shop) -> None:
    admin = create(shop.home / "keys.json", "root", ["admin"])[0]
    time.sleep(0.1)
    problem(shop.post(**{"X-API-Key": admin}), 403, "missing_scope")


def test_a_revoked_key_is_refused_without_a_restart(shop: Shop) -> None:
    assert shop.post().status_code == 200
    revoke(shop.home / "keys.json", shop.crm.split("_")[1])
    time.sleep(0.1)
    problem(shop.post(), 401, "no_key")


def test_a_damaged_key_file_opens_nothing(shop: Shop) -> None:
    (shop.home / "keys.json").write_text("{")
    time.sleep(0.1)
    problem(shop.post(), 401, "no_key")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/healthz",
        "/schema.json",
        "/v1",
        "/v1/churn-scores/",
        "/static_content/swagger-ui.css",
        "//v1/churn-scores",
        "/v1/customers/a/preferences",
    ],
)
def test_other_routes_do_not_exist(shop: Shop, path: str) -> None:
    problem(shop.post(path=path), 404, "no_such_route")
    problem(shop.client.get(path, headers={"X-API-Key": shop.crm}), 404, "no_such_route")


def test_a_wrong_method_is_told_the_right_one(shop: Shop) -> None:
    response = shop.client.get(ENDPOINT, headers={"X-API-Key": shop.crm})
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    problem(shop.client.request("PUT", "/livez"), 405, "method_not_allowed")


@pytest.mark.parametrize("kind", ["", "text/plain", "multipart/form-data", "application/vnd.bentoml+pickle"])
def test_only_json_is_read(shop: Shop, kind: str) -> None:
    problem(shop.post(**{"Content-Type": kind}), 415, "not_json_type")


def test_a_charset_may_be_named_and_an_encoding_not(shop: Shop) -> None:
    assert shop.post(**{"Content-Type": "application/json; charset=utf-8"}).status_code == 200
    problem(shop.post(**{"Content-Encoding": "gzip"}), 415, "encoded")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"nope", b"[" * 1500])
def test_what_is_not_json_is_400(shop: Shop, body: bytes) -> None:
    problem(shop.post(body), 400, "not_json")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/customer_ids"),
        ([], ""),
        ({"customer_ids": []}, "/customer_ids"),
        ({"customer_ids": "kim"}, "/customer_ids"),
        ({"customer_ids": ["kim", 5]}, "/customer_ids/1"),
        ({"customer_ids": [""]}, "/customer_ids/0"),
        ({"customer_ids": ["kim"], "a/b~": 1}, "/a~1b~0"),
    ],
)
def test_mistakes_are_pointed_at(shop: Shop, body: Any, pointer: str) -> None:
    found = problem(shop.post(body), 422, "invalid")
    assert pointer in [each["pointer"] for each in found["errors"]]
    assert "kim" not in json.dumps(found)


def test_a_body_too_large_is_refused_however_it_is_sent(shop: Shop) -> None:
    body = json.dumps({"customer_ids": ["x" * 100] * 30}).encode()
    problem(shop.post(body), 413, "too_large")
    chunks = iter([body[:1000], body[1000:2000], body[2000:]])
    headers = {"X-API-Key": shop.crm, "Content-Type": "application/json"}
    problem(shop.client.post(ENDPOINT, content=chunks, headers=headers), 413, "too_large")


@pytest.mark.parametrize("host", [b"\xe9vil", b"a b", b"a/b", b"<script>", b""])
def test_a_malformed_host_is_400(shop: Shop, host: bytes) -> None:
    problem(shop.client.get("/readyz", headers={"Host": host}), 400, "bad_host")


def test_a_model_that_was_not_promoted_says_how_to(shop: Shop) -> None:
    response = shop.post({"customer_ids": ["kim"]}, "/v1/lifetime-values")
    assert "patron train lifetime-value" in problem(response, 503, "no_champion")["detail"]
    assert response.headers["retry-after"]


def test_a_broken_store_is_503_and_says_nothing_of_the_cause(shop: Shop) -> None:
    shop.parts.features.error = RuntimeError("secret path for kim")
    assert "secret" not in json.dumps(problem(shop.post(), 503, "features"))


def test_a_fault_of_ours_is_500_without_a_trace(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.parts.models["patron-churn"].model.risks = None
    problem(shop.post(), 500, "internal")


def test_an_answer_that_takes_too_long_is_503(shop: Shop) -> None:
    shop.parts.features.delay = 0.8
    response = shop.post()
    problem(response, 503, "timeout")
    assert response.headers["retry-after"] == "1"


def test_beyond_its_places_the_service_says_when_to_come_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "IN_FLIGHT_PER_CLIENT", 0)
    problem(shop.post(), 429, "too_many_requests")
    monkeypatch.setattr(gateway, "IN_FLIGHT", 0)
    response = shop.post()
    problem(response, 503, "overloaded")
    assert response.headers["retry-after"] == "1"


def test_open_pages_need_no_key(shop: Shop) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/docs.json"):
        assert shop.client.get(path).status_code == 200
    assert shop.client.request("HEAD", "/livez").status_code == 200


def test_not_ready_names_what_is_missing(tmp_path: Path) -> None:
    parts = parts_of(tmp_path)
    with started(build(lambda: parts).to_asgi()) as client:
        problem(client.get("/readyz"), 503, "not_ready")


def test_metrics_have_bounded_labels(shop: Shop) -> None:
    for path in ("/v1/customers/kim", "/v1/customers/bob", "/nowhere", "/elsewhere"):
        shop.client.get(path, headers={"X-API-Key": shop.crm})
    text = shop.client.get("/metrics").text
    assert 'patron_requests_total{operation="customer"' in text
    assert 'patron_requests_total{operation="other",status="404"} 2.0' in text
    assert "kim" not in text and "nowhere" not in text


def test_the_document_describes_every_route(shop: Shop) -> None:
    found = shop.client.get("/docs.json").json()
    pages = {"/livez", "/readyz", "/metrics", "/docs.json"}
    assert set(found["paths"]) == pages | {each.path for each in shop.client.app.operations}
    operation = found["paths"][ENDPOINT]["post"]
    assert operation["security"] == [{"key": []}]
    assert "application/problem+json" in operation["responses"]["422"]["content"]
    names = set(found["components"]["schemas"])
    for reference in references(found):
        assert reference.removeprefix("#/components/schemas/") in names


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def test_pages_of_the_shop_may_call_and_others_not(shop: Shop) -> None:
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    response = shop.client.request("OPTIONS", ENDPOINT, headers=asked)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "https://shop.example"
    refused = shop.client.request("OPTIONS", ENDPOINT, headers={**asked, "Origin": "https://evil.example"})
    problem(refused, 403, "origin")
    assert "access-control-allow-origin" not in refused.headers
    denied = shop.client.post(ENDPOINT, json=BODY, headers={"Origin": "https://shop.example"})
    problem(denied, 401, "no_key")
    assert denied.headers["access-control-allow-origin"] == "https://shop.example"
