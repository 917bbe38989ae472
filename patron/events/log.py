"""The event log: what customers did and what the shop changed, on disk before anybody is told so.

An event is taken once, for ever: ids of events that were moved to the lake and removed here stay known. An
event that names both session and customer signs the session in. From then on the session is that customer's,
until another signs into it; what was done in it before anybody did belongs to the first who did.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from patron.events.database import Database
from patron.events.event import Event, event_of, row_of, written

Kind = Literal["products", "customers", "offers"]
FILE = "events.db"
COLUMNS = ", ".join(Event._fields)
INSERT = f"insert into events ({COLUMNS}, owner) values ({', '.join('?' * (len(Event._fields) + 1))})"

NEWEST = "order by occurred_at desc, seq desc limit ?2"
OF_CUSTOMER = f"select {COLUMNS} from events where owner = ?1 {NEWEST}"
OF_NOBODY_YET = f"select {COLUMNS} from events where session_id = ?1 and owner is null {NEWEST}"
OF_SESSION = f"select {COLUMNS} from events where session_id = ?1 {NEWEST}"


SCHEMA = """
create table meta (key text primary key, value text not null) strict, without rowid;
create table events (
    seq integer primary key autoincrement,
    event_id text not null,
    occurred_at text not null,
    name text not null,
    customer_id text,
    session_id text,
    product_id text,
    query text,
    value real,
    currency text,
    recommendation_id text,
    decision_id text,
    owner text
) strict;
create index events_by_owner on events (owner, occurred_at desc, seq desc) where owner is not null;
create index events_by_session on events (session_id, owner, occurred_at desc, seq desc)
    where session_id is not null;
create table seen (digest blob primary key) strict, without rowid;
create table sessions (
    session_id text primary key,
    customer_id text not null,
    signed_in_at text not null
) strict, without rowid;
create table updates (
    seq integer primary key autoincrement,
    kind text not null,
    id text not null,
    body text not null
) strict;
create index updates_by_kind on updates (kind, seq);
create table flushes (
    seq integer primary key,
    events_seq integer not null,
    updates_seq integer not null,
    flushed_at text not null
) strict;
create table quarantine (
    seq integer primary key autoincrement,
    digest blob not null unique,
    received_at text not null,
    times integer not null default 1,
    code text not null,
    detail text not null,
    body text not null
) strict;
"""


KNOWN_CUSTOMER = """
case when customer_id is null and (
    exists (select 1 from sessions s where s.session_id = e.session_id and s.customer_id = e.owner
        and s.signed_in_at <= e.occurred_at)
    or exists (select 1 from events s where s.session_id = e.session_id and s.owner = e.owner
        and s.customer_id is not null and s.occurred_at <= e.occurred_at)
) then owner else customer_id end
"""
UNFLUSHED = (
    f"select seq, {COLUMNS.replace('customer_id', KNOWN_CUSTOMER)} "
    "from events e where seq > ? order by seq limit ?"
)
LAST_EVENT = "select max(seq) from events"
OFFER_ANSWERS = """
select seq, name, decision_id, customer_id, occurred_at, value from events
where seq > ? and seq <= ? and name in ('offer_accepted', 'offer_declined', 'purchase')
    and decision_id is not null
order by seq
"""
COUNTS = """
select (select count(*) from seen), (select count(*) from events),
    (select count(*) from events where seq > ?1), (select count(*) from updates where seq > ?2)
