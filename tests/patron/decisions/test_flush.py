"""Decisions in the lake: one row each, as much as is known of them, whatever happened on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from patron.decisions import flush as flushing
from patron.decisions.flush import flush
from patron.decisions.records import Choice, Offered
from patron.lake.tables import Lake
from patron.settings import Settings, load_settings
from tests.patron.decisions.conftest import Desk
from tests.shops import write_lake


def half(name: str) -> Any:
    """Chooses `name` by a coin."""
    return lambda offers: Choice([Offered(name, 0.5)], {name: 0.5})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = load_settings(home=tmp_path, configs=tmp_path / "configs", threads=1, memory_limit="512MB")
    return found.model_copy(update={"clock": "wall"})


@pytest.fixture
def desk(settings: Settings) -> Iterator[Desk]:
    """At this very moment: a flush tells by the real time what is over."""
    offers = [{"offer_id": "coupon", "kind": "coupon"}, {"offer_id": "letter", "kind": "care_message"}]
    write_lake(settings.home, order_lines=[], offers=offers)
    found = Desk(settings.events, now=datetime.now(UTC))
    found.has(offer_id="coupon", group="spring")
    found.has(offer_id="letter", kind="care_message", cost=0)
    yield found
    found.ledger.close()
    found.events.close()


def rows(settings: Settings) -> dict[str, dict[str, Any]]:
    found = [
        row for path in Lake(settings.lake).files("exposures") for row in pq.read_table(path).to_pylist()
    ]
    assert len(found) == len({row["decision_id"] for row in found}) == Lake(settings.lake).rows("exposures")
    return {row["decision_id"]: row for row in found}


def outcome(settings: Settings, decision: str) -> tuple[Any, Any]:
    row = rows(settings)[decision]
    return row["converted"], row["value"]


def test_a_decision_is_a_row_with_its_chance(desk: Desk, settings: Settings) -> None:
    made = desk.ask(choose=half("coupon"))
    assert flush(settings, desk.ledger) == {"read": 1, "written": 1, "settled": 0}
    row = rows(settings)[made.decision_id]
    told = ("customer_id", "offer_id", "propensity", "policy", "arm", "converted", "value")
    assert tuple(row[name] for name in told) == (
        *("ann", "coupon", 0.5, "patron-offers", "spring"),
        *(None, None),
    )
    assert row["shown_at"] == desk.now
    assert flush(settings, desk.ledger) == {"read": 1, "written": 0, "settled": 0}


def test_outcomes_follow_until_nothing_more_can_come(desk: Desk, settings: Settings) -> None:
    kept, left, none, silent = (
        desk.ask(name, choose=half(offer)).decision_id
        for name, offer in (("ann", "coupon"), ("bob", "coupon"), ("cleo", "none"), ("dan", "letter"))
    )
    assert flush(settings, desk.ledger)["settled"] == 1
    desk.answers("offer_accepted", kept, value=30)
    desk.answers("offer_declined", left, customer_id="bob")
    assert flush(settings, desk.ledger) == {"read": 3, "written": 2, "settled": 2}
    assert outcome(settings, kept) == (True, Decimal(30)) and outcome(settings, left) == (False, None)
    assert outcome(settings, none) == (False, None) and outcome(settings, silent) == (None, None)
    desk.answers("purchase", kept, value=20.5)
    desk.answers("purchase", kept, value=4)
    assert flush(settings, desk.ledger)["written"] == 1
    assert outcome(settings, kept) == (True, Decimal("24.5"))
    assert len(Lake(settings.lake).files("exposures")) == 1


def test_what_is_over_was_not_taken_up(desk: Desk, settings: Settings) -> None:
    desk.now -= timedelta(days=27)
    coupon, letter = (desk.ask(choose=half(each)).decision_id for each in ("coupon", "letter"))
    desk.now -= timedelta(days=2)
    old = desk.ask("bob", choose=half("letter")).decision_id
    assert flush(settings, desk.ledger)["settled"] == 2
    assert [outcome(settings, each)[0] for each in (coupon, letter, old)] == [False, None, False]


def test_the_clock_of_the_data_tells_what_is_over(desk: Desk, settings: Settings) -> None:
    past = settings.model_copy(update={"clock": "data"})
    desk.now = datetime(2024, 3, 4, tzinfo=UTC)
    first = desk.ask(choose=half("coupon")).decision_id
    assert flush(past, desk.ledger)["settled"] == 0 and outcome(past, first) == (None, None)
    desk.later(days=3)
    last = desk.ask("bob", choose=half("coupon")).decision_id
    assert flush(past, desk.ledger)["settled"] == 1
    assert [outcome(past, each)[0] for each in (first, last)] == [False, None]


def test_what_nothing_can_be_learned_from_says_so(desk: Desk, settings: Settings) -> None:
    made = desk.ask()
    flush(settings, desk.ledger)
    assert rows(settings)[made.decision_id]["policy"] == "patron-offers:certain"


def test_the_shops_own_exposures_stay(desk: Desk, settings: Settings) -> None:
    own = {
        "decision_id": "own",
        "customer_id": "ann",
        "offer_id": "coupon",
        "shown_at": datetime(2024, 1, 1, tzinfo=UTC),
        "propensity": 1.0,
    }
    write_lake(settings.home, exposures=[own])
    made = desk.ask(choose=half("coupon")).decision_id
    flush(settings, desk.ledger)
    desk.answers("offer_accepted", made)
    flush(settings, desk.ledger)
    assert set(rows(settings)) == {"own", made} and outcome(settings, made)[0] is True


def test_a_flush_that_is_cut_short_writes_nothing_twice(
    desk: Desk, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = desk.ask(choose=half("none")).decision_id

    def killed(*given: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(flushing, "settle", killed)
    with pytest.raises(KeyboardInterrupt):
        flush(settings, desk.ledger)
    monkeypatch.undo()
    assert flush(settings, desk.ledger) == {"read": 1, "written": 0, "settled": 1}
    assert list(rows(settings)) == [made]
    assert flush(settings, desk.ledger)["read"] == 0


def test_an_answer_after_the_read_is_not_settled_away(desk: Desk, settings: Settings) -> None:
    desk.ask(choose=half("letter"))
    found = flushing.unsettled(desk.ledger, 0)
    desk.answers("offer_declined", found[0].decision_id)
    desk.account("letter")
    assert flushing.settle(desk.ledger, found) == 0
    assert flush(settings, desk.ledger)["settled"] == 1


def test_many_steps_move_all(desk: Desk, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "BATCH", 3)
    made = {desk.ask(f"c{each}", choose=half("coupon")).decision_id for each in range(7)}
    assert flush(settings, desk.ledger)["read"] == 7 and set(rows(settings)) == made


def test_rows_of_an_older_lake_stay(desk: Desk, settings: Settings) -> None:
    made = desk.ask(choose=half("coupon")).decision_id
    flush(settings, desk.ledger)
    path = Lake(settings.lake).files("exposures")[0]
    pq.write_table(pq.read_table(path).drop_columns(["propensities"]), path)
    other = desk.ask("bob", choose=half("coupon")).decision_id
    flush(settings, desk.ledger)
    assert set(rows(settings)) == {made, other}
