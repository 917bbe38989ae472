"""Affinity of customers to what they bought: how often, how lately, how long ago, at which own interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features import lists
from features.staging import Staged, before

if TYPE_CHECKING:
    import ibis


DAY = 86_400


def pairs(staged: Staged, cutoff: int, thing: str, windows: tuple[int, ...] = ()) -> ibis.Table:
    """One row for each customer and `thing` (`product_id` or `category`) bought before the cutoff.

    `times_{w}d` counts the orders of the last w days.
    """
    lines = before(staged.lines, cutoff)
    bought = lines.filter(
        ~lines.is_return, lines.visible, lines.customer_id.notnull(), lines[thing].notnull()
    )
    found = bought.group_by("customer_id", thing=bought[thing]).agg(
        times=bought.order_id.nunique(),
        first=bought["at"].min(),
        last=bought["at"].max(),
        **{f"times_{w}d": bought.order_id.nunique(where=bought["at"] >= cutoff - w * DAY) for w in windows},
    )
    gaps = (found.times - 1).nullif(0)
    return found.mutate(age=cutoff - found["last"], interval=(found["last"] - found["first"]) // gaps)


def affinity(
    staged: Staged,
    cutoff: int,
    thing: str,
    names: tuple[str, str, str, str],
    limit: int,
    lately: dict[str, int] | None = None,
) -> ibis.Table:
    """The `limit` most recently bought things of each customer as lists, the most recent last.

    lately: name of a further list -> the days before the cutoff whose orders it counts.
    """
    windows = lately or {}
    found = pairs(staged, cutoff, thing, tuple(windows.values()))
    kept = lists.newest_last(found, "customer_id", ["last", "thing"], limit)
    things, times, since, interval = names
    return kept.group_by("customer_id").agg(
        **{
            things: lists.strings(kept.rank, kept.thing),
            times: lists.integers(kept.rank, kept.times),
            since: lists.days(kept.rank, kept.age),
            interval: lists.days(kept.rank, kept.interval.cast("int64")),
            **{name: lists.integers(kept.rank, kept[f"times_{w}d"]) for name, w in windows.items()},
        }
    )
