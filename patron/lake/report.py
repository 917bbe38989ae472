"""An import's report, as people read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from patron import console

if TYPE_CHECKING:
    from rich.console import Console

COUNTS = ("read", "accepted", "duplicate", "quarantined", "skipped")


def show(report: dict[str, Any], screen: Console) -> None:
    """Draw the accounting of every table, and why rows were left out."""
    title = f"Imported by {report['mapping']} ({report['currency']})"
    rows = [
        [table, *map(total, (counts[each] for each in COUNTS))] for table, counts in report["tables"].items()
    ]
    screen.print(console.table(title, ["table", *COUNTS], rows))
    reasons = list(left_out(report))
    if reasons:
        screen.print(console.table("What rows were", ["table: reason", "rows"], reasons))
    sales = report["tables"].get("order_lines", {}).get("known_customer_sales")
    if sales:
        screen.print(
            f"Sales lines of known customers: {sales['read']:,} read, {sales['exact_duplicates']:,} the same "
            f"again, {sales['accepted']:,} accepted.",
            markup=False,
        )


def total(count: int | dict[str, int]) -> int:
    return sum(count.values()) if isinstance(count, dict) else count


def left_out(report: dict[str, Any]) -> Iterator[list[Any]]:
    """Rows that are not simply new: told by table and reason."""
    for table, counts in report["tables"].items():
        if counts["updated"]:
            yield [f"{table}: accepted in place of older ones", counts["updated"]]
        for what in ("quarantined", "skipped", "returns"):
            for reason, count in counts.get(what, {}).items():
                if count:
                    yield [f"{table}: {what}: {reason}", count]
