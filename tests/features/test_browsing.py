"""Browsing features: batch against a brute force over the lake's events, live against batch."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features import customer_activity, customer_browsing
from features.build import build
from features.check import check
from features.live import browsing
from features.live_check import check as check_live
from features.offline import historical
from features.store import materialize
from patron.events.event import Event
from patron.events.flush import flush
from patron.events.log import EventLog
from patron.settings import Settings
from tests.features.snapshots import START, built, day, rows_of, settings_of
from tests.shops import line, write_lake

DAY = timedelta(days=1)
CUTOFFS = [START + timedelta(days=each) for each in (20, 33, 45, 60)]
LINES = [line("ann", "p0", START), line("bob", "p1", START + 50 * DAY)]
NAMES = [
    "view_item",
    "view_item",
    "select_item",
    "add_to_cart",
    "add_to_wishlist",
    "purchase",
    "search",
    "refund",
]
VIEW = customer_browsing.VIEW


def odd_events(count: int = 3000, seed: int = 4) -> list[Event]:
    """Sessions that nobody, one or several customers sign in to; moments on the edges of windows."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        at = START + timedelta(seconds=rng.randrange(60 * 86_400), microseconds=rng.randrange(10**6))
        if rng.random() < 0.2:
            at = at.replace(hour=0, minute=0, second=0, microsecond=0)
        session = rng.choice([None, *(f"s{each}" for each in range(60))])
        owner = f"c{rng.randrange(12)}"
        name = rng.choice(NAMES)
        signed = session is None or (rng.random() < 0.1 and int(session[1:]) % 4 > 0)
        product = None if name == "search" else rng.choice([None, *(f"p{each}" for each in range(70))])
        found.append(Event(f"e{number:05}", at, name, owner if signed else None, session, product))
    return found


def whose(events: list[Event]) -> list[tuple[str | None, Event]]:
    """Each event with its owner, by the rule, one session at a time."""
    found = []
    for session in {each.session_id for each in events}:
        own = sorted((each for each in events if each.session_id == session), key=lambda e: (e[1], e[0]))
        current = next((each.customer_id for each in own if each.customer_id), None)
        for each in own:
            current = each.customer_id or (current if session else None)
            found.append((current, each))
    return found


def brute_force(events: list[Event], cutoff: datetime) -> dict[str, dict[str, Any]]:
    """Customer -> features, from all events, slowly."""
    known = [each for each in events if each.occurred_at < cutoff]
    rows: dict[str, list[Event]] = {}
    for owner, each in whose(known):
        if owner and each.occurred_at.replace(microsecond=0) >= cutoff - 30 * DAY:
            rows.setdefault(owner, []).append(each)
    return {owner: features(own, cutoff) for owner, own in rows.items()}


def features(events: list[Event], cutoff: datetime) -> dict[str, Any]:
    found: dict[str, Any] = {}
    named = {"views": "view_item", "carts": "add_to_cart", "purchases": "purchase", "searches": "search"}
    for feature, name in named.items():
        for days in (7, 30):
            within = [e for e in events if e.occurred_at.replace(microsecond=0) >= cutoff - days * DAY]
            found[f"{feature}_{days}d"] = sum(each.name == name for each in within)
    latest = max(each.occurred_at.replace(microsecond=0) for each in events)
    found["days_since_event"] = (cutoff - latest).total_seconds() / 86_400
    weights = {"view_item": 1, "select_item": 1, "add_to_wishlist": 2, "add_to_cart": 3}
    last: dict[str, Any] = {}
    for each in events:
        if each.product_id and each.name in weights:
            at, weight = last.get(each.product_id, (START, 0))
            moment = each.occurred_at.replace(microsecond=0)
            last[each.product_id] = (max(at, moment), max(weight, weights[each.name]))
    kept = sorted((at, product) for product, (at, _) in last.items())[-50:]
    found["browsed_product_ids"] = [product for _, product in kept] or None
    found["browsed_days_since"] = [(cutoff - at).total_seconds() / 86_400 for at, _ in kept] or None
    found["browsed_weights"] = [last[product][1] for _, product in kept] or None
    return found


def bare(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {field: row[field] for field in VIEW.fields} for name, row in rows.items()}


def test_the_snapshot_is_what_was_known_at_every_cutoff(tmp_path: Path):
    events = odd_events()
    settings = built(tmp_path, CUTOFFS, [VIEW], order_lines=LINES, events=[each._asdict() for each in events])
    for cutoff in CUTOFFS:
        expected = brute_force(events, cutoff)
        assert len(expected) > 5
        assert bare(rows_of(settings, VIEW, cutoff)) == expected