"""


class EventLog:
    """The log in `folder`. Its file is made at the first append; threads and processes may share it."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder / FILE, SCHEMA)

    def append(self, events: Sequence[Event]) -> list[bool]:
        """Write events down; for each whether it was new (True) or had been accepted before (False).

        They are on disk when this returns: all, or on an error none. Raises EventLogError when nothing can
        be written.
        """
        rows = [(digest(each.event_id), row_of(each)) for each in events]
        return self.database.write(lambda connection: [insert(connection, *each) for each in rows])

    def recent(self, customer_id: str | None, session_id: str | None, limit: int = 50) -> list[Event]:
        """The last events of a customer and a session, the newest last.

        Of a customer: what names them, and what was done in sessions while they were theirs. Beside a
        customer a session adds what is nobody's yet; alone, all that was done in it.
        """
        connection = self.database.reader()
        if connection is None:
            return []
        found: list[Any] = []
        if customer_id is not None:
            found = connection.execute(OF_CUSTOMER, (customer_id, limit)).fetchall()
        if session_id is not None:
            more = OF_SESSION if customer_id is None else OF_NOBODY_YET
            rest = connection.execute(more, (session_id, limit)).fetchall()
            if rest:
                found = sorted(found + rest, key=occurred, reverse=True)[:limit] if found else rest
        return [event_of(row) for row in reversed(found)]

    def owner(self, session_id: str) -> str | None:
        """The customer who signed in to a session last; None while nobody has."""
        connection = self.database.reader()
        if connection is None:
            return None
        found: str | None = connection.execute(
            "select customer_id from sessions where session_id = ?", (session_id,)
        ).get
        return found

    def update(self, table: Kind, id: str, body: dict[str, Any]) -> int:
        """Write down new values of a product, a customer or an offer; its number, once on disk.

        body: column of the contract -> value, as JSON can hold it. Only the columns given change.
        """
        text = json.dumps(body, ensure_ascii=False, allow_nan=False)
        query = "insert into updates (kind, id, body) values (?, ?, ?) returning seq"
        return self.database.write(lambda connection: connection.execute(query, (table, id, text)).get)

    def last_update(self, table: Kind) -> int:
        """The number of the newest update of a table; 0 where there is none."""
        connection = self.database.reader()
        query = "select max(seq) from updates where kind = ?"
        return int(connection.execute(query, (table,)).get or 0) if connection else 0

    def updates(self, table: Kind, after: int) -> list[tuple[int, str, dict[str, Any]]]:
        """(number, id, body) of what was written later than number `after`, oldest first."""
        connection = self.database.reader()
        if connection is None:
            return []
        query = "select seq, id, body from updates where kind = ? and seq > ? order by seq"
        found = connection.execute(query, (table, after)).fetchall()
        return [(seq, id, json.loads(body)) for seq, id, body in found]

    def offer_answers(self, after: int) -> tuple[int, list[tuple[Any, ...]]]:
        """(number of the last event, what came of decisions later than number `after`), in order.

        Of each acceptance, refusal and purchase that names a decision: number, name, decision_id,
        customer_id, when it occurred as text, value.
        """
        connection = self.database.reader()
        if connection is None:
            return after, []
        last = max(int(connection.execute(LAST_EVENT).get or 0), after)
        if last == after:
            return after, []
        return last, connection.execute(OFFER_ANSWERS, (after, last)).fetchall()

    def log_id(self) -> str | None:
        """What tells this log from any other; None while nothing was written."""
        connection = self.database.reader()
        return connection and connection.execute("select value from meta where key = 'log_id'").get

    def unflushed(self, after: int, limit: int) -> list[tuple[Any, ...]]:
        """(number, values of an event) of those later than number `after`, in order, their time as text.

        Anonymous events carry the customer who had signed in to their session by then. What was done before
        anybody signed in stays nobody's: who it was became known only later.
        """
        connection = self.database.reader()
        return connection.execute(UNFLUSHED, (after, limit)).fetchall() if connection else []

    def changes(self, after: int) -> list[tuple[int, str, str, dict[str, Any]]]:
        """(number, table, id, body) of every update later than number `after`, in order."""
        connection = self.database.reader()
        if connection is None:
            return []
        query = "select seq, kind, id, body from updates where seq > ? order by seq"
        rows = connection.execute(query, (after,)).fetchall()
        return [(seq, kind, id, json.loads(body)) for seq, kind, id, body in rows]

    def between(self, start: datetime, end: datetime) -> list[tuple[str, str | None, str | None]]:
        """(event_id, session_id, whose it is) of every event from `start` and before `end`."""
        connection = self.database.reader()
        if connection is None:
            return []
        query = "select event_id, session_id, owner from events where occurred_at >= ? and occurred_at < ?"
        found: list[Any] = connection.execute(query, (written(start), written(end))).fetchall()
        return found

    def signed_in(self, customer_id: str) -> dict[str, str]:
        """Session -> when the customer signed in to it last, of sessions that are theirs."""
        connection = self.database.reader()
        if connection is None:
            return {}
        query = "select session_id, signed_in_at from sessions where customer_id = ?"
        return dict(connection.execute(query, (customer_id,)).fetchall())

    def counts(self, events: int = 0, updates: int = 0) -> dict[str, int]:
        """How many events were ever accepted, lie here and are later than number `events`; so of updates."""
        connection = self.database.reader()
        if connection is None:
            return {"accepted": 0, "events": 0, "unflushed_events": 0, "unflushed_updates": 0}
        found = connection.execute(COUNTS, (events, updates)).get
        return dict(zip(("accepted", "events", "unflushed_events", "unflushed_updates"), found, strict=True))

    def close(self) -> None:
        self.database.close()


