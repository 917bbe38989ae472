"""The decisions' file: what was decided, what was shown, what every offer has spent and holds.

`accounts` and the positions in `meta` change in the transaction of the showing or the event that changes
them. All money is in millionths of the currency, all moments are UTC texts that sort as they do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from patron.events.database import Database

FILE = "decisions.db"

SCHEMA = """
create table meta (key text primary key, value text not null) strict, without rowid;
create table if not exists decisions (
    decision_id text primary key,
    occurred_at text not null,
    customer_id text not null,
    offers text not null,
    policy text not null,
    model_version text not null,
    features_as_of text,
    channel text
) strict;
alter table decisions add column idempotency_key text;
alter table decisions add column arm text;
alter table decisions add column propensity real;
alter table decisions add column told text;
alter table decisions add column settled integer not null default 0;
create unique index decisions_by_key on decisions (customer_id, idempotency_key)
    where idempotency_key is not null;
create index decisions_unsettled on decisions (occurred_at) where settled = 0;
create table showings (
    showing_id text primary key,
    decision_id text not null,
    customer_id text not null,
    offer_id text not null,
    arm text not null,
    channel text,
    shown_at text not null,
    cost integer not null,
    money text not null check (money in ('spent', 'held', 'released')),
    held_until text,
    answer text check (answer in ('accepted', 'declined', 'too_late')),
    answered_at text,
    bought real,
    told_value real
) strict;
create index showings_by_customer on showings (customer_id, shown_at);
create index showings_by_offer on showings (offer_id, shown_at);
create index showings_by_decision on showings (decision_id);
create index showings_held on showings (held_until) where money = 'held';
create table accounts (
    offer_id text primary key,
    spent integer not null default 0,
    held integer not null default 0,
    shown integer not null default 0,
    accepted integer not null default 0,
    declined integer not null default 0
) strict, without rowid;
"""
"""`told` is what GET answers of a decision, as JSON; a decision of an older file has none. A decision is
`settled` once the lake has all that came of it. A showing's value is what was `bought` with it, as far as
purchases say so, else what its acceptance told."""


class DecisionFile(Database):
    """`decisions.db`. A file of before budgets were kept gets its new tables when it is first written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SCHEMA)

    def make(self, connection: Any) -> None:
        connection.execute(self.schema)
        # of what was decided before, outcomes were reported as exposures by the shop itself
        connection.execute("update decisions set settled = 1")
