"""Moving decisions with their outcomes into the lake's `exposures`, for the next training to learn from.

A decision is one row: the arm that was drawn first, with its probability. It is written at once, and again
when more is known of it, until nothing more can come; then it is settled and read no more. Where a flush is
cut short, the next one finds the same decisions again and writes what the lake does not hold as it is.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from patron.decisions.ledger import Ledger, budgets_of
from patron.decisions.records import CONTROL
from patron.events.event import written
from patron.events.flush import FULL
from patron.lake.commit import Written, only_writer, publish, staging
from patron.lake.contract import ARROW_SCHEMAS, TABLES
from patron.lake.filling import PARQUET, connection
from patron.lake.sql import literal, quoted, text
from patron.lake.tables import Lake
from patron.offers.catalogue import shop_catalogue
from patron.offers.terms import NONE
from patron.settings import Settings

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

TABLE = "exposures"
BATCH = 100_000
"""Decisions that are moved in one step."""
SILENT_DAYS = 28
"""After so long without an answer, what was paid when it was shown was not taken up."""
NAMES = ", ".join(quoted(name) for name in TABLES[TABLE])
UNSETTLED = """
select d.rowid, d.decision_id, d.customer_id, d.offers ->> '$[0].offer_id', d.occurred_at, d.propensity,
    d.policy, d.arm, d.told ->> '$.arms', d.told ->> '$.offers[0].reasons[0].code',
    s.money, s.held_until, s.answer, s.bought, s.told_value
