from __future__ import annotations

import numpy as np
import pytest

from patron.errors import DataError
from patron.models.segments import SEGMENTS, STAGES, Segments, SegmentsConfig
from tests.model_contract import ModelContract
from tests.patron.models.shop import head, missing, shop


def answers(model, rows):
    return [model.segment(rows), model.stage(rows)]


class TestSegments(ModelContract):
    name = "patron-offers"

    def fitted(self, seed):
        return Segments(SegmentsConfig(horizon_days=60)).fit(shop(400, seed=1).rows, seed=seed)

    def answers(self, model):
        return answers(model, shop(400, seed=3).rows)

    def answers_when_missing(self, model):
        return answers(model, missing(shop(5).rows))

    def answers_when_empty(self, model):
        return answers(model, head(shop(5).rows, 0))

    def test_every_name_is_known_and_most_are_used(self, model):
        segments, stages = self.answers(model)
        assert set(segments) <= set(SEGMENTS)
        assert len(set(segments)) >= 7
        assert set(stages) <= set(STAGES)
        assert len(set(stages)) >= 5


def person(recency, days, spend, tenure=300.0, gap=np.nan, year=None, quarter=0.0):
    return {
        "recency_days": recency,
        "purchase_days": days,
        "spend_total": spend,
        "tenure_days": tenure,
        "mean_gap_days": gap,
        "spend_365d": spend if year is None else year,
        "spend_90d": quarter,
    }


def rows(*people):
    return {name: np.array([each[name] for each in people], dtype=np.float64) for name in people[0]}


@pytest.fixture
def segments():
    model = Segments(SegmentsConfig(horizon_days=60))
    model.edges = {"recency": [10, 30, 60, 120], "frequency": [1, 2, 4, 8], "spend": [20, 50, 100, 500]}
    return model


@pytest.mark.parametrize(
    ("who", "segment"),
    [
        (person(5, 20, 900), "champions"),
        (person(45, 20, 900), "loyal"),
        (person(100, 20, 900), "cannot_lose"),
        (person(200, 5, 90), "at_risk"),
        (person(5, 1, 900), "new"),
        (person(20, 2, 40), "potential"),
        (person(20, 2, 10), "potential"),
        (person(45, 1, 10), "promising"),
        (person(45, 2, 40), "hibernating"),
        (person(90, 1, 10), "hibernating"),
        (person(200, 1, 10), "lost"),
        (person(np.nan, np.nan, np.nan), "new"),
    ],
)
def test_segment_rules(segments, who, segment):
    assert segments.segment(rows(who)).tolist() == [segment]


@pytest.mark.parametrize(
    ("who", "stage"),
    [
        (person(np.nan, 0, 0, tenure=np.nan), "prospect"),
        (person(400, 3, 90, tenure=500, gap=40), "lost"),
        (person(190, 3, 90, tenure=500, gap=100), "mature"),
        (person(100, 3, 90, tenure=500, gap=20), "declining"),
        (person(20, 9, 900, tenure=500, gap=30, quarter=50), "declining"),
        (person(20, 1, 50, tenure=20, quarter=50), "new"),
        (person(20, 9, 400, tenure=500, gap=30, quarter=200), "growing"),
        (person(20, 9, 400, tenure=500, gap=30, quarter=100), "mature"),
    ],
)
def test_stage_rules(segments, who, stage):
    assert segments.stage(rows(who)).tolist() == [stage]


def test_what_cannot_be_learned_is_said():
    with pytest.raises(DataError, match="None of 5 customers has an order"):
        Segments().fit(missing(shop(5).rows))
    with pytest.raises(DataError, match="not fitted"):
        Segments().segment(shop(5).rows)