def test_a_shop_without_events_has_an_empty_view(tmp_path: Path):
    settings = built(tmp_path, ["2023-03-01"], [VIEW, customer_activity.VIEW], order_lines=LINES)
    assert rows_of(settings, VIEW, "2023-03-01") == {}
    materialize(settings)
    assert check(settings)["differences"] == {}


def test_events_alone_make_the_view_be_built_again(tmp_path: Path):
    views = [VIEW, customer_activity.VIEW]
    settings = built(tmp_path, ["2023-03-01"], views, order_lines=LINES)
    log = EventLog(settings.events)
    log.append([Event("e", START, "search", "ann")])
    flush(settings, log)
    log.close()
    outcome = build(settings, [day("2023-03-01")], views)
    assert (outcome["built"], outcome["kept"]) == (1, 1)


@pytest.fixture
def shop(tmp_path: Path) -> Settings:
    """A shop whose events came through the log, not quite in the order in which they happened."""
    write_lake(tmp_path, order_lines=LINES)
    settings = settings_of(tmp_path)
    log = EventLog(settings.events)
    events = odd_events(seed=9)
    rng = random.Random(1)
    events.sort(key=lambda each: each.occurred_at + timedelta(minutes=rng.randrange(600)))
    for place in range(0, len(events), 500):
        log.append(events[place : place + 500])
        if place == 1500:
            flush(settings, log)
    flush(settings, log)
    log.close()
    build(settings, CUTOFFS, [VIEW, customer_activity.VIEW])
    return settings


def test_live_is_batch_on_events_up_to_the_cutoff(shop: Settings):
    for cutoff in CUTOFFS:
        found = check_live(shop, cutoff)
        assert found["differences"] == {}
        assert (found["customers"], found["left_out"]) == (12, 0)


def test_a_difference_is_found(shop: Settings):
    log = EventLog(shop.events)
    log.database.write(
        lambda connection: connection.execute(
            "update events set name = 'view_item' where name = 'add_to_cart' and owner = 'c3'"
        )
    )
    log.close()
    found = check_live(shop, CUTOFFS[-1])
    assert found["differences"] == {
        f"customer_browsing:{each}": 1
        for each in ("views_7d", "views_30d", "carts_7d", "carts_30d", "browsed_weights")
    }


def test_customers_whose_events_are_not_in_both_are_left_out(shop: Settings):
    log = EventLog(shop.events)
    log.append([Event("new", CUTOFFS[-1] - DAY, "view_item", "c5", product_id="p1")])
    log.close()
    found = check_live(shop, CUTOFFS[-1])
    assert (found["customers"], found["left_out"], found["differences"]) == (11, 1, {})


def test_live_features_follow_the_log_at_once(tmp_path: Path):
    log = EventLog(tmp_path)
    assert browsing(log.recent("ann", None), START) is None
    log.append(
        [
            Event("1", START - timedelta(hours=36), "view_item", session_id="s", product_id="p1"),
            Event("2", START - timedelta(hours=12), "add_to_cart", session_id="s", product_id="p2"),
        ]
    )
    assert browsing(log.recent("ann", None), START) is None
    found = browsing(log.recent("ann", "s"), START)
    assert found is not None
    assert (found["views_7d"], found["carts_7d"]) == (1, 1)
    assert found["days_since_event"] == 0.5
    assert found["browsed_product_ids"] == ("p1", "p2")
    assert found["browsed_days_since"] == (1.5, 0.5)
    assert found["browsed_weights"] == (1, 3)
    log.close()


def test_training_reads_no_row_of_an_earlier_cutoff(tmp_path: Path):
    """Who did nothing in 30 days has no row at the later cutoff: Feast would answer with the older one."""
    views = [VIEW, customer_activity.VIEW]
    events = [
        Event("1", START + 10 * DAY, "view_item", "ann", None, "p0"),
        Event("2", START + 55 * DAY, "view_item", "bob", None, "p0"),
    ]
    cutoffs = [CUTOFFS[0], CUTOFFS[-1]]
    settings = built(tmp_path, cutoffs, views, order_lines=LINES, events=[each._asdict() for each in events])
    wanted = ["customer_browsing:views_30d", "customer_browsing:browsed_product_ids"]
    found = historical(settings, ["ann", "ann", "bob", "bob"], [*cutoffs, *cutoffs], wanted)
    assert found.known.tolist() == [True, False, False, True]
    assert [each or None for each in np.nan_to_num(found.columns["views_30d"])] == [1, None, None, 1]
    assert [list(each) for each in found.columns["browsed_product_ids"]] == [["p0"], [], [], ["p0"]]