from decisions d left join showings s on s.showing_id = d.decision_id
where d.settled = 0 and d.rowid > ? order by d.rowid limit ?
"""
LAST = "select occurred_at from decisions order by rowid desc limit 1"
SETTLE = """
update decisions set settled = 1 where decision_id = ?1 and not exists (
    select 1 from showings where showing_id = ?1
    and (answer is not ?2 or bought is not ?3 or told_value is not ?4)
)
"""
"""Not where an event came in since the decision was read."""


class Open(NamedTuple):
    """A decision that is not settled, with its first showing; None of `none`."""

    number: int
    decision_id: str
    customer_id: str
    offer_id: str
    occurred_at: str
    propensity: float
    policy: str
    arm: str
    arms: str | None
    """JSON of every arm that could be shown, with its propensity."""
    reason: str | None
    """Code of the first reason."""
    money: str | None
    held_until: str | None
    answer: str | None
    bought: float | None
    told_value: float | None

    @property
    def value(self) -> float | None:
        """What was bought with it, else what its acceptance told."""
        return self.told_value if self.bought is None else self.bought

    @property
    def drawn_by(self) -> str:
        """The policy; `:certain` where nothing else could have been shown: it tells no effect. `:alone` where
        the customer was left alone for a whole period: effects are told beside those."""
        if self.propensity >= 1:
            return f"{self.policy}:certain"
        return f"{self.policy}:alone" if self.reason == CONTROL else self.policy

    def converted(self, now: datetime) -> bool | None:
        """Whether it was taken up; None while it may be."""
        if self.answer == "accepted" or self.bought is not None:
            return True
        if self.offer_id == NONE or self.answer is not None or self.money == "released":
            return False
        until = self.held_until or written(datetime.fromisoformat(self.occurred_at) + silence())
        return None if written(now) < until else False


def silence() -> timedelta:
    return timedelta(days=SILENT_DAYS)


def flush(settings: Settings, ledger: Ledger) -> dict[str, int]:
    """Write every decision of which something new is known; counts {"read", "written", "settled"}.

    Raises LakeError while something else writes the lake.
    """
    report = {"read": 0, "written": 0, "settled": 0}
    ledger.catch_up(budgets_of(shop_catalogue(settings)))
    reached = 0
    while rows := unsettled(ledger, reached):
        now = moment(settings, ledger)
        with only_writer(settings.home):
            report["written"] += step(settings, rows, now)
        report["settled"] += settle(ledger, [each for each in rows if each.converted(now) is not None])
        report["read"] += len(rows)
        reached = rows[-1].number
    return report


def moment(settings: Settings, ledger: Ledger) -> datetime:
    """Now, as decisions tell it: under the clock of the data, when the last one was made."""
    reader = ledger.file.reader() if settings.clock == "data" else None
    last = reader and reader.execute(LAST).get
    return datetime.fromisoformat(last) if last else datetime.now(UTC)


def unsettled(ledger: Ledger, after: int) -> list[Open]:
    """The next decisions, later than number `after`."""
    reader = ledger.file.reader()
    return [] if reader is None else [Open(*row) for row in reader.execute(UNSETTLED, (after, BATCH))]


def settle(ledger: Ledger, rows: Sequence[Open]) -> int:
    """Remember that the lake has all that came of these."""

    def work(connection: Any) -> int:
        given = [(each.decision_id, each.answer, each.bought, each.told_value) for each in rows]
        return sum(connection.execute(SETTLE, each) and connection.changes() for each in given)

    return ledger.file.write(work) if rows else 0


def step(settings: Settings, rows: Sequence[Open], now: datetime) -> int:
    """Write those that the lake does not hold as they are; how many they were."""
    name = f"decisions-{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    lake = Lake(settings.lake)
    with staging(settings.home, name) as folder, connection(settings, folder) as duck:
        found, changed = exposures_file(duck, lake, rows, now, folder, name)
        if found:
            publish(lake, [found], None, lake.facts()["currency"])
    return changed


def exposures_file(
    duck: duckdb.DuckDBPyConnection,
    lake: Lake,
    rows: Sequence[Open],
    now: datetime,
    folder: Path,
    name: str,
) -> tuple[Written | None, int]:
    """(a file with what is new or differs, in place of those that held it before; how many rows that is)."""
    duck.register("incoming", arrow(rows, now))
    hashed = f"SELECT {NAMES}, md5(CAST(row({NAMES}) AS VARCHAR)) AS row_hash FROM incoming"
    held = [str(path) for path in lake.files(TABLE)]
    known = f" ANTI JOIN read_parquet({literal(held)}) USING (decision_id, row_hash)" if held else ""
    duck.execute(f"CREATE TABLE changed AS SELECT * FROM ({hashed}){known}")
    changed = count(duck, "SELECT count(*) FROM changed")
    if not changed:
        return None, 0
    replaced = places(duck, lake)
    query = f"SELECT {NAMES}, row_hash FROM changed"
    if replaced:
        kept = f"read_parquet({literal([str(lake.path / each) for each in replaced])}, union_by_name = true)"
        duck.register("nothing", ARROW_SCHEMAS[TABLE].empty_table())
        whole = f"(SELECT * FROM nothing UNION ALL BY NAME SELECT * FROM {kept})"  # with columns of later
        stay = f"SELECT {NAMES}, row_hash FROM {whole} ANTI JOIN changed USING (decision_id)"
        query = f"{stay} UNION ALL {query}"
    path = folder / f"{TABLE}.parquet"
    duck.execute(f"COPY ({query} ORDER BY shown_at, decision_id) TO {text(str(path))} {PARQUET}")
    total = count(duck, f"SELECT count(*) FROM read_parquet({literal([str(path)])})")
    return Written(path, f"{TABLE}/{name}.parquet", total, instead=tuple(replaced)), changed


def places(duck: duckdb.DuckDBPyConnection, lake: Lake) -> list[str]:
    """Files, as the manifest lists them, that hold what has changed; and the newest of ours that has room."""
    listed = lake.facts()["tables"].get(TABLE, {}).get("files", [])
    if not listed:
        return []
    files = literal([str(lake.path / each["path"]) for each in listed])
    holding = f"SELECT DISTINCT filename FROM read_parquet({files}, filename = true)"
    rows = duck.execute(f"{holding} SEMI JOIN changed USING (decision_id)").fetchall()
    held = {each for (each,) in rows}
    last = listed[-1]
    room = last["path"].startswith(f"{TABLE}/decisions-") and last["rows"] < FULL
    return [
        each["path"] for each in listed if str(lake.path / each["path"]) in held or (room and each is last)
    ]


def arrow(rows: Sequence[Open], now: datetime) -> pa.Table:
    """Decisions as the lake's types."""
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = ARROW_SCHEMAS[TABLE]
    converted = [each.converted(now) for each in rows]
    values = [each.value if yes else None for each, yes in zip(rows, converted, strict=True)]
    money = pc.cast(pc.round(pa.array(values, pa.float64()), 6), schema.field("value").type, safe=False)
    columns = {
        "decision_id": [each.decision_id for each in rows],
        "customer_id": [each.customer_id for each in rows],
        "offer_id": [each.offer_id for each in rows],
        "shown_at": [datetime.fromisoformat(each.occurred_at) for each in rows],
        "propensity": [each.propensity for each in rows],
        "policy": [each.drawn_by for each in rows],
        "arm": [each.arm for each in rows],
        "converted": converted,
        "propensities": [by_offer(each.arms) for each in rows],
    }
    typed = {name: pa.array(found, schema.field(name).type) for name, found in columns.items()}
    return pa.table({**typed, "value": money})


def by_offer(arms: str | None) -> str | None:
    """JSON: offer id -> propensity."""
    return arms and json.dumps({each["offer_id"]: each["propensity"] for each in json.loads(arms)})


def count(duck: duckdb.DuckDBPyConnection, query: str) -> int:
    answer = duck.execute(query).fetchone()
    return int(answer[0]) if answer else 0
