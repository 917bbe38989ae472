"""Newer models and a store that comes back are taken over while the service answers."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from patron.settings import Settings
from serving.bootstrap import parts, stamp
from serving.keys import create
from serving.service import build
from tests.serving.in_process import InProcess, started
from tests.serving.shop import promote, recommender, settings_of, tables

SECONDS = 30


@pytest.fixture
def copied(shop: Settings, tmp_path: Path) -> Settings:
    for name in ("models", "online", "features"):
        shutil.copytree(shop.home / name, tmp_path / name)
    return settings_of(tmp_path, reload_seconds=0.1)


def asker(client: InProcess, settings: Settings) -> Callable[..., Any]:
    key = create(settings.home / "keys.json", "tests", ["storefront", "crm"])[0]

    def ask(**body: Any) -> Any:
        return client.post("/v1/recommendations", json=body, headers={"X-API-Key": key})

    return ask


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def smaller() -> Any:
    """The recommender of a shop that sells half as many products: whatever it answers can be told apart."""
    shop = tables()
    few = {f"p{each:02d}" for each in range(15)}
    return recommender(
        {
            **shop,
            "order_lines": [each for each in shop["order_lines"] if each["product_id"] in few],
            "products": [each for each in shop["products"] if each["product_id"] in few],
        }
    )


def test_a_new_champion_is_taken_over_with_no_answer_lost_or_mixed(copied: Settings) -> None:
    newer = smaller()
    with started(build(lambda: parts(copied)).to_asgi()) as client:
        ask, seen = asker(client, copied), []
        thread = threading.Timer(0.3, lambda: promote(copied, "patron-recommender", newer, version="2"))
        thread.start()
        deadline = time.monotonic() + SECONDS
        while not seen or seen[-1][0] != "2":
            assert time.monotonic() < deadline
            response = ask(customer_id="ann", limit=100)
            assert response.status_code == 200, response.text
            found = response.json()
            seen.append((found["model"]["version"], len(found["items"])))
        thread.join()
        assert set(seen) == {("1", 30), ("2", 15)}


def test_a_broken_champion_leaves_the_old_one_serving(copied: Settings) -> None:
    with started(build(lambda: parts(copied)).to_asgi()) as client:
        ask = asker(client, copied)
        folder = copied.models / "patron-recommender"
        before = stamp(folder)
        (folder / "1" / "catalogue.npz").write_bytes(b"not a catalogue")
        assert stamp(folder) != before
        time.sleep(0.5)
        found = ask(customer_id="ann").json()
        assert found["fallback"] is None and found["model"]["version"] == "1"


def test_a_missing_model_file_is_answered_around_and_its_return_noticed(copied: Settings) -> None:
    with started(build(lambda: parts(copied)).to_asgi()) as client:
        asker(client, copied)  # writes the list of last resort
    folder, aside = copied.models / "patron-recommender", copied.home / "aside"
    folder.rename(aside)
    with started(build(lambda: parts(copied)).to_asgi()) as client:
        key = {"X-API-Key": create(copied.home / "keys.json", "again", ["storefront"])[0]}
        body = {"customer_id": "ann"}
        found = client.post("/v1/recommendations", json=body, headers=key).json()
        assert found["fallback"] == "static" and found["degraded"] and len(found["items"]) == 10
        assert client.get("/readyz").json()["missing"]["patron-recommender"]
        aside.rename(folder)
        until(lambda: client.post("/v1/recommendations", json=body, headers=key).json()["fallback"] is None)
        assert client.get("/readyz").json()["missing"] == {}


def test_a_store_that_comes_later_is_found(copied: Settings) -> None:
    online, aside = copied.online, copied.home / "aside"
    online.rename(aside)
    with started(build(lambda: parts(copied)).to_asgi()) as client:
        ask = asker(client, copied)
        found = ask(customer_id="ann").json()
        assert found["fallback"] == "popular" and found["degraded"]
        shutil.rmtree(online, ignore_errors=True)
        aside.rename(online)
        until(lambda: ask(customer_id="ann").json()["fallback"] is None)
        assert not ask(customer_id="ann").json()["degraded"]
