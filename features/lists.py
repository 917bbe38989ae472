"""Lists in a known order, built only from integers, strings and sorting, which every engine does alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis

STEP = 10**11
"""Larger than any value that is packed below a rank: epoch seconds until the year 5138."""
WIDTH = 10_000
"""Ranks are below this, so that a rank printed after adding WIDTH has always five digits."""


def newest_last(table: ibis.Table, key: str, order: list[str], limit: int) -> ibis.Table:
    """The `limit` last rows of each `key` by `order`, with `rank`: higher is newer."""
    import ibis

    newest_first = ibis.window(group_by=key, order_by=[ibis.desc(column) for column in order])
    ranked = table.mutate(place=ibis.row_number().over(newest_first))
    kept = ranked.filter(ranked.place < limit)
    return kept.mutate(rank=(WIDTH - 1 - kept.place).cast("int64"))


def strings(rank: ibis.Value, value: ibis.Value) -> ibis.Value:
    """Collect strings by ascending rank."""
    packed = (rank + WIDTH).cast("string") + value
    return packed.collect().sort().map(lambda each: each.substr(5))


def integers(rank: ibis.Value, value: ibis.Value) -> ibis.Value:
    """Collect non-negative integers below STEP by ascending rank."""
    packed = rank * STEP + value
    return packed.collect().sort().map(lambda each: each % STEP)


def days(rank: ibis.Value, seconds: ibis.Value) -> ibis.Value:
    """Collect spans of whole seconds as days by ascending rank; -1 stands for a missing span."""
    packed = rank * STEP + seconds.fill_null(STEP - 1)
    return (
        packed.collect()
        .sort()
        .map(lambda each: (each % STEP == STEP - 1).ifelse(-1.0, (each % STEP).cast("float64") / 86_400.0))
    )
