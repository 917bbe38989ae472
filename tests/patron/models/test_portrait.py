from __future__ import annotations

import numpy as np
import pytest

from patron.errors import DataError
from patron.models.persona import RHYTHMS
from patron.models.portrait import PROSPECT, Portrait, PortraitConfig
from patron.models.segments import SEGMENTS, STAGES, SegmentsConfig
from tests.model_contract import ModelContract
from tests.patron.models.shop import head, missing, shop


def answers(model, rows):
    loyalty = model.loyalty(rows)
    return [
        model.segment(rows),
        model.stage(rows),
        model.cluster(rows),
        model.worth(rows),
        model.why(rows),
        loyalty.tier,
        loyalty.next_tier,
        loyalty.missing,
        model.personas(rows),
    ]


class TestPortrait(ModelContract):
    name = "patron-portrait"

    def fitted(self, seed):
        made = shop(400, seed=1)
        model = Portrait(PortraitConfig(segments=SegmentsConfig(horizon_days=60)))
        model.fit(made.rows, seed=seed)
        return model.weigh(model.groups(made.rows).tolist(), made.revenue)

    def answers(self, model):
        return answers(model, shop(400, seed=3).rows)

    def answers_when_missing(self, model):
        return answers(model, missing(shop(5).rows))

    def answers_when_empty(self, model):
        return answers(model, head(shop(5).rows, 0))

    def test_every_name_is_known_and_most_are_used(self, model):
        segments, stages, clusters, _, _, tiers, _, _, personas = self.answers(model)
        assert set(segments) <= set(SEGMENTS) and len(set(segments)) >= 7
        assert set(stages) <= set(STAGES) and len(set(stages)) >= 5
        assert set(clusters) == set(model.clusters.names)
        assert set(tiers) <= {each.name for each in model.config.tiers.tiers}
        assert {each.rhythm for each in personas} <= set(RHYTHMS)

    def test_who_has_not_ordered_is_a_prospect(self, model):
        rows = missing(shop(2).rows)
        segments, stages, clusters, worth, why, tiers, *_, personas = answers(model, rows)
        assert {*segments, *stages, *clusters} == {PROSPECT}
        assert worth.tolist() == [0, 0] and why == ["no order yet"] * 2
        assert tiers == ["bronze"] * 2
        assert {(each.label, each.text, each.rhythm) for each in personas} == {(None, None, None)}


def test_a_group_is_worth_what_its_members_spent():
    made = shop(400, seed=1)
    model = Portrait().fit(made.rows)
    segments = model.segment(made.rows)
    model.weigh(segments.tolist(), made.revenue)
    assert model.worth(made.rows)[0] == pytest.approx(made.revenue[segments == segments[0]].mean())
    model.means = {}
    assert not model.worth(made.rows).any()


def test_the_baseline_orders_by_recency_alone_and_names_alike():
    made = shop(400, seed=1)
    plain = Portrait().fit(made.rows)
    model = Portrait(PortraitConfig(kind="recency")).fit(made.rows)
    groups = model.groups(made.rows)
    assert sorted(set(groups)) == ["R 1", "R 2", "R 3", "R 4", "R 5"]
    days = made.rows["recency_days"]
    assert days[groups == "R 5"].max() < days[groups == "R 4"].min()
    assert model.segment(made.rows).tolist() == plain.segment(made.rows).tolist()


def test_what_cannot_be_asked_is_said(tmp_path):
    rows = shop(5).rows
    with pytest.raises(DataError, match="None of 5 customers has an order"):
        Portrait().fit(missing(rows))
    with pytest.raises(DataError, match="not fitted"):
        Portrait().cluster(rows)
    with pytest.raises(DataError, match="not fitted"):
        Portrait().save(tmp_path)


def test_one_customer_is_answered_as_among_many():
    made = shop(60, seed=5)
    model = Portrait().fit(made.rows).weigh(["new"], np.ones(1))
    many = answers(model, made.rows)
    for at in range(60):
        alone = answers(model, {name: values[at : at + 1] for name, values in made.rows.items()})
        assert [each[0] for each in alone] == [each[at] for each in many]
