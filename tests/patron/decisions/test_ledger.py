"""Money and counts of decisions, told by hand."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from patron.decisions.availability import CONTACTS, SEEN
from patron.decisions.ledger import Ledger
from patron.decisions.money import budget_of, cost_of
from patron.decisions.records import Asked, Circumstances
from patron.decisions.standing import standing
from patron.offers.terms import ChannelRules, ContactRules
from tests.patron.decisions.conftest import Desk, best, everything

# Money


def test_a_coupon_holds_its_cost_and_spends_it_when_accepted(desk: Desk) -> None:
    desk.has(offer_id="coupon", budget=25)
    first, second = desk.ask(), desk.ask("bob")
    assert desk.offered("cleo") == ["none"]
    assert desk.account() == {"spent": 0, "held": 20, "shown": 2, "accepted": 0, "declined": 0}
    desk.answers("offer_accepted", first.decision_id)
    desk.answers("offer_declined", second.decision_id, customer_id="bob")
    assert desk.account() == {"spent": 10, "held": 0, "shown": 2, "accepted": 1, "declined": 1}
    assert desk.offered("cleo") == ["coupon"]


def test_a_message_is_paid_when_it_is_shown(desk: Desk) -> None:
    desk.has(offer_id="letter", kind="care_message", cost=0.1, budget=0.3)
    assert [desk.offered(name)[0] for name in "abcd"] == ["letter"] * 3 + ["none"]
    assert desk.account("letter")["spent"] == pytest.approx(0.3)


def test_what_is_not_taken_up_in_time_is_given_back(desk: Desk) -> None:
    desk.has(offer_id="coupon", budget=10, hold_hours=2)
    shown = desk.ask()
    assert shown.shown[0].expires_at is not None
    desk.later(hours=1.9)
    assert desk.offered("bob") == ["none"]
    desk.later(hours=0.1)
    assert desk.offered("bob") == ["coupon"]
    desk.answers("offer_accepted", shown.decision_id)
    assert desk.account() == {"spent": 0, "held": 10, "shown": 2, "accepted": 0, "declined": 0}
    assert desk.ledger.find(shown.decision_id)["offers"][0]["outcome"]["answer"] == "too_late"


def test_a_late_acceptance_counts_where_there_is_room(desk: Desk) -> None:
    desk.has(offer_id="coupon", budget=20, hold_hours=2)
    shown = desk.ask()
    desk.later(hours=3)
    desk.ask("bob")
    desk.answers("offer_accepted", shown.decision_id)
    assert desk.account() == {"spent": 10, "held": 10, "shown": 2, "accepted": 1, "declined": 0}


def test_what_lies_in_the_event_log_is_booked_before_holds_end(desk: Desk) -> None:
    desk.has(offer_id="coupon", budget=10, hold_hours=2)
    desk.answers("offer_accepted", desk.ask().decision_id)
    desk.later(hours=3)
    assert desk.offered("bob") == ["none"]


def test_an_event_is_booked_once_and_only_for_the_customer_it_was_shown_to(desk: Desk) -> None:
    desk.has(offer_id="coupon", budget=100)
    shown = desk.ask()
    desk.answers("offer_accepted", shown.decision_id, customer_id="bob")
    assert desk.account()["accepted"] == 0
    desk.answers("offer_accepted", shown.decision_id)
    desk.answers("offer_accepted", shown.decision_id)
    desk.answers("offer_declined", shown.decision_id)
    desk.answers("offer_accepted", "unheard-of")
    assert desk.account() == {"spent": 10, "held": 0, "shown": 1, "accepted": 1, "declined": 0}
    other = Desk(desk.folder, offers=desk.offers)
    assert other.account() == desk.account()
    other.ledger.close()
    other.events.close()


def test_who_changes_their_mind_is_counted_as_they_end(desk: Desk) -> None:
    desk.has(offer_id="coupon", budget=100)
    shown = desk.ask()
    desk.answers("offer_declined", shown.decision_id)
    desk.answers("offer_accepted", shown.decision_id)
    assert desk.account() == {"spent": 10, "held": 0, "shown": 1, "accepted": 1, "declined": 0}


@pytest.mark.parametrize(
    "names", [["purchase"], ["purchase", "offer_accepted"], ["offer_accepted", "purchase"]]
)
def test_who_buys_with_an_offer_has_taken_it_up(desk: Desk, names: list[str]) -> None:
    desk.has(offer_id="coupon", budget=10)
    shown = desk.ask()
    for name in [*names, *names]:
        desk.answers(name, shown.decision_id, value=50)
    assert desk.account() == {"spent": 10, "held": 0, "shown": 1, "accepted": 1, "declined": 0}
    desk.later(hours=80)
    assert desk.offered("bob") == ["none"]


def test_a_purchase_after_the_hold_or_a_refusal_takes_nothing_up(desk: Desk) -> None:
    desk.has(offer_id="coupon", hold_hours=2)
    late, declined = desk.ask().decision_id, desk.ask().decision_id
    desk.answers("offer_declined", declined)
    desk.later(hours=3)
    desk.ask("bob")
    desk.answers("purchase", late)
    desk.answers("purchase", declined)
    assert desk.account() == {"spent": 0, "held": 10, "shown": 3, "accepted": 0, "declined": 1}


def test_money_is_exact() -> None:
    assert cost_of(0.1) * 3 == budget_of(0.3) == 300_000
    assert cost_of(1 / 3) == 333_334 and budget_of(1 / 3) == 333_333


# Limits


def test_a_daily_cap_begins_anew_at_midnight_of_the_shop(desk: Desk) -> None:
    desk.contacts = ContactRules(time_zone="America/New_York")
    desk.has(offer_id="coupon", daily_cap=1)
    assert desk.offered() == ["coupon"] and desk.offered("bob") == ["none"]
    desk.later(hours=16)  # 04:00 UTC the next day: 23:00 in New York
    assert desk.offered("bob") == ["none"]
    desk.later(hours=1)
    assert desk.offered("bob") == ["coupon"]


@pytest.mark.parametrize(
    ("terms", "wait", "code"),
    [
        ({"per_customer": 1}, {"days": 900}, "per_customer"),
        ({"rest_days": 3}, {"days": 2.9}, "rest"),
        ({"budget": 10}, {"hours": 1}, "budget"),
        ({"daily_cap": 1}, {"hours": 1}, "daily_cap"),
    ],
)
def test_a_refused_offer_says_why(desk: Desk, terms: Any, wait: Any, code: str) -> None:
    desk.has(offer_id="coupon", **terms)
    assert desk.offered() == ["coupon"]
    desk.later(**wait)
    found = desk.ledger.find(desk.ask().decision_id)
    assert found["refused"] == [{"offer_id": "coupon", "code": code}]
    assert found["arms"] == [{"offer_id": "none", "propensity": 1.0}]


def test_a_declined_offer_is_silent_for_a_while(desk: Desk) -> None:
    desk.has(offer_id="coupon", declined_days=5)
    desk.answers("offer_declined", desk.ask().decision_id)
    desk.later(days=4)
    assert desk.offered() == ["none"] and desk.offered("bob") == ["coupon"]
    desk.later(days=1)
    assert desk.offered() == ["coupon"]


@pytest.mark.parametrize("excluded", ["b", "seasonal"])
def test_offers_exclude_each_other_both_ways(desk: Desk, excluded: str) -> None:
    desk.has(offer_id="a", excludes=[excluded], exclude_days=2)
    desk.has(offer_id="b", group="seasonal")
    assert desk.offered(choose=everything) == ["a"]
    assert desk.offered("bob", choose=lambda found: everything(found[::-1])) == ["b"]
    desk.later(days=1)
    assert desk.offered(choose=everything) == ["a"] and desk.offered("bob", choose=everything) == ["b"]
    desk.later(days=2)
    assert desk.offered("bob", choose=everything) == ["a"]


def test_contacts_are_limited_by_channel_and_in_all(desk: Desk) -> None:
    desk.contacts = ContactRules(
        any_channel=ChannelRules(most=3, days=7), channels={"email": ChannelRules(rest_hours=20)}
    )
    desk.has(offer_id="coupon")
    asked = [desk.offered(channel=each)[0] for each in ("email", "email", "web", "web", "web")]
    assert asked == ["coupon", "none", "coupon", "coupon", "none"]
    desk.later(days=7)
    assert desk.offered(channel="email") == ["coupon"]


def test_nobody_is_contacted_on_a_quiet_day(desk: Desk) -> None:
    desk.contacts = ContactRules(quiet_weekdays=("monday",))
    desk.has(offer_id="coupon")
    found = desk.ask()
    assert found.shown[0].offered.offer_id == "none"
    assert desk.ledger.find(found.decision_id)["refused"][0]["code"] == "quiet_day"


# Asked again, at once, of an older file


def test_the_same_key_gives_the_same_decision(desk: Desk) -> None:
    desk.has(offer_id="coupon", budget=100)
    first, again = desk.ask(key="k1"), desk.ask(key="k1")
    assert again.decision_id == first.decision_id and again.shown == first.shown and again.again
    assert desk.ask("bob", key="k1").decision_id != first.decision_id
    assert desk.account()["shown"] == 2


def test_who_does_not_want_offers_any_more_gets_none_again(desk: Desk) -> None:
    desk.has(offer_id="coupon")
    first = desk.ask(key="k1")
    asked = Asked("ann", (), {"coupon": "no_consent"}, "k1")
    around = Circumstances(desk.now, None, "patron-offers", "3", None)
    again = desk.ledger.decide(asked, around, desk.catalogue, best)
    assert again.again and again.decision_id == first.decision_id
    (line,) = again.shown
    assert (line.offered.offer_id, line.showing_id) == ("none", None)
    assert line.offered.reasons[0]["code"] == "no_consent"
    assert desk.account()["shown"] == 1


def test_threads_and_ledgers_spend_exactly_the_budget(desk: Desk) -> None:
    desk.has(offer_id="coupon", cost=5, budget=100)
    desks = [desk, *(Desk(desk.folder, offers=desk.offers) for _ in range(2))]
    with ThreadPoolExecutor(6) as pool:
        shown = list(pool.map(lambda each: desks[each % 3].offered(f"c{each}")[0], range(60)))
    assert shown.count("coupon") == 20 and desk.account()["held"] == 100
    for each in desks[1:]:
        each.ledger.close()
        each.events.close()


def test_a_policy_that_fails_books_nothing(desk: Desk) -> None:
    desk.has(offer_id="coupon", budget=100)

    def fail(offers: Any) -> Any:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        desk.ask(choose=fail)
    assert desk.ledger.accounts() == {} and desk.offered() == ["coupon"]


OLD = """
create table decisions (
    decision_id text primary key, occurred_at text not null, customer_id text not null, offers text not null,
    policy text not null, model_version text not null, features_as_of text, channel text
) strict;
insert into decisions values ('d1', '2026-01-01T00:00:00+00:00', 'ann',
    '[{"offer_id": "coupon", "propensity": 0.9}]', 'patron-offers', '1', null, 'web');
