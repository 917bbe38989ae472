"""Opening parts: what is broken is named and not served, and the rest is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from features.views import offered
from patron.artifacts import NAMES
from patron.errors import ArtifactError, PatronError
from patron.settings import Settings
from serving.bootstrap import open_champion, open_models
from serving.keys import create
from serving.service import build
from tests.serving.fakes import FakeFeatures, parts_of
from tests.serving.in_process import started
from tests.serving.shop import promote, recommender, settings_of, tables


@pytest.fixture
def copied(shop: Settings, tmp_path: Path) -> Settings:
    shutil.copytree(shop.models, tmp_path / "models")
    return settings_of(tmp_path)


def test_a_changed_artifact_is_named_and_the_others_are_served(copied: Settings) -> None:
    file = copied.models / "patron-churn" / "1" / "churn.json"
    file.write_text(file.read_text() + " ")
    missing: dict[str, PatronError] = {}
    found = open_models(copied, None, missing)
    assert set(found) == set(NAMES) - {"patron-churn"}
    assert isinstance(missing["patron-churn"], ArtifactError)


def test_an_artifact_that_reads_what_is_not_offered_is_refused(copied: Settings) -> None:
    lacking = set(offered()) - {"customer_activity:recency_days"}
    with pytest.raises(ArtifactError, match="customer_activity:recency_days"):
        open_champion(copied, "patron-churn", lacking)
    assert open_champion(copied, "patron-churn", set(offered())).version == "1"


def test_an_artifact_of_a_foreign_class_is_refused(copied: Settings) -> None:
    folder = copied.models / "patron-churn"
    manifest = json.loads((folder / "1" / "manifest.json").read_text()) | {"model": "os:system"}
    (folder / "1" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError):
        open_champion(copied, "patron-churn", None)


def test_recommendations_outlive_a_broken_store_and_say_so(tmp_path: Path) -> None:
    parts = parts_of(tmp_path, FakeFeatures({}, error=OSError("disk")), recommender=recommender(tables()))
    key = create(tmp_path / "keys.json", "tests", ["storefront"])[0]
    with started(build(lambda: parts).to_asgi()) as client:
        found = client.post(
            "/v1/recommendations", json={"customer_id": "ann"}, headers={"X-API-Key": key}
        ).json()
    assert found["degraded"] is True and found["fallback"] == "popular" and len(found["items"]) == 10


def test_a_promoted_version_is_the_one_that_opens(copied: Settings) -> None:
    promote(copied, "patron-recommender", recommender(tables()), version="2")
    assert open_champion(copied, "patron-recommender", None).version == "2"
