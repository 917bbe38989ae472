"""Outliers: order lines whose quantity, price or value is far from usual, by robust bounds of logarithms."""

from __future__ import annotations

import math
from typing import Any

from patron.quality.completeness import HISTORY
from patron.quality.tables import Source
from patron.quality.usual import SIGMA, bounds, share_noise

FAR = 6.0
"""Robust standard deviations from the median, of logarithms."""

SHOWN = 5
"""Examples of each measure, the furthest first."""

MEASURES = {
    "quantity": "abs(quantity)",
    "unit_price": "unit_price / own_price",
    "line_value": "abs(quantity) * unit_price",
}
"""What is measured; a price is told as a multiple of the median price of the same product."""


def outliers(source: Source) -> dict[str, dict[str, Any]]:
    """Measure -> its usual bounds, the share of lines beyond them, and examples by row hash."""
    if source.table != "order_lines":
        return {}
    source.ask(
        "CREATE OR REPLACE TEMP TABLE measured AS "
        "WITH prices AS (SELECT product_id, CAST(median(CAST(unit_price AS DOUBLE)) AS DOUBLE) AS own_price "
        "FROM order_lines WHERE unit_price > 0 GROUP BY product_id) "
        f"SELECT row_hash, {source.block} AS block, "
        + ", ".join(f"CASE WHEN {what} > 0 THEN ln({what}) END AS {name}" for name, what in MEASURES.items())
        + " FROM (SELECT * REPLACE (CAST(unit_price AS DOUBLE) AS unit_price) FROM order_lines) "
        "LEFT JOIN prices USING (product_id)"
    )
    found = {name: measure(source, name) for name in MEASURES}
    source.ask("DROP TABLE measured")
    return {name: each for name, each in found.items() if each}


def measure(source: Source, name: str) -> dict[str, Any] | None:
    """One measure; None where no line has it."""
    logs = f"SELECT row_hash, block, {name} AS x FROM measured WHERE {name} IS NOT NULL"
    middle = source.ask(f"SELECT median(x) FROM ({logs})")[0][0]
    if middle is None:
        return None
    away = f"SELECT *, abs(x - {middle!r}) AS away FROM ({logs})"
    typical, most = source.ask(f"SELECT median(away), quantile_cont(away, 0.99) FROM ({away})")[0]
    width = FAR * scale(typical, most)
    blocks = source.ask(
        f"SELECT block, count(*), count(*) FILTER (away > {width!r}) FROM ({away}) "
        f"WHERE block <= {HISTORY} GROUP BY 1 ORDER BY 1"
    )
    lines, beyond = source.ask(f"SELECT count(*), count(*) FILTER (away > {width!r}) FROM ({away})")[0]
    examples = source.ask(
        f"SELECT row_hash, exp(x) FROM ({away}) WHERE away > {width!r} "
        f"ORDER BY away DESC, row_hash LIMIT {SHOWN}"
    )
    return {
        "median": math.exp(middle),
        "low": math.exp(middle - width),
        "high": math.exp(middle + width),
        "share": beyond / lines,
        "lines": beyond,
        "examples": [{"row_hash": row, "value": float(f"{value:.6g}")} for row, value in examples],
        **lately(blocks),
    }


def scale(typical: float, most: float) -> float:
    """Robust standard deviation of logarithms, from the median distance to the median.

    Where more than half the lines are the same, that is 0: then from the distance that one in a hundred
    exceeds, and where even those are the same, a factor of two.
    """
    return SIGMA * typical or most / 2.576 or math.log(2)


def lately(blocks: list[tuple[int, int, int]]) -> dict[str, Any]:
    """The share beyond in the last block, and what is usual by those before it."""
    shares = {block: beyond / lines for block, lines, beyond in blocks}
    past = [share for block, share in shares.items() if block]
    noise = share_noise(sum(past) / len(past), blocks[0][1]) if past else 0.0
    usual = bounds(past, noise)
    now = shares.get(0, 0.0)
    return {"share_last": now, "usual": usual, "alarm": usual is not None and now > usual[1]}


def said(table: str, name: str, found: dict[str, Any]) -> str:
    return (
        f"{table}: {found['share_last']:.2%} of the last 28 days' lines have a {name.replace('_', ' ')} "
        f"outside {found['low']:.4g} .. {found['high']:.4g}, before at most {found['usual'][1]:.2%}"
    )
