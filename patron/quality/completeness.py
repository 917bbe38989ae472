"""Completeness: how much is missing in each column of the contract, and whether that changed."""

from __future__ import annotations

from typing import Any

from patron.lake.contract import TABLES
from patron.lake.sql import quoted
from patron.quality.tables import Source
from patron.quality.usual import bounds, share_noise

HISTORY = 13
"""Blocks before the last one that it is compared with: a year."""

FILLED_LATER = {
    "order_lines": ("ingested_at",),
    "exposures": ("converted", "value"),
    "tickets": ("closed_at", "satisfied"),
}
"""Columns that tell what happened after their row's time: always emptier of late, as it is still to come."""


def completeness(source: Source) -> dict[str, dict[str, Any]]:
    """Column -> share missing in all rows and, where rows tell time, in the last block and before.

    Of columns that are filled later only the share in all rows is told.
    """
    columns = list(TABLES[source.table])
    counts = ", ".join(f"count({quoted(each)})" for each in columns)
    whole = source.ask(f"SELECT {counts} FROM {source.table}")[0]
    found: dict[str, dict[str, Any]] = {
        column: {"missing": 1 - held / source.rows} for column, held in zip(columns, whole, strict=True)
    }
    if source.newest is not None:
        blocks = source.ask(
            f"SELECT {source.block}, count(*), {counts} FROM {source.table} "
            f"WHERE {source.time} IS NOT NULL GROUP BY 1 ORDER BY 1"
        )
        for place, column in enumerate(columns):
            if column in FILLED_LATER.get(source.table, ()):
                continue
            found[column] |= lately([(block, rows, held[place]) for block, rows, *held in blocks])
    return found


def lately(blocks: list[tuple[int, int, int]]) -> dict[str, Any]:
    """The last block beside those before. blocks: (block, rows, rows that hold a value), the last first."""
    shares = {block: 1 - held / rows for block, rows, held in blocks if block <= HISTORY}
    now, past = shares.get(0, 0.0), [share for block, share in shares.items() if block]
    noise = share_noise(sum(past) / len(past), blocks[0][1]) if past else 0.0
    usual = bounds(past, noise)
    return {
        "missing_last": now,
        "usual": usual,
        "alarm": usual is not None and now > usual[1],
        "fell": usual is not None and now < usual[0],
    }


def said(table: str, column: str, found: dict[str, Any]) -> str:
    return (
        f"{table}.{column} is missing in {found['missing_last']:.1%} of the rows of the last 28 days, before "
        f"in at most {found['usual'][1]:.1%}"
    )


def fell(table: str, column: str, found: dict[str, Any]) -> str:
    return (
        f"{table}.{column} is missing in only {found['missing_last']:.1%} of the rows of the last 28 days, "
        f"before in at least {found['usual'][0]:.1%}"
    )
