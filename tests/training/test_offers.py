"""The offers job on the trained shop: its exposures were drawn at random, and nothing changes anybody."""

from __future__ import annotations

from copy import copy
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from features.build import built_cutoffs
from patron.offers.leaving_alone import whole
from tests.training.shop import OFFERS
from training.exposures import Exposures
from training.labels import Orders
from training.offers import OffersJob

DAYS = 28


@pytest.fixture(scope="module")
def job(trained):
    return OffersJob(trained.settings)


def test_where_nothing_works_nobody_is_contacted_and_the_run_says_why(trained):
    result = trained.results["offers"]
    assert (result["outcome"], result["kind"]) == ("promoted", "average")
    assert result["data"]["drawn_at_random"] == result["data"]["exposures"] > 1000
    assert result["data"]["left_alone"] > 200
    assert result["metrics"]["contact_share"]["value"] < 0.1, "beyond the floor"


def test_the_evidence_is_in_the_run_and_in_the_evaluation(trained, job):
    from training.evaluate import evaluate

    found = evaluate(job)["evidence"]
    assert found["kind"] == "randomised" and found["observed"] == []
    assert set(found["values"]) >= {"the policy", "nobody is shown anything", "every arm alike"}
    assert any("treat none" in each for each in found["can"])
    for each in found["values"].values():
        assert each["concludes"] == (each["effective_samples"] >= 300), each["why"]


def test_the_judged_twin_learned_from_what_had_ended(job):
    log = job.log(None, job.test)
    ended = job.exposures.ended(None, job.test)
    assert len(log) == len(ended) > 500
    last = max(job.exposures.rows[place]["shown_at"] for place in ended.tolist())
    assert last + timedelta(days=DAYS) <= job.test


def test_outcomes_are_counted_by_hand(job):
    """Every exposure of one customer against a loop over the order lines."""
    rows = job.exposures.rows
    places = np.arange(len(rows))
    ordered, margin = job.exposures.outcome(places, job.cutoff)
    orders = job.orders
    for place in places[::97].tolist():
        start = rows[place]["shown_at"].timestamp()
        mine = orders.names == rows[place]["customer_id"]
        within = mine & (orders.at >= start) & (orders.at < start + DAYS * 86_400)
        within &= orders.learned < job.cutoff.timestamp()
        assert ordered[place] == float((within & orders.is_order).any())
        assert margin[place] == pytest.approx(job.exposures.amounts[within].sum(), abs=1e-6)


def test_orders_after_the_moment_are_not_known(job):
    early = job.exposures.ended(None, job.cutoffs[-3])
    known, _ = job.exposures.outcome(early, job.cutoffs[-3])
    later, _ = job.exposures.outcome(early, job.cutoff)
    assert (known <= later).all()


def test_a_customer_without_orders_has_none(trained):
    settings = trained.settings
    cutoffs = built_cutoffs(settings)
    found = Exposures(settings, cutoffs, Orders(settings), DAYS, ("patron-offers",), 1.0)
    found.ids = ["nobody"] * len(found)
    ordered, margin = found.outcome(np.arange(len(found)), cutoffs[-1])
    assert not ordered.any() and not margin.any()


def test_offers_are_grouped_by_the_arm_they_were_shown_under(job):
    assert {each.offer_id: each.arm for each in job.catalogue.offers if each.offer_id in OFFERS} == {
        "coupon-a": "coupon",
        "coupon-b": "coupon",
        "points-a": "points",
        "points-b": "points",
    }


def test_the_evidence_is_told_on_the_terminal(job):
    import io

    from rich.console import Console

    from training.commands import show_evidence

    out = io.StringIO()
    show_evidence(job.evidence(job.fit("average", shipped=False)), Console(file=out, width=160))
    told = out.getvalue()
    assert "nobody is shown anything" in told and "effective samples" in told
    assert "These data can show:" in told


def test_windows_of_one_customer_stand_apart(job):
    found = job.exposures
    last: dict[str, float] = {}
    for place in range(len(found)):
        customer, at = found.ids[place], found.at[place]
        alone = at >= last.get(customer, -np.inf) + DAYS * 86_400
        assert found.apart[place] == alone
        if alone:
            last[customer] = at
    assert 0.3 * len(found) < found.apart.sum() <= len(found)


def test_of_own_decisions_only_whole_periods_count(job):
    """Showing nothing counts for who was left alone; any other is offered something tomorrow."""
    found = copy(job.exposures)
    found.__dict__.pop("apart", None)
    found.rows = [{**row, "policy": "patron-offers"} for row in found.rows]
    found.rested = np.arange(len(found)) % 2 == 0
    for place in np.flatnonzero(found.apart).tolist():
        assert whole(found.ids[place], found.at[place], DAYS)
        assert found.rows[place]["offer_id"] != "none" or found.rested[place]
    alone = [row["offer_id"] == "none" for row in found.rows]
    assert (found.apart & alone).any() and not (found.apart & alone & ~found.rested).any()
    assert 0 < found.apart.sum() < job.exposures.apart.sum()


def test_what_may_still_be_taken_up_is_not_known_yet(job):
    """Whether it was comes without a time: a campaign that outlasts the cutoff would leak its outcome."""
    references = list(job.open().references)
    places = job.exposures.ended(None, job.test)
    shown = job.exposures.at[places]
    moment = datetime.fromtimestamp(shown.max(), UTC) + timedelta(days=35)
    now, later = (job.exposures.log(places, references, each) for each in (moment, job.cutoff))
    still = shown + 42 * 86_400 > moment.timestamp()
    assert 0 < still.sum() < len(still)
    assert np.array_equal(np.isnan(now.converted), still) and not np.isnan(later.converted).any()
