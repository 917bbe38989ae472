"""Drift: silent where nothing changed, or what changed is usual; an alarm for what breaks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from patron.errors import DataError
from patron.models.drift import FILE, LEVEL, Reference, compared, drift_of

START = datetime(2024, 1, 1, tzinfo=UTC)
STEP = timedelta(days=14)
NAN = float("nan")


def columns(rng, customers=400):
    region = np.empty(customers, dtype=object)
    region[:] = rng.choice(["north", "south", None], customers, p=[0.5, 0.4, 0.1])
    spend = rng.lognormal(4, 1, customers)
    spend[rng.random(customers) < 0.2] = NAN
    return {
        "spend": spend,
        "orders": rng.poisson(2, customers).astype(np.float64),
        "agreed": rng.random(customers) < 0.7,
        "region": region,
        "price": np.full(customers, 5.0),
    }


def at(moment: int) -> datetime:
    return START + moment * STEP


def history(moments, change=lambda found, moment: found, customers=400, seed=0):
    """A reference of a shop that was seen at so many moments; the first half is the fit."""
    rng = np.random.default_rng(seed)
    parts = [change(columns(rng, customers), moment) for moment in range(moments)]
    together = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    seconds = np.repeat([at(moment).timestamp() for moment in range(moments)], customers)
    return Reference.fit(together, 1, seconds, np.unique(seconds)[: max(1, moments // 2)])


def alarms(found):
    return {each.name for each in found if each.alarm}


def test_where_nothing_changed_alarms_come_at_the_nominal_rate():
    raised = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        raised += bool(alarms(Reference.fit(columns(rng), seed).compare(columns(rng, 300))))
    assert 0.1 * LEVEL <= raised / 200 <= 2 * LEVEL


def test_where_nothing_changed_for_long_alarms_are_rarer_still():
    raised = sum(
        bool(alarms(history(8, seed=seed).compare(columns(np.random.default_rng(900 + seed)), at(8))))
        for seed in range(50)
    )
    assert raised <= 2


def shifted(name, values):
    return {**columns(np.random.default_rng(77)), name: values(columns(np.random.default_rng(77))[name])}


def unseen(values):
    found = values.copy()
    found[:60] = "west"
    return found


BROKEN = {
    "cents for euros": ("spend", lambda values: values * 100),
    "half as much again": ("spend", lambda values: values * 1.5),
    "all missing": ("spend", lambda values: values * NAN),
    "some missing": ("spend", lambda values: np.where(np.arange(len(values)) % 5 == 0, NAN, values)),
    "all the same": ("orders", lambda values: values * 0 + 1),
    "a new category": ("region", unseen),
    "a constant that is another": ("price", lambda values: values + 0.5),
    "a constant that goes": ("price", lambda values: values * NAN),
    "a flag turned round": ("agreed", lambda values: ~values),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("moments", [None, 8])
def test_what_breaks_is_an_alarm_and_nothing_else_is(what, moments):
    name, values = BROKEN[what]
    reference = Reference.fit(columns(np.random.default_rng(3)), 1) if moments is None else history(moments)
    found = reference.compare(shifted(name, values), at(8))
    assert alarms(found) == {name}
    assert found[0].name == name
    assert found[0].psi > found[0].threshold >= max(found[0].chance, found[0].usual) > 0 or name == "price"


def test_missing_values_that_come_are_an_alarm():
    reference = Reference.fit({"spend": np.full(100, NAN)}, 1)
    assert alarms(reference.compare({"spend": np.full(100, NAN)})) == set()
    found = reference.compare({"spend": np.arange(100.0)})
    assert alarms(found) == {"spend"}
    assert "100.0% -> 0.0%" in found[0].change


def growing(found, moment):
    return {**found, "spend": found["spend"] * 1.08**moment}


def test_a_steady_trend_is_usual_and_a_jump_in_it_is_not():
    reference = history(12, growing, seed=4)
    later = growing(columns(np.random.default_rng(5)), 12)
    against_the_fit = list(reference.looks("spend", later["spend"], at(12), 0.01, rng()))
    assert max(each.psi for each in against_the_fit if each.against == "fit") > 0.25
    assert alarms(reference.compare(later, at(12))) == set()
    jumped = {**later, "spend": later["spend"] * 1.6}
    assert alarms(reference.compare(jumped, at(12))) == {"spend"}


def rng():
    return np.random.default_rng(1)


def seasonal(found, moment):
    return {**found, "orders": found["orders"] + (moment % 4 == 3)}


def test_a_season_that_was_seen_is_no_alarm():
    reference = history(12, seasonal)
    assert alarms(reference.compare(seasonal(columns(np.random.default_rng(6)), 15), at(15))) == set()
    lost = {**columns(np.random.default_rng(6)), "orders": np.zeros(400)}
    assert alarms(reference.compare(lost, at(12))) == {"orders"}


def test_with_few_moments_the_convention_stands_in():
    slight = shifted("spend", lambda values: values * 1.3)
    assert alarms(Reference.fit(columns(np.random.default_rng(3), 4000), 1).compare(slight)) == {"spend"}
    assert alarms(history(2, customers=4000).compare(slight, at(2))) == set()


def test_the_answer_is_the_same_for_the_same_rows():
    given = columns(np.random.default_rng(9), 25_000)
    reference = history(5)
    assert reference.compare(given, at(6)) == reference.compare(given, at(6))


def test_a_document_is_read_back_and_is_json():
    reference = history(6)
    again = Reference.of(json.loads(json.dumps(reference.document(), allow_nan=False)))
    given = shifted("orders", lambda values: values + 2)
    assert again.compare(given, at(7)) == reference.compare(given, at(7))
    assert again.document() == reference.document()


def test_lists_are_left_out_and_columns_may_be_absent():
    lists = np.empty(2, dtype=object)
    lists[:] = [np.arange(2), np.arange(3)]
    reference = Reference.fit({"own": lists, "orders": np.ones(2)}, 1)
    assert set(reference.columns) == {"orders"}
    assert reference.compare({"own": lists}) == []
    assert reference.compare({"orders": np.zeros(0)}) == []


def test_a_reference_of_nobody_is_refused():
    with pytest.raises(DataError, match="at least one row"):
        Reference.fit({"orders": np.zeros(0)}, 1)


@dataclass
class FewRows:
    columns: dict
    as_of: datetime | None = None


def test_an_artifact_without_a_reference_has_nothing_to_say(tmp_path):
    assert drift_of(tmp_path, FewRows({"orders": np.ones(3)}), {"churn_probability": [0.1] * 3}) is None


def test_only_customers_with_a_score_are_compared(tmp_path):
    given = columns(np.random.default_rng(3))
    scores = {"churn_probability": np.linspace(0, 1, 400)}
    parts = {"features": Reference.fit(given, 1), "scores": Reference.fit(scores, 1)}
    (tmp_path / FILE).write_text(json.dumps({part: each.document() for part, each in parts.items()}))
    more = {name: np.concatenate([each, np.repeat(each[:1], 300)]) for name, each in given.items()}
    said = [*scores["churn_probability"].tolist(), *[None] * 300]
    found = drift_of(tmp_path, FewRows(more, at(1)), {"churn_probability": said})
    assert found["customers"] == 400
    assert found["alarms"] == []
    assert found["max_psi"] == 0
    assert found["as_of"] == "2024-01-15T00:00:00+00:00"
    assert [each["name"] for each in found["scores"]] == ["churn_probability"]
    json.dumps(found, allow_nan=False)


def test_alarms_say_what_moved_and_by_how_much():
    reference = Reference.fit(columns(np.random.default_rng(3)), 1)
    found = compared({"features": reference}, {"features": shifted(*BROKEN["a new category"])}, None)
    assert len(found["alarms"]) == 1
    assert found["alarms"][0].startswith("region: share unseen before: 0.0% -> 15.0% (PSI ")
    assert found["max_psi"] == found["features"][0]["psi"]
