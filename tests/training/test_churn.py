"""Churn learns from browsing where every window has seen events, and only there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features import customer_activity, customer_browsing
from features.build import build
from features.offline import latest
from features.online import OnlineFeatures
from features.store import apply, materialize
from features.views import offered
from patron.models import activity, browsing
from patron.models.churn import EXPECTED, Churn
from patron.settings import Settings
from tests.shops import write_lake
from tests.training import browsers, shop
from tests.training.shop import START
from training.churn import ChurnJob, churned


def auc_of(job: ChurnJob, kind: str) -> float:
    return job.judge(job.fit(kind, shipped=False)).metrics["roc_auc"]


def opened(home: Path, tables: dict[str, Any], cutoffs: Sequence[datetime] | None = None) -> Settings:
    """A home with the two views that churn is learned from."""
    write_lake(home, **tables)
    shop.small_configs(home)
    settings = shop.settings_of(home)
    build(settings, cutoffs, [customer_activity.VIEW, customer_browsing.VIEW])
    apply(settings)
    return settings


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A shop with events, its features built and loaded."""
    settings = opened(tmp_path_factory.mktemp("watched"), browsers.tables())
    materialize(settings)
    return settings


@pytest.fixture(scope="module")
def job(watched: Settings) -> ChurnJob:
    return ChurnJob(watched)


def without_browsing(job: ChurnJob) -> ChurnJob:
    other = ChurnJob(job.settings)
    other.browsing = ()
    return other


def test_what_is_read_of_browsing_is_offered():
    found = browsing.references(browsing.TYPES)
    assert found.items() <= offered().items()


@pytest.mark.parametrize("kind", ["lightgbm", "logistic"])
def test_what_only_browsing_shows_is_learned(job: ChurnJob, kind: str):
    """The coin is fair, and one in eight customers browses against it."""
    blind = auc_of(without_browsing(job), kind)
    assert abs(blind - 0.5) < 0.15
    assert auc_of(job, kind) > 0.8


def test_the_model_names_what_it_reads_and_says_it_in_words(job: ChurnJob, tmp_path: Path):
    model = job.fit("lightgbm", shipped=True)
    assert browsing.references(browsing.TYPES).items() <= job.references(model).items()
    model.save(tmp_path)
    rows = latest(job.settings, list(model.references))
    loaded = Churn.load(tmp_path)
    assert loaded.references == model.references
    assert loaded.predict(rows.columns).tobytes() == model.predict(rows.columns).tobytes()
    told = {
        each.text for reasons in model.reasons(rows.columns) for each in reasons if each.code == "browsing"
    }
    assert "looked at nothing for 30 days" in told
    assert any("product views in the last 7 days" in each for each in told)


def test_one_customer_and_many_are_answered_alike_from_the_online_store(job: ChurnJob):
    model = job.fit("lightgbm", shipped=True)
    wanted = list(model.references)
    batch, online = latest(job.settings, wanted), OnlineFeatures(job.settings)
    live = online.read(batch.ids, wanted)
    expected = model.predict(batch.columns)
    assert model.predict(live.columns).tobytes() == expected.tobytes()
    reasons, statuses = model.reasons(batch.columns), model.statuses(batch.columns)
    lacking = np.isnan(batch.columns[browsing.LAST])
    assert 0 < lacking.sum() < len(batch)
    for place, name in enumerate(batch.ids):
        found = model.judge(online.read([name], wanted).columns)
        if statuses[place] == "scored":
            assert (found.probability, found.reasons) == (expected[place], reasons[place])


def test_a_champion_that_reads_browsing_is_judged_where_there_is_none(job: ChurnJob):
    model = job.fit("lightgbm", shipped=False)
    other = without_browsing(job)
    assert 0 < other.judge(model).metrics["brier"] < 1


