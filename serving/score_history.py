"""What every scoring said of every customer: kept by moment, summed up, and compared with the one before.

`PATRON_HOME/scores/as_of=YYYY-MM-DD/part.parquet` holds the state of each customer as of that cutoff;
`scores/summary.json` the groups of the newest one and who moved since the one before it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patron.errors import NoScores
from patron.files import publish_folder, publish_json
from patron.lake.tables import Lake
from patron.settings import Settings

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

DIMENSIONS = ("segment", "lifecycle_stage", "churn_risk", "value_tier", "loyalty_tier")
"""What a customer may move in. A customer without a risk has the churn status in its place."""
MEASURES = ("expected_value", "churn_probability")
STATE = ("customer_id", *DIMENSIONS, *MEASURES)
ABOUT = "about.json"
NOBODY = "none"
"""Stands where a customer was not there, or the model was not."""
KEPT = 60
"""Moments kept; older ones are dropped."""
Columns = Mapping[str, Sequence[Any]]


def folder(settings: Settings) -> Path:
    return settings.home / "scores"


def part(settings: Settings, moment: date) -> Path:
    return folder(settings) / f"as_of={moment:%Y-%m-%d}" / "part.parquet"


def moments(settings: Settings) -> list[date]:
    """The cutoffs of this lake that were scored, oldest first; those of a lake of before do not count."""
    found = folder(settings).glob("as_of=*/part.parquet")
    days = sorted(date.fromisoformat(each.parent.name.removeprefix("as_of=")) for each in found)
    lake = Lake(settings.lake).facts()["lake_id"]
    return [each for each in days if told(settings, each).get("lake_id") == lake]


def state(columns: Columns) -> dict[str, list[Any]]:
    """The columns of a scoring that are kept."""
    risks = zip(columns["churn_risk"], columns["churn_status"], strict=True)
    named = {name: [each or NOBODY for each in columns[name]] for name in DIMENSIONS}
    return {
        "customer_id": list(columns["customer_id"]),
        **named,
        "churn_risk": [risk or status or NOBODY for risk, status in risks],
        **{name: list(columns[name]) for name in MEASURES},
    }


def schema() -> pa.Schema:
    import pyarrow as pa

    texts, numbers = ("customer_id", *DIMENSIONS), MEASURES
    return pa.schema({**dict.fromkeys(texts, pa.string()), **dict.fromkeys(numbers, pa.float64())})


def keep(settings: Settings, as_of: datetime, states: pa.Table, about: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the state of a scoring, sum up the newest one, and return that summary.

    A scoring of the same cutoff replaces the one before. about: what the summary says of the scoring itself.
    """
    import pyarrow.parquet as pq

    with only_one(settings):
        with publish_folder(part(settings, as_of.date()).parent) as aside:
            pq.write_table(states, aside / "part.parquet")
            publish_json(aside / ABOUT, {**about, "scored_at": datetime.now(UTC)})
        for old in moments(settings)[:-KEPT]:
            shutil.rmtree(part(settings, old).parent)
        found = summary(settings)
        publish_json(folder(settings) / "summary.json", found)
    return found


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Wait until no other process writes the history."""
    folder(settings).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder(settings) / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def summary(settings: Settings) -> dict[str, Any]:
    """Groups of the newest scoring, and the movements since the one before it (None where there is none).

    Raises NoScores when nothing was scored yet.
    """
    known = moments(settings)
    if not known:
        raise NoScores("Nobody was scored yet. Score: patron score")
    newest = known[-1]
    with database() as engine:
        attach(engine, "now", part(settings, newest))
        found = {
            "as_of": newest.isoformat(),
            **told(settings, newest),
            **totals(engine),
            "groups": groups(engine),
        }
    since = known[-2] if len(known) > 1 else None
    return found | {"movements": movements(settings, since, newest) if since else None}


def told(settings: Settings, moment: date) -> dict[str, Any]:
    """What was kept of a scoring beside its states: models, horizon, when it ran."""
    found: dict[str, Any] = json.loads((part(settings, moment).parent / ABOUT).read_text(encoding="utf-8"))
    return found


def models_changed(settings: Settings, since: date, until: date) -> list[str]:
    """Models that are of another version than they were."""
    before, now = (told(settings, each)["models"] for each in (since, until))
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def database() -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(config={"threads": 1})


def attach(engine: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    engine.read_parquet(str(path)).create_view(name)


def rows(found: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = found.to_arrow_table().to_pylist()
    return answer


def totals(engine: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    return rows(
        engine.execute(
            'select count(*) customers, coalesce(sum(expected_value), 0) expected_value from "now"'
        )
    )[0]


def groups(engine: duckdb.DuckDBPyConnection) -> dict[str, list[dict[str, Any]]]:
    """Each dimension's groups by falling value: customers, their share, value, mean churn probability."""
    return {
        each: rows(
            engine.execute(
                f"select {each} as name, count(*) as customers, count(*) / sum(count(*)) over () as share, "
                "coalesce(sum(expected_value), 0) as expected_value, "
                'avg(churn_probability) as churn_probability from "now" group by 1 '
                "order by expected_value desc, customers desc, name"
            )
        )
        for each in DIMENSIONS
    }


