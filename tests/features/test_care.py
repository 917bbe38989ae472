"""Tickets and surveys at a cutoff, and the channel that somebody answers by."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from features.build import build
from features.check import check
from features.customer_care import FIELDS, VIEW
from features.customer_channel import VIEW as CHANNEL
from features.offline import historical, latest
from features.online import OnlineFeatures
from features.store import apply, materialize
from tests.features.brute_force import DAY, seconds
from tests.features.snapshots import START, built, day, rows_of, settings_of, snapshot_of
from tests.shops import line, write_lake

CUTOFF = "2024-06-01"
ORDER = line("a", "p", "2024-01-10")


def ticket(number: int, customer: str, opened: str, closed: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "ticket_id": f"t{number}",
        "customer_id": customer,
        "opened_at": day(opened),
        "closed_at": day(closed) if closed else None,
        **more,
    }


def care_of(home, tickets=(), surveys=()):
    found = snapshot_of(home, VIEW, CUTOFF, ORDER, tickets=list(tickets), surveys=list(surveys))
    return {name: {field: row[field] for field in FIELDS} for name, row in found.items()}


def test_a_ticket_is_open_until_it_is_closed(tmp_path):
    found = care_of(
        tmp_path,
        [
            ticket(1, "never", "2024-05-01"),
            ticket(2, "then", "2024-05-01", "2024-05-03", satisfied=False),
            ticket(3, "later", "2024-05-01", CUTOFF, satisfied=True),
            ticket(4, "future", CUTOFF),
            ticket(5, "old", "2023-05-01", "2023-05-02", satisfied=True),
        ],
    )
    assert sorted(found) == ["later", "never", "old", "then"]
    assert {name: row["open_tickets"] for name, row in found.items()} == {
        "later": 1,
        "never": 1,
        "old": 0,
        "then": 0,
    }
    assert found["then"]["last_ticket_satisfied"] is False
    assert found["later"]["last_ticket_satisfied"] is None, "nobody knew on that day"
    assert (found["old"]["tickets_365d"], found["old"]["last_ticket_satisfied"]) == (0, True)
    assert found["never"]["last_ticket_at"] == seconds(day("2024-05-01"))
    assert found["never"]["nps_score"] is None


def test_the_last_answer_before_the_cutoff_counts(tmp_path):
    def answer(customer, at, score):
        return {"customer_id": customer, "answered_at": day(at), "score": score}

    surveys = [
        answer("a", "2024-01-01", 9),
        answer("a", "2024-03-01", 3),
        answer("a", CUTOFF, 10),
        answer("b", CUTOFF, 10),
        answer("c", "2024-03-01", 4),
        answer("c", "2024-03-01", 7),
    ]
    found = care_of(tmp_path, surveys=surveys)
    assert {name: row["nps_score"] for name, row in found.items()} == {"a": 3.0, "c": 7.0}
    assert found["a"]["nps_answered_at"] == seconds(day("2024-03-01"))
    assert [found["a"][name] for name in ("open_tickets", "tickets_365d", "last_ticket_at")] == [None] * 3, (
        "of tickets nothing is known"
    )


def random_care(rng: np.random.Generator) -> dict[str, list[dict[str, Any]]]:
    tickets, surveys = [], []
    for number in range(300):
        opened = START + timedelta(seconds=int(rng.integers(500 * DAY)))
        closed = opened + timedelta(days=float(rng.exponential(20)))
        tickets.append(
            {
                "ticket_id": f"t{number:03d}",
                "customer_id": f"c{rng.integers(40)}",
                "opened_at": opened,
                "closed_at": closed if rng.random() < 0.8 else None,
                "satisfied": [True, False, None][rng.integers(3)],
            }
        )
        surveys.append(
            {
                "customer_id": f"c{rng.integers(60)}",
                "answered_at": START + timedelta(seconds=int(rng.integers(500 * DAY))),
                "score": float(rng.integers(11)),
            }
        )
    return {"tickets": tickets, "surveys": surveys}


def care(tables: dict[str, Any], customer: str, cutoff: int) -> dict[str, Any] | None:
    tickets = [
        each
        for each in tables["tickets"]
        if each["customer_id"] == customer and seconds(each["opened_at"]) < cutoff
    ]
    surveys = [
        each
        for each in tables["surveys"]
        if each["customer_id"] == customer and seconds(each["answered_at"]) < cutoff
    ]
    if not tickets and not surveys:
        return None
    open_ones = [each for each in tickets if not each["closed_at"] or seconds(each["closed_at"]) >= cutoff]
    last = max(tickets, key=lambda each: (seconds(each["opened_at"]), each["ticket_id"]), default=None)
    answer = max(surveys, key=lambda each: (seconds(each["answered_at"]), each["score"]), default=None)
    return {
        "nps_score": answer and answer["score"],
        "nps_answered_at": answer and seconds(answer["answered_at"]),
        "open_tickets": len(open_ones) if tickets else None,
        "tickets_365d": sum(seconds(each["opened_at"]) >= cutoff - 365 * DAY for each in tickets)
        if tickets
        else None,
        "last_ticket_at": last and seconds(last["opened_at"]),
        "last_ticket_satisfied": None if last is None or last in open_ones else last["satisfied"],
    }


def test_every_customer_at_every_cutoff(tmp_path):
    tables = random_care(np.random.default_rng(4))
    cutoffs = [START + timedelta(days=each) for each in (30, 200, 420, 600)]
    lines = [line(f"c{each}", "p", START + timedelta(days=1)) for each in range(60)]
    settings = built(tmp_path, cutoffs, [VIEW], order_lines=lines, **tables)
    people = [f"c{each}" for each in range(60)]
    for moment in cutoffs:
        cutoff = int(moment.timestamp())
        found = rows_of(settings, VIEW, moment)
        told = {name: care(tables, name, cutoff) for name in people}
        assert {name for name, row in told.items() if row} == set(found)
        for name, row in found.items():
            assert {field: row[field] for field in FIELDS} == told[name], (name, moment)
    apply(settings)
    rows = historical(settings, people, [cutoffs[1]] * 60, list(VIEW.references))
    told = [care(tables, name, int(cutoffs[1].timestamp())) for name in people]
    assert list(rows.columns["last_ticket_satisfied"]) == [
        row and row["last_ticket_satisfied"] for row in told
    ]
    assert rows.known.tolist() == [row is not None for row in told]


# Channels


def exposure(
    number: int, customer: str, offer: str, at: str, converted: bool | None = True
) -> dict[str, Any]:
    return {
        "decision_id": f"d{number}",
        "customer_id": customer,
        "offer_id": offer,
        "shown_at": day(at),
        "propensity": 0.5,
        "converted": converted,
    }


OFFERS = [
    {"offer_id": "mail", "channels": ["email"]},
    {"offer_id": "push", "channels": ["app"]},
    {"offer_id": "both", "channels": ["app", "email"]},
    {"offer_id": "silent", "channels": None},
]


def test_the_channel_is_the_one_whose_offers_were_taken_up(tmp_path):
    shown = [
        exposure(1, "a", "mail", "2024-01-01"),
        exposure(2, "a", "mail", "2024-01-02"),
        exposure(3, "a", "push", "2024-01-03"),
        exposure(4, "b", "mail", "2024-01-01"),
        exposure(5, "b", "push", "2024-01-02"),
        exposure(6, "c", "both", "2024-01-01"),
        exposure(7, "c", "silent", "2024-01-01"),
        exposure(8, "d", "mail", "2024-01-01", False),
        exposure(9, "e", "mail", "2024-01-01", None),
        exposure(10, "f", "mail", "2024-04-20"),
        exposure(13, "h", "mail", "2024-04-19"),
        exposure(11, "g", "mail", "2024-01-01"),
        exposure(12, "g", "push", "2024-01-01"),
    ]
    found = snapshot_of(tmp_path, CHANNEL, CUTOFF, ORDER, offers=OFFERS, exposures=shown)
    told = {name: (row["preferred_channel"], row["channel_responses"]) for name, row in found.items()}
    assert told == {"a": ("email", 2), "b": ("app", 1), "g": ("app", 1), "h": ("email", 1)}


# Loaded and read


@pytest.mark.parametrize("full", [True, False])
def test_online_is_offline_with_and_without_the_tables(tmp_path, full):
    tables: dict[str, Any] = {"order_lines": [ORDER, line("b", "p", "2024-01-12")]}
    if full:
        tables |= {
            "tickets": [ticket(1, "a", "2024-05-01", "2024-05-02", satisfied=True)],
            "surveys": [{"customer_id": "b", "answered_at": day("2024-02-01"), "score": 8}],
            "offers": OFFERS,
            "exposures": [exposure(1, "a", "mail", "2024-01-11")],
        }
    write_lake(tmp_path, **tables)
    settings = settings_of(tmp_path)
    build(settings, [day(CUTOFF)])
    apply(settings)
    materialize(settings)
    assert check(settings)["differences"] == {}
    wanted = [*VIEW.references, *CHANNEL.references]
    online = OnlineFeatures(settings).read(["a", "b", "x"], wanted)
    assert online.known.tolist() == [full, full, False]
    assert online.columns["last_ticket_satisfied"].tolist() == [True if full else None, None, None]
    assert online.columns["preferred_channel"].tolist() == ["email" if full else None, None, None]
    asked = online.columns["open_tickets"].astype(float)
    assert np.array_equal(asked, [0 if full else np.nan, np.nan, np.nan], equal_nan=True)
    offline = latest(settings, wanted)
    assert np.array_equal(offline.columns["nps_score"], [np.nan, 8 if full else np.nan], equal_nan=True)