def test_a_shop_without_events_trains_what_it_trained_before(tmp_path: Path):
    """The names and the bytes of the trees are those of a model that knows nothing of browsing."""
    tables = browsers.tables(customers=60)
    settings = opened(tmp_path, {**tables, "events": []})
    job = ChurnJob(settings)
    model = job.fit("lightgbm", shipped=False)
    assert job.inputs() == list(activity.references(activity.TYPES))
    assert model.references == activity.references(activity.TYPES)
    assert model.names == activity.INPUTS + activity.DERIVED + EXPECTED
    past = [job.data[each] for each in job.judged.known]
    rows = {name: np.concatenate([each.rows.columns[name] for each in past]) for name in activity.TYPES}
    alone = Churn(model.config).fit(
        rows,
        np.concatenate([churned(each) for each in past]),
        job.horizon_days,
        seed=settings.seed,
        threads=1,
    )
    assert model.scorer.text == alone.scorer.text


def test_events_of_some_windows_alone_are_not_learned_from(tmp_path: Path):
    tables = browsers.tables(customers=60)
    late = START + timedelta(days=150)
    events = [each for each in tables["events"] if each["occurred_at"] > late]
    settings = opened(tmp_path, {**tables, "events": events})
    assert ChurnJob(settings).browsing == ()


def test_an_artifact_of_before_opens(job: ChurnJob, tmp_path: Path):
    model = without_browsing(job).fit("lightgbm", shipped=False)
    model.save(tmp_path)
    document = json.loads((tmp_path / "churn.json").read_text())
    del document["browsing"]
    (tmp_path / "churn.json").write_text(json.dumps(document))
    rows = job.data[job.test].rows.columns
    assert Churn.load(tmp_path).predict(rows).tobytes() == model.predict(rows).tobytes()


# Nothing of the future


@pytest.fixture(scope="module")
def before_and_after(tmp_path_factory: pytest.TempPathFactory) -> list[ChurnJob]:
    """The same cutoffs without and with what happened from the newest of them on: guests among it who sign in
    to sessions of before."""
    whole = browsers.tables(customers=60)
    cutoffs = [START + timedelta(days=28 * each) for each in range(2, 9)]
    end, found = cutoffs[-1], []
    guest = {"session_id": "g", "name": "view_item", "product_id": "p0", "event_id": "g"}
    events = [*whole["events"], {**guest, "occurred_at": end - timedelta(days=2)}]
    signs_in = {**guest, "event_id": "h", "customer_id": "c001", "occurred_at": end + timedelta(seconds=1)}
    on_it = {
        "name": "add_to_cart",
        "product_id": "p0",
        "customer_id": "c002",
        "event_id": "i",
        "occurred_at": end,
    }
    known = {
        **whole,
        "order_lines": [each for each in whole["order_lines"] if each["ordered_at"] < end],
        "events": [each for each in events if each["occurred_at"] < end],
    }
    for tables in (known, {**whole, "events": [*events, signs_in, on_it]}):
        found.append(ChurnJob(opened(tmp_path_factory.mktemp("lake"), tables, cutoffs)))
    return found


def test_later_events_change_no_byte_of_what_is_learned_from(before_and_after: list[ChurnJob]):
    then, now = before_and_after
    assert then.browsing == now.browsing == tuple(browsing.TYPES)
    assert then.data.keys() == now.data.keys()
    one, other = (each.fit("lightgbm", shipped=True) for each in before_and_after)
    for cutoff, each in then.data.items():
        assert each.rows.ids == now.data[cutoff].rows.ids
        mine, theirs = (
            made.inputs(data.rows.columns) for made, data in ((one, each), (other, now.data[cutoff]))
        )
        assert mine.shape[1] == len(one.names) and mine.tobytes() == theirs.tobytes()
    assert one.scorer.text == other.scorer.text


@pytest.mark.parametrize("kind", ["lightgbm", "logistic"])
def test_browsing_that_knows_the_future_is_seen(job: ChurnJob, kind: str):
    other = ChurnJob(job.settings)

    def planted(customers: Any) -> Any:
        columns = {**customers.rows.columns, browsing.LAST: churned(customers) * 20}
        return replace(customers, rows=replace(customers.rows, columns=columns))

    other.data = {cutoff: planted(each) for cutoff, each in job.data.items()}
    assert auc_of(other, kind) > 0.95
