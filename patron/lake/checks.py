"""What makes a row valid, as pandera schemas, and why a row is not, in words."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from patron.lake.contract import TABLES, TYPES, Column

if TYPE_CHECKING:
    import pandera.pandas as pandera

CONTROL = r"[\x00-\x1f\x7f-\x9f]"


@cache
def schemas() -> dict[str, pandera.DataFrameSchema]:
    """One schema a table, for frames whose columns are Arrow-backed (`types_mapper=pandas.ArrowDtype`)."""
    import pandera.pandas as pandera

    return {
        table: pandera.DataFrameSchema(
            {name: schema_column(column) for name, column in columns.items()},
            checks=[somebody()] if table == "events" else [],
        )
        for table, columns in TABLES.items()
    }


def schema_column(column: Column) -> pandera.Column:
    import pandas as pd
    import pandera.pandas as pandera

    return pandera.Column(
        pd.ArrowDtype(TYPES[column.kind]), nullable=not column.required, checks=list(column_checks(column))
    )


def column_checks(column: Column) -> Any:
    """The checks of a column; the error of each is the reason that a failing row is given."""
    import pandera.pandas as pandera

    def check(says: str, holds: Any) -> pandera.Check:
        return pandera.Check(holds, error=says, ignore_na=True)

    if column.kind == "id":
        yield check("is empty", lambda each: each.str.len() > 0)
        yield check("holds control characters", lambda each: ~each.str.contains(CONTROL, regex=True))
    if column.kind in ("time", "date") and column.past:
        yield check("lies in the future", not_future)
    if column.kind == "time" and column.past:
        yield check("lies before 1970", lambda each: each >= moment(0))
    if column.least is not None:
        yield check(f"is less than {column.least:g}", lambda each: each >= column.least)
    if column.above is not None:
        yield check(f"is not greater than {column.above:g}", lambda each: each > column.above)
    if column.most is not None:
        yield check(f"is greater than {column.most:g}", lambda each: each <= column.most)
    if column.values:
        yield check(f"is none of {', '.join(column.values)}", lambda each: each.isin(column.values))


def somebody() -> pandera.Check:
    import pandera.pandas as pandera

    return pandera.Check(
        lambda rows: rows["customer_id"].notna() | rows["session_id"].notna(),
        error="names neither customer_id nor session_id",
        ignore_na=False,
    )


def moment(seconds: int) -> Any:
    import pandas as pd

    return pd.Timestamp(seconds, unit="s", tz="UTC")


def not_future(times: Any) -> Any:
    """A day's grace: clocks differ, and a date may be meant in a zone that is ahead."""
    import pandas as pd

    return times <= pd.Timestamp.now("UTC") + pd.Timedelta(days=1)
