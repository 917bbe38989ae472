"""Affinity of customers to what they bought: how often, how long ago, at which interval of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features import lists
from features.staging import Staged, before

if TYPE_CHECKING:
    import ibis


def pairs(staged: Staged, cutoff: int, thing: str) -> ibis.Table:
    """One row for each customer and `thing` (`product_id` or `category`) bought before the cutoff."""
    lines = before(staged.lines, cutoff)
    bought = lines.filter(
        ~lines.is_return, lines.visible, lines.customer_id.notnull(), lines[thing].notnull()
    )
    found = bought.group_by("customer_id", thing=bought[thing]).agg(
        times=bought.order_id.nunique(), first=bought["at"].min(), last=bought["at"].max()
    )
    gaps = (found.times - 1).nullif(0)
    return found.mutate(age=cutoff - found["last"], interval=(found["last"] - found["first"]) // gaps)


def affinity(
    staged: Staged, cutoff: int, thing: str, names: tuple[str, str, str, str], limit: int
) -> ibis.Table:
    """The `limit` most recently bought things of each customer as four lists, the most recent last."""
    kept = lists.newest_last(pairs(staged, cutoff, thing), "customer_id", ["last", "thing"], limit)
    things, times, since, interval = names
    return kept.group_by("customer_id").agg(
        **{
            things: lists.strings(kept.rank, kept.thing),
            times: lists.integers(kept.rank, kept.times),
            since: lists.days(kept.rank, kept.age),
            interval: lists.days(kept.rank, kept.interval.cast("int64")),
        }
    )
