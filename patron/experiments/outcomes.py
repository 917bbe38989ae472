"""What came of a treatment: the outcome of each unit in the window after its exposure, and before it.

A unit counts once its window lies within what the lake holds. Its outcome is final then, so that every look
sees the same numbers as the one before, and more of them: that is what sequential intervals are made for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from patron.experiments.exposures import Answer, Exposure
from patron.experiments.terms import OF_ANSWERS, OF_ORDERS, Experiment
from patron.lake.filling import connection
from patron.lake.sql import literal
from patron.lake.tables import Lake
from patron.settings import Settings

if TYPE_CHECKING:
    import duckdb

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """Of the units whose window is over. Arrays of one length, in the order of their exposure.

    arm: number of the arm. values: metric -> outcome. before: metric -> the same of the pre-period.
    until: what the data reach to; None where there are none. waiting: units whose window is not over.
    """

    arm: NDArray[np.int64]
    values: dict[str, Floats]
    before: dict[str, Floats]
    until: datetime | None
    waiting: int


LINES = """
select customer_id, order_id, ordered_at, quantity > 0 as bought,
    (quantity * unit_price)::double - coalesce(discount, 0)::double as paid,
    coalesce(discount, 0)::double as discount,
    case when unit_cost is not null
        then (quantity * unit_price)::double - coalesce(discount, 0)::double - (quantity * unit_cost)::double
    end as margin
from lines left join costs using (product_id)
where customer_id in (select unit from units)
"""
OF_WINDOW = """
select units.number,
    count(distinct order_id) filter (bought) as orders,
    coalesce(sum(paid), 0) as revenue,
    coalesce(sum(margin), 0) as margin,
    coalesce(-sum(paid) filter (not bought), 0) as returns,
    coalesce(sum(spent.discount) filter (bought), 0) as discount
from units left join spent on spent.customer_id = units.unit
    and spent.ordered_at >= units.{start} and spent.ordered_at < units.{stop}
group by units.number order by units.number
"""
OF_ANSWER = """
select units.number,
    avg(coalesce(clicked, 0)) as click_rate, avg(coalesce(added, 0)) as cart_rate,
    avg(coalesce(purchased, 0)) as conversion_rate,
    avg((rung not in ('personal', 'session', 'similar'))::int) as fallback_rate
from units join answers on answers.unit = units.unit
    and answers.answered_at >= units.exposed_at and answers.answered_at < units.ends_at
left join (
    select answers.recommendation_id, max((name in ('view_item', 'select_item'))::int) as clicked,
        max((name = 'add_to_cart')::int) as added, max((name = 'purchase')::int) as purchased
    from events join answers using (recommendation_id) join units using (unit)
    where events.occurred_at < units.ends_at
    group by answers.recommendation_id
) using (recommendation_id)
group by units.number order by units.number
"""


def of_orders(settings: Settings, experiment: Experiment, exposures: Sequence[Exposure]) -> Outcomes:
    """Orders, money and returns of the customers among the exposed. Nothing where the lake has no orders."""
    lake = Lake(settings.lake)
    if not lake.files("order_lines"):
        return nothing(OF_ORDERS, len(exposures))
    with connection(settings, settings.home / "tmp") as duck:
        view(duck, lake, "order_lines", "lines")
        costs(duck, lake)
        until = newest(duck, "lines", "ordered_at")
        customers = [each for each in exposures if each.kind == "customer"]
        arms, waiting = units(duck, experiment, customers, until)
        duck.execute(f"create temp table spent as {LINES}")
        values = table(duck, OF_WINDOW.format(start="exposed_at", stop="ends_at"))
        before = table(duck, OF_WINDOW.format(start="began_at", stop="exposed_at"))
    for found in (values, before):
        found["ordered"] = (found["orders"] > 0).astype(np.float64)
        found.pop("number")
    return Outcomes(arms, values, before if experiment.pre_days else {}, until, waiting)


def of_answers(
    settings: Settings, experiment: Experiment, exposures: Sequence[Exposure], answers: Sequence[Answer]
) -> Outcomes:
    """Shares of a unit's answers in the window that came to something; nothing without events in the lake."""
    lake = Lake(settings.lake)
    if not lake.files("events"):
        return nothing(OF_ANSWERS, len(exposures))
    with connection(settings, settings.home / "tmp") as duck:
        view(duck, lake, "events", "events")
        until = newest(duck, "events", "occurred_at")
        arms, waiting = units(duck, experiment, exposures, until)
        duck.register("given", answers_table(answers))
        duck.execute("create temp table answers as select * from given")
        values = table(duck, OF_ANSWER)
    numbers = values.pop("number").astype(np.int64)
    return Outcomes(arms[numbers], values, {}, until, waiting)