"""


def test_a_file_of_before_budgets_opens(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "decisions.db")) as old:
        old.executescript(OLD)
    desk = Desk(tmp_path)
    found = desk.ledger.find("d1")
    assert found["offers"] == [{"offer_id": "coupon", "propensity": 0.9, "outcome": None}]
    assert desk.ledger.find("d2") is None
    desk.has(offer_id="coupon", budget=10)
    assert desk.offered() == ["coupon"]
    desk.ledger.close()
    desk.events.close()


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "events")
    assert desk.ledger.find("d1") is None and desk.ledger.accounts() == {}
    assert desk.ledger.catch_up({}) == 0
    assert not (tmp_path / "events").exists()
    assert isinstance(desk.ledger, Ledger)


def test_a_home_tells_how_its_offers_stand(desk: Desk) -> None:
    assert standing(desk.folder) is None
    desk.has(offer_id="coupon", budget=10)
    desk.ask()
    desk.ask("bob")
    account = {"spent": 0, "held": 10, "shown": 1, "accepted": 0, "declined": 0}
    told = {"made": 2, "with_offer": 1, "unsettled": 2, "offers": {"coupon": account}}
    assert standing(desk.folder) == told


def test_a_file_of_before_caps_were_counted_is_counted_once_opened(desk: Desk) -> None:
    desk.has(offer_id="coupon", daily_cap=2)
    assert desk.offered() == ["coupon"]
    with closing(sqlite3.connect(desk.folder / "decisions.db")) as old:
        old.executescript(
            "drop table quarters; drop trigger showings_counted; drop index decisions_of_key; vacuum;"
        )
    desk.ledger.close()
    after = Desk(desk.folder, offers=desk.offers)
    assert after.account()["held"] == 10
    assert [after.offered("bob"), after.offered("cleo")] == [["coupon"], ["none"]]
    after.later(days=1)
    assert after.offered("cleo") == ["coupon"]
    after.ledger.close()
    after.events.close()


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (SEEN, "showings_by_customer"),
        (f"{CONTACTS} and shown_at > ?2", "showings_by_customer"),
        (f"{CONTACTS} and shown_at > ?2 and channel = ?3", "showings_by_customer"),
        ("select sum(shown) from quarters where offer_id = ? and begins_at >= ?", "PRIMARY KEY"),
        ("select customer_id from decisions where idempotency_key = ?", "decisions_of_key"),
    ],
)
def test_what_is_asked_within_a_decision_is_indexed(desk: Desk, query: str, index: str) -> None:
    desk.has(offer_id="coupon")
    desk.ask()
    given = ("ann",) * query.count("?")
    plan = desk.ledger.file.reader().execute(f"explain query plan {query}", given).fetchall()
    assert any("SEARCH" in each[3] and index in each[3] for each in plan)
