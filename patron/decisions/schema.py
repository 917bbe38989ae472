"""The decisions' file: what was decided, what was shown, what every offer has spent and holds.

`accounts`, `quarters` and the positions in `meta` change in the transaction of the showing or the event that
changes them. All money is in millionths of the currency, all moments are UTC texts that sort as they do.
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
QUARTER = "substr({0}, 1, 14) || printf('%02d', substr({0}, 15, 2) / 15 * 15)"
"""SQL of the quarter of an hour that a moment lies in. Days of all time zones begin with one."""
COUNTED = f"""
create table quarters (
    offer_id text not null,
    begins_at text not null,
    shown integer not null,
    primary key (offer_id, begins_at)
) strict, without rowid;
create trigger showings_counted after insert on showings begin
    insert into quarters values (new.offer_id, {QUARTER.format("new.shown_at")}, 1)
        on conflict do update set shown = shown + 1;
end;
insert into quarters
    select offer_id, {QUARTER.format("shown_at")}, count(*) from showings group by 1, 2;
create index decisions_of_key on decisions (idempotency_key) where idempotency_key is not null;
"""
"""What files of before daily caps were counted have not: showings of each offer by the quarter of an hour."""
SCHEMA += COUNTED
"""`told` is what GET answers of a decision, as JSON; a decision of an older file has none. A decision is
`settled` once the lake has all that came of it. A showing's value is what was `bought` with it, as far as
purchases say so, else what its acceptance told."""


class DecisionFile(Database):
    """`decisions.db`. An older file gets its new tables when it is first opened for writing."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SCHEMA)
        self._current = False

    def make(self, connection: Any) -> None:
        connection.execute(self.schema)
        # of what was decided before, outcomes were reported as exposures by the shop itself
        connection.execute("update decisions set settled = 1")

    def renew(self, connection: Any) -> None:
        if not counted(connection):
            with connection:
                connection.execute(COUNTED)

    def current(self) -> bool:
        """Whether there is a file, and it has all tables of now."""
        reader = self.reader()
        self._current = reader is not None and (self._current or counted(reader))
        return self._current


def counted(connection: Any) -> bool:
    return bool(connection.execute("select count(*) from sqlite_schema where name = 'quarters'").get)