def movements(settings: Settings, since: date, until: date) -> dict[str, Any]:
    """Who is in another group than before, as counts and value: {"since", "until", "models_changed",
    dimension: [moves]}.

    A move: `previous`, `current`, `customers`, their `expected_value` now and `value_before`. The greatest
    first, and those who stayed are among them, so that each dimension is a whole transition matrix.
    """
    with compared(settings, since, until) as engine:
        found = {each: rows(engine.execute(MATRIX.format(dimension=each))) for each in DIMENSIONS}
    about = {"since": since.isoformat(), "until": until.isoformat()}
    return {**about, "models_changed": models_changed(settings, since, until), **found}


MATRIX = """
select coalesce(b.{dimension}, 'none') as previous, coalesce(n.{dimension}, 'none') as current,
    count(*) as customers, coalesce(sum(n.expected_value), 0) as expected_value,
    coalesce(sum(b.expected_value), 0) as value_before
from "now" n full join before b using (customer_id)
group by 1, 2 order by customers desc, 1, 2
"""

MOVED = """
select customer_id, '{dimension}' as dimension, coalesce(b.{dimension}, 'none') as previous,
    coalesce(n.{dimension}, 'none') as current, n.expected_value, n.churn_probability,
    b.expected_value as value_before, b.churn_probability as churn_probability_before
from "now" n full join before b using (customer_id)
where coalesce(b.{dimension}, 'none') <> coalesce(n.{dimension}, 'none')
"""


def compared(settings: Settings, since: date, until: date) -> duckdb.DuckDBPyConnection:
    """A database that holds both scorings. Raises NoScores, naming those there are."""
    known = moments(settings)
    for each in (since, until):
        if each not in known:
            there = ", ".join(f"{moment}" for moment in known) or "none"
            raise NoScores(
                f"Nobody was scored as of {each}. There are: {there}. Score more: patron score --history 4"
            )
    engine = database()
    attach(engine, "before", part(settings, since))
    attach(engine, "now", part(settings, until))
    return engine


def moved(settings: Settings, since: date, until: date) -> pa.Table:
    """One row for each customer and dimension that changed, the most valuable customers first."""
    query = " union all ".join(MOVED.format(dimension=each) for each in DIMENSIONS)
    with compared(settings, since, until) as engine:
        ordered = "order by greatest(coalesce(expected_value, 0), coalesce(value_before, 0)) desc, 1, 2"
        return engine.execute(f"select * from ({query}) {ordered}").to_arrow_table()


def members(settings: Settings, segment: str, most: int) -> list[str]:
    """Customers of a segment as of the last scoring, those with the most value at risk first.

    At risk: the expected value times the probability of churn, where both are known. Raises NoScores where
    nobody was scored yet.
    """
    import pyarrow.parquet as pq

    known = moments(settings)
    if not known:
        raise NoScores("Nobody was scored yet. Score: patron score")
    columns = ["customer_id", *MEASURES]
    path = part(settings, known[-1])
    found = pq.read_table(path, columns=columns, filters=[("segment", "=", segment)], partitioning=None)
    names, values, risks = (found[name].to_pylist() for name in columns)
    order = sorted(
        range(len(names)), key=lambda each: (-(values[each] or 0) * (risks[each] or 0), names[each])
    )
    return [names[each] for each in order[:most]]
