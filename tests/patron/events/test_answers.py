from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from patron.events.answers import AnswerLog, Shown
from patron.events.event import Event
from patron.events.log import EventLog
from patron.events.outcomes import by_placement

NOW = datetime.now(UTC)


def shown(id: str, start: int = 0, *products: str, **more: object) -> Shown:
    facts = {
        "answered_at": NOW,
        "placement": "home",
        "customer_id": "ann",
        "session_id": "s",
        "rung": "personal",
        "model_version": "1",
        **more,
    }
    return Shown(id, start, product_ids=products, **facts)  # type: ignore[arg-type]


def test_pages_are_given_back_in_order_and_those_after_are_not(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path)
    log.record(shown("r", 2, "c", "d"))
    log.record(shown("r", 0, "a", "b"))
    log.record(shown("other", 0, "z"))
    assert log.pages("r", 4) == ["a", "b", "c", "d"]
    assert log.pages("r", 2) == ["a", "b"]
    assert log.pages("unknown", 2) == []
    log.close()


def test_another_worker_finds_a_page_that_was_answered_a_moment_ago(tmp_path: Path) -> None:
    one, other = AnswerLog(tmp_path), AnswerLog(tmp_path)
    one.record(shown("first", 0, "x"))
    one.flush()
    threading.Timer(0.03, lambda: (one.record(shown("r", 0, "a")), None)[1]).start()
    assert other.pages("r", 1) == ["a"]
    one.close()
    other.close()


def test_what_waits_is_written_by_itself_and_at_the_end(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path)
    log.record(shown("r", 0, "a"))
    deadline = time.monotonic() + 10
    while not by_placement(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    log.record(shown("r2", 0, "a"))
    log.close()
    assert by_placement(tmp_path)[0]["answers"] == 2


def test_lately_is_of_the_visitor_the_placement_and_the_last_answers(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path)
    for minutes, product in ((50, "old"), (3, "b"), (2, "c")):
        log.record(shown(product, 0, product, answered_at=NOW - timedelta(minutes=minutes)))
    log.record(shown("cart", 0, "d", placement="cart"))
    log.record(shown("bob", 0, "e", customer_id="bob"))
    log.record(shown("guest", 0, "f", customer_id=None, session_id="g"))
    log.flush()
    since = NOW - timedelta(minutes=30)
    assert log.lately("ann", "s", "home", since, 5) == ["c", "b"]
    assert log.lately("ann", "s", "home", since, 1) == ["c"]
    assert log.lately(None, "g", "home", since, 5) == ["f"]
    assert log.lately(None, None, "home", since, 5) == []
    log.close()


def test_rates_are_shares_of_recommendations_with_all_their_pages(tmp_path: Path) -> None:
    log, events = AnswerLog(tmp_path), EventLog(tmp_path)
    log.record(shown("r1", 0, "a", "b", relevance_cost=0.2))
    log.record(shown("r1", 2, "c", "d", relevance_cost=0.0))
    log.record(shown("r2", 0, "a", "b", rung="popular", relevance_cost=0.3))
    log.record(shown("r3", 0, "x", placement="cart"))
    log.close()
    home, cart = by_placement(tmp_path)
    assert home["click_rate"] == 0 and cart["answers"] == 1

    def happened(id: str, name: str, recommendation: str | None) -> Event:
        return Event(id, NOW, name, "ann", None, "a", recommendation_id=recommendation)

    events.append(
        [
            happened("1", "view_item", "r1"),
            happened("2", "select_item", "r1"),
            happened("3", "purchase", "r1"),
            happened("4", "view_item", None),
            happened("5", "add_to_cart", "r2"),
        ]
    )
    events.close()
    home = by_placement(tmp_path)[0]
    assert (home["placement"], home["answers"], home["impressions"]) == ("home", 3, 6)
    assert home["click_rate"] == 0.5 and home["cart_rate"] == 0.5 and home["conversion_rate"] == 0.5
    assert abs(home["fallback_share"] - 1 / 3) < 1e-9 and abs(home["relevance_cost"] - 0.2) < 1e-9


def test_nothing_shown_nothing_told(tmp_path: Path) -> None:
    assert by_placement(tmp_path) == []
