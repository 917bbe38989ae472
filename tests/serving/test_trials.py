"""Experiments in answers: the arm decides, is named and noted; what does not run changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from patron.errors import ArtifactError, ConfigurationError
from patron.experiments.exposures import Exposure, ExposureLog
from patron.models.blend import Blend
from serving.bootstrap import Served, open_version
from serving.keys import create
from serving.service import build
from serving.trials import Trials, of_offers
from tests.serving.fakes import FakeFeatures, parts_of
from tests.serving.in_process import started
from tests.serving.shop import recommender, tables
from tests.serving.test_storefront import CUSTOMERS, Shop

FILE = """
target = "{target}"
enabled = {enabled}
arms = [{{ name = "control", share = {control} }}, {{ name = "other", share = {other}{parameters} }}]
"""


def write(
    folder: Path,
    parameters: str = "",
    enabled: str = "true",
    target: str = "placement:home",
    shares: tuple[float, float] = (0.001, 0.999),
) -> None:
    """An experiment of which nearly everybody is in the arm `other`."""
    text = FILE.format(
        target=target,
        enabled=enabled,
        control=shares[0],
        other=shares[1],
        parameters=f", parameters = {{ {parameters} }}" if parameters else "",
    )
    folder.mkdir(exist_ok=True)
    (folder / "trial.toml").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def blend() -> Blend:
    return recommender(tables())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "experiments"


@pytest.fixture
def shop(tmp_path: Path, folder: Path, blend: Blend) -> Iterator[Shop]:
    parts = parts_of(tmp_path, FakeFeatures(CUSTOMERS), recommender=blend)
    parts.trials = Trials(folder, parts.trials.exposures)
    key = create(tmp_path / "keys.json", "tests", ["storefront", "crm"])[0]
    with started(build(lambda: parts).to_asgi()) as client:
        yield Shop(client, parts, key)


def exposures(shop: Shop) -> list[Exposure]:
    log: ExposureLog = shop.parts.trials.exposures
    log.flush()
    return log.of("trial")


def runs(shop: Shop, folder: Path, parameters: str = "", enabled: str = "true") -> None:
    write(folder, parameters, enabled)
    assert shop.parts.trials.look()


def test_what_does_not_run_changes_nothing(shop: Shop, folder: Path) -> None:
    before = shop.recommend(customer_id="ann")
    runs(shop, folder, 'serve = "popular"', enabled="false")
    after = shop.recommend(customer_id="ann")
    assert before["items"] == after["items"]
    assert before["experiment"] is None and after["experiment"] is None
    assert exposures(shop) == []


def test_an_arm_overrides_the_rules_and_is_named_and_noted(shop: Shop, folder: Path) -> None:
    usual = shop.ids(customer_id="ann")
    runs(shop, folder, 'pins = [{ product_id = "p20", rank = 1 }]')
    found = shop.recommend(customer_id="ann")
    assert found["experiment"] == "trial:other"
    assert found["items"][0]["product_id"] == "p20" != usual[0]
    [exposure] = exposures(shop)
    assert (exposure.unit, exposure.kind, exposure.arm) == ("ann", "customer", "other")
    [answer] = shop.parts.trials.exposures.answers("trial")
    assert (answer.recommendation_id, answer.rung) == (found["recommendation_id"], "personal")
    assert shop.recommend(customer_id="ann", placement="cart")["experiment"] is None


def test_popular_products_can_be_the_control(shop: Shop, folder: Path) -> None:
    popular = shop.ids(session_id="nobody")
    runs(shop, folder, 'serve = "popular"')
    found = shop.recommend(customer_id="ann")
    assert (found["fallback"], found["degraded"]) == ("popular", False)
    assert [each["product_id"] for each in found["items"]] == popular


def test_a_guest_is_a_session_and_a_customer_who_signed_in_a_customer(shop: Shop, folder: Path) -> None:
    runs(shop, folder)
    assert shop.recommend(session_id="s1")["experiment"] == "trial:other"
    shop.happens("view_item", "p00", session_id="s2", customer_id="ann")
    shop.recommend(session_id="s2")
    assert {(each.unit, each.kind) for each in exposures(shop)} == {("s1", "session"), ("ann", "customer")}


def test_who_refuses_or_is_not_named_takes_no_part(shop: Shop, folder: Path) -> None:
    usual = shop.ids(customer_id="dan")
    runs(shop, folder, 'pins = [{ product_id = "p20", rank = 1 }]')
    found = shop.recommend(customer_id="dan", session_id="s9")
    assert found["experiment"] is None
    assert [each["product_id"] for each in found["items"]] == usual
    assert shop.recommend()["experiment"] is None
    assert exposures(shop) == []


def test_another_version_of_the_model_can_be_tried(shop: Shop, folder: Path, blend: Blend) -> None:
    opened = {"2": Served("patron-recommender", "2", blend)}
    write(folder, 'version = "2"', target="model:recommender")
    shop.parts.trials = Trials(folder, shop.parts.trials.exposures, opened.__getitem__)
    found = shop.recommend(customer_id="ann", placement="cart")
    assert (found["experiment"], found["model"]["version"]) == ("trial:other", "2")
    shop.change("p05", in_stock=False)  # what the shop says holds in every version
    assert "p05" not in shop.ids(customer_id="ann", limit=30)
    ranked = shop.send("POST", "/v1/rankings", {"customer_id": "ann", "product_ids": ["p01", "p00"]}, 200)
    assert ranked["model"]["version"] == "7"


def test_an_experiment_whose_model_cannot_be_had_does_not_run(
    shop: Shop, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs(shop, folder, 'version = "2"')
    assert "does not run" in caplog.text
    assert shop.recommend(customer_id="ann")["experiment"] is None
    with pytest.raises(ArtifactError, match="promote recommender 2 --only-keep"):
        open_version(shop.parts.settings, "patron-recommender", "2")


def test_a_broken_file_leaves_the_old_experiments_running(shop: Shop, folder: Path) -> None:
    runs(shop, folder)
    (folder / "trial.toml").write_text("target = ", encoding="utf-8")
    assert not shop.parts.trials.look()
    assert shop.recommend(customer_id="ann")["experiment"] == "trial:other"
    (folder / "trial.toml").unlink()
    assert shop.parts.trials.look()
    assert shop.recommend(customer_id="ann")["experiment"] is None
    with pytest.raises(ConfigurationError):
        (folder / "trial.toml").write_text("target = ", encoding="utf-8")
        Trials(folder, shop.parts.trials.exposures)


def test_a_change_is_taken_over_while_it_answers(shop: Shop, folder: Path) -> None:
    """By the thread that looks for newer models, within its seconds."""
    write(folder)
    deadline = time.monotonic() + 30
    while shop.recommend(customer_id="ann")["experiment"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_offers_ask_for_an_arm_of_their_own(shop: Shop, folder: Path) -> None:
    assert of_offers(shop.parts, "ann") is None
    write(folder, 'policy = "none"', target="policy:offers")
    shop.parts.trials.look()
    found = of_offers(shop.parts, "ann")
    assert found is not None
    assert (found.label, dict(found.parameters)) == ("trial:other", {"policy": "none"})
    assert [each.unit for each in exposures(shop)] == ["ann"]
