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
    assert live.blend(model) is model.model
    log.update("products", "a", {"price": 3.5, "in_stock": False})
    log.update("products", "a", {"in_stock": True, "title": "A longer title"})
    log.update("products", "unknown", {"price": 1.0})
    log.update("offers", "b", {"cost": 1.0})
    found = live.blend(model).catalogue
    assert found.prices[0] == 3.5 and found.available.all() and found.titles[0] == "A longer title"
    assert live.blend(model) is live.blend(model)
    assert live.known()["a"] == {"price": 3.5, "in_stock": True, "title": "A longer title"}
    log.update("products", "a", {"price": None})
    assert np.isnan(live.blend(model).catalogue.prices[0])


def test_what_was_in_the_lake_when_the_model_was_fitted_is_not_said_again(log: EventLog) -> None:
    before = log.update("products", "a", {"in_stock": False})
    log.update("products", "b", {"in_stock": False})
    live = LiveProducts(log)
    knows = served(log_id=log.log_id(), events=0, updates=before)
    assert live.blend(knows).catalogue.available.tolist() == [True, False]
    other = served(log_id="another log", events=0, updates=before)
    assert live.blend(other).catalogue.available.tolist() == [False, False]
    assert live.blend(knows).catalogue.available.tolist() == [True, False]
