"""What makes a row valid, as pandera schemas, and why a row is not, in words."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from patron.lake.contract import ARROW_SCHEMAS, TABLES, TYPES, Column

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pandera

FAULTS = pa.schema([("patron_seq", pa.int64()), ("fault", pa.string()), ("why", pa.string())])
CONTROL = r"[\x00-\x1f\x7f-\x9f]"


@dataclass(frozen=True)
class Fault:
    """What the contract says against a row: `told` without the value, for reports; `why` with it."""

    column: str | None
    told: str
    why: str
    missing: bool = False

    @classmethod
    def of(cls, in_column: bool, column: str, check: str, value: Any) -> Fault:
        if not in_column:
            return cls(None, check, check)
        if check == "not_nullable":
            return cls(column, f"{column} is missing", f"{column}: is missing", missing=True)
        return cls(column, f"{column} {check}", f"{column}: {shown(value)} {check}")


def shown(value: Any) -> str:
    """A value as a reason quotes it."""
    if hasattr(value, "isoformat"):
        return str(value.isoformat()).removesuffix("T00:00:00+00:00")
    return repr(value) if isinstance(value, str) else str(value)


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


def row_faults(table: str, rows: pa.Table, passing: list[int]) -> pa.Table:
    """Why rows of a batch are not valid: columns `patron_seq`, `fault` (the first, without its value), `why`.

    rows: what `transform.mapped_sql` gives. A row under a rule is looked at only if that rule is among
    `passing`. Values of the wrong kind were found by the mapping (`fault`, `why`); the rest is the
    contract's.
    """
    import pandas as pd
    import pyarrow.compute as pc

    judged = pc.is_null(rows["rule"])
    if passing:
        judged = pc.or_(judged, pc.fill_null(pc.is_in(rows["rule"], pa.array(passing, pa.int32())), False))
    rows = rows.filter(judged)
    schema = pa.schema([ARROW_SCHEMAS[table].field(name) for name in TABLES[table]])
    frame = rows.select(schema.names).cast(schema).to_pandas(types_mapper=pd.ArrowDtype)
    found = contract_faults(table, frame)
    wrong = set(pc.indices_nonzero(pc.is_valid(rows["fault"])).to_pylist()) | set(found)
    return pa.Table.from_pylist(
        [row_fault(rows, position, found.get(position, [])) for position in sorted(wrong)], FAULTS
    )


def row_fault(rows: pa.Table, position: int, found: list[Fault]) -> dict[str, Any]:
    """One row's faults in one; a value of the wrong kind is not reported as missing, too."""
    fault, why = rows["fault"][position].as_py(), rows["why"][position].as_py()
    reasons = [why] if why else []
    for each in found:
        if not (each.missing and why and f"{each.column}: '" in why):
            fault = fault or each.told
            reasons.append(each.why)
    return {"patron_seq": rows["patron_seq"][position].as_py(), "fault": fault, "why": "; ".join(reasons)}


def contract_faults(table: str, frame: pd.DataFrame) -> dict[int, list[Fault]]:
    """Position of a row -> what the contract says against it."""
    from pandera.errors import SchemaErrors

    try:
        # pandera joins the cases of columns of different types, of which pandas warns
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            schemas()[table].validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
    else:
        return {}
    found: dict[int, list[Fault]] = {}
    for context, column, check, value, index in zip(
        *(cases[name] for name in ("schema_context", "column", "check", "failure_case", "index")), strict=True
    ):
        fault = Fault.of(context == "Column", column, check, value)
        faults = found.setdefault(int(index), [])
        if fault not in faults:
            faults.append(fault)
    return found