def nothing(names: Sequence[str], waiting: int) -> Outcomes:
    empty = np.zeros(0, dtype=np.float64)
    return Outcomes(np.zeros(0, dtype=np.int64), dict.fromkeys(names, empty), {}, None, waiting)


def view(duck: duckdb.DuckDBPyConnection, lake: Lake, of: str, name: str) -> None:
    files = literal([str(path) for path in lake.files(of)])
    duck.execute(f"create temp view {name} as select * from read_parquet({files}, union_by_name = true)")


def costs(duck: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    """What a unit of each product costs the shop; nothing where it did not say."""
    if not lake.files("products"):
        duck.execute("create temp table costs (product_id varchar, unit_cost decimal(18, 6))")
        return
    view(duck, lake, "products", "products")
    duck.execute("create temp table costs as select product_id, unit_cost from products")


def newest(duck: duckdb.DuckDBPyConnection, of: str, column: str) -> datetime | None:
    """How far a table reaches."""
    row = duck.execute(f"select epoch_us(max({column})) from {of}").fetchone()
    return None if row is None or row[0] is None else moment(row[0])


def moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def units(
    duck: duckdb.DuckDBPyConnection,
    experiment: Experiment,
    exposures: Sequence[Exposure],
    until: datetime | None,
) -> tuple[NDArray[np.int64], int]:
    """Make the table of the units that count; their arms, shape (n,), and how many wait for their window."""
    import pyarrow as pa

    numbers = {each.name: number for number, each in enumerate(experiment.arms)}
    window = timedelta(days=experiment.window_days)
    told = [(each, datetime.fromisoformat(each.exposed_at)) for each in exposures if each.arm in numbers]
    ready = [(each, at) for each, at in told if until is not None and at + window <= until]
    duck.register(
        "counted",
        pa.table(
            {
                "number": pa.array(range(len(ready)), pa.int64()),
                "unit": pa.array([each.unit for each, _ in ready], pa.string()),
                "exposed_at": pa.array([at for _, at in ready], pa.timestamp("us", "UTC")),
                "ends_at": pa.array([at + window for _, at in ready], pa.timestamp("us", "UTC")),
                "began_at": pa.array(
                    [at - timedelta(days=experiment.pre_days) for _, at in ready], pa.timestamp("us", "UTC")
                ),
            }
        ),
    )
    duck.execute("create temp table units as select * from counted")
    return np.array([numbers[each.arm] for each, _ in ready], dtype=np.int64), len(told) - len(ready)


def answers_table(answers: Sequence[Answer]) -> Any:
    import pyarrow as pa

    at = [datetime.fromisoformat(each.answered_at) for each in answers]
    return pa.table(
        {
            "recommendation_id": pa.array([each.recommendation_id for each in answers], pa.string()),
            "unit": pa.array([each.unit for each in answers], pa.string()),
            "answered_at": pa.array(at, pa.timestamp("us", "UTC")),
            "rung": pa.array([each.rung for each in answers], pa.string()),
        }
    )


def table(duck: duckdb.DuckDBPyConnection, query: str) -> dict[str, Floats]:
    """Column -> its values as float64."""
    found = duck.execute(query).fetchnumpy()
    return {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}