def digest(event_id: str) -> bytes:
    """What of an id is remembered for ever: 16 bytes, which no two ids share."""
    return hashlib.blake2b(event_id.encode(), digest_size=16).digest()


def occurred(row: Sequence[Any]) -> str:
    moment: str = row[1]
    return moment


def insert(connection: Any, digest: bytes, row: tuple[Any, ...]) -> bool:
    """Add one event unless its id was seen; whether it was added."""
    connection.execute("insert or ignore into seen values (?)", (digest,))
    if not connection.changes():
        return False
    at, customer, session = row[1], row[3], row[4]
    if session is None:
        owner = customer
    elif customer is None:
        owner = owner_of(connection, session, at)
    else:
        sign_in(connection, session, customer, at)
        owner = customer
    connection.execute(INSERT, (*row, owner))
    return True


def owner_of(connection: Any, session: str, at: str) -> str | None:
    """Whose a session was at a moment: the last who had signed in by then, else the first who did later."""
    newest = newest_sign_in(connection, session)
    if newest is None or newest[1] <= at:
        return newest and newest[0]
    signed = "select customer_id from events where session_id = ?1 and customer_id is not null and "
    before = signed + "occurred_at <= ?2 order by occurred_at desc, seq desc limit 1"
    later = signed + "occurred_at > ?2 order by occurred_at, seq limit 1"
    found = connection.execute(before, (session, at)).get or connection.execute(later, (session, at)).get
    return found or newest[0]


def sign_in(connection: Any, session: str, customer: str, at: str) -> None:
    """Give a session to a customer from `at` until the next sign-in; from its beginning if it is the first.

    Events may arrive in any order: whose the others are follows from when they occurred.
    """
    newest = newest_sign_in(connection, session)
    if newest is None or newest[1] <= at:
        put = "insert or replace into sessions values (?, ?, ?)"
        connection.execute(put, (session, customer, at))
    if newest is None:
        give(connection, session, customer, "", "~")
    elif newest[1] > at:
        signed = "from events where session_id = ?1 and customer_id is not null and occurred_at"
        first = not connection.execute(f"select count(*) {signed} <= ?2", (session, at)).get
        until = connection.execute(f"select min(occurred_at) {signed} > ?2", (session, at)).get or newest[1]
        give(connection, session, customer, "" if first else at, until)
    elif newest[0] != customer:
        give(connection, session, customer, at, "~")


def newest_sign_in(connection: Any, session: str) -> tuple[str, str] | None:
    """(customer, when) of the latest sign-in by the time it occurred."""
    query = "select customer_id, signed_in_at from sessions where session_id = ?"
    found: tuple[str, str] | None = connection.execute(query, (session,)).get
    return found


def give(connection: Any, session: str, customer: str, start: str, end: str) -> None:
    """Make anonymous events of a session, from `start` and before `end`, the customer's."""
    connection.execute(
        "update events set owner = ?1 where session_id = ?2 and customer_id is null "
        "and occurred_at >= ?3 and occurred_at < ?4",
        (customer, session, start, end),
    )
