"""What the shop said since a model was fitted lies over its catalogue, and nothing that it knows already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from patron.events.log import EventLog
from patron.models.catalogue import Catalogue
from serving.bootstrap import Served
from serving.live import LiveProducts


class Fake:
    """A recommender that is nothing but its catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def with_catalogue(self, catalogue: Catalogue) -> Any:
        return Fake(catalogue)


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path)


def served(**event_log: Any) -> Served:
    return Served("patron-recommender", "1", Fake(Catalogue.of(np.array(["a", "b"]))), event_log or None)


def test_the_last_word_on_each_field_counts(log: EventLog) -> None:
    live, model = LiveProducts(log), served()
    assert live.blend(model) == (model.model, True)
    log.update("products", "a", {"price": 3.5, "in_stock": False})
    log.update("products", "a", {"in_stock": True, "title": "A longer title"})
    log.update("products", "unknown", {"price": 1.0})
    log.update("offers", "b", {"cost": 1.0})
    found = live.blend(model)[0].catalogue
    assert found.prices[0] == 3.5 and found.available.all() and found.titles[0] == "A longer title"
    assert live.blend(model)[0] is live.blend(model)[0]
    assert live.known()["a"] == {"price": 3.5, "in_stock": True, "title": "A longer title"}
    log.update("products", "a", {"price": None})
    assert live.known()["a"]["price"] is None  # who looks first takes nothing from the others
    assert np.isnan(live.blend(model)[0].catalogue.prices[0])


def test_what_was_in_the_lake_when_the_model_was_fitted_is_not_said_again(log: EventLog) -> None:
    before = log.update("products", "a", {"in_stock": False})
    log.update("products", "b", {"in_stock": False})
    live = LiveProducts(log)
    knows = served(log_id=log.log_id(), events=0, updates=before)
    assert live.blend(knows)[0].catalogue.available.tolist() == [True, False]
    other = served(log_id="another log", events=0, updates=before)
    assert live.blend(other)[0].catalogue.available.tolist() == [False, False]
    assert live.blend(knows)[0].catalogue.available.tolist() == [True, False]


def test_while_nothing_can_be_read_the_last_look_holds(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, model = LiveProducts(log), served()
    log.update("products", "a", {"in_stock": False})
    assert live.blend(model)[0].catalogue.available.tolist() == [False, True]

    def gone(*_: Any) -> Any:
        raise OSError("disk")

    monkeypatch.setattr(log, "updates", gone)
    for each in (model, served(), model):  # another model is no reason to forget
        found, fresh = live.blend(each)
        assert not fresh and found.catalogue.available.tolist() == [False, True]
    assert live.known() == live.remembered == {"a": {"in_stock": False}}


def test_one_long_title_does_not_widen_all_others(log: EventLog) -> None:
    live, model = LiveProducts(log), served()
    log.update("products", "a", {"title": "x" * 500})
    titles = live.blend(model)[0].catalogue.titles
    assert titles[0] == "x" * 500 and titles.nbytes < 100
