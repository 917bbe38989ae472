"""Customer browsing: what a customer did on the pages in the last 30 days, their sessions included.

An anonymous event belongs to the customer who had signed in to its session last, or else to the first who did
later, if that was before the cutoff too. `features/live.py` computes the same from the event log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from features import lists
from features.staging import Staged, whole_seconds
from features.view import DAY, FieldType, View

if TYPE_CHECKING:
    import ibis

LENGTH = 50
DAYS = 30
"""How far back anything is looked at; the event log keeps more than that."""
COUNTED = {"views": "view_item", "carts": "add_to_cart", "purchases": "purchase", "searches": "search"}
"""Feature -> name of the events that it counts."""
WINDOWS = (7, DAYS)
WEIGHTS = {"view_item": 1, "select_item": 1, "add_to_wishlist": 2, "add_to_cart": 3}
"""Name of an event -> how much it says about interest in its product."""
LAST = "days_since_event"
LISTS = ("browsed_product_ids", "browsed_days_since", "browsed_weights")


def fields() -> dict[str, FieldType]:
    found: dict[str, FieldType] = {f"{name}_{days}d": "Int64" for name in COUNTED for days in WINDOWS}
    kinds: tuple[FieldType, ...] = ("Array(String)", "Array(Float64)", "Array(Int64)")
    return found | {LAST: "Float64"} | dict(zip(LISTS, kinds, strict=True))


def owned(events: ibis.Table, cutoff: int) -> ibis.Table:
    """Events before the cutoff with `owner`: whose they are as far as was known then, null where nobody's."""
    import ibis

    known = events.mutate(at=whole_seconds(events.occurred_at))
    known = known.filter(known["at"] < cutoff)
    signed = known.customer_id.notnull()
    in_session = ibis.window(
        group_by="session_id", order_by=["occurred_at", "event_id"], preceding=None, following=0
    )
    turns = known.mutate(turn=signed.cast("int64").sum().over(in_session))
    of_turn = turns.customer_id.max().over(ibis.window(group_by=["session_id", "turn"]))
    first = ibis.ifelse(turns.turn == 1, turns.customer_id, ibis.null("string"))
    of_session = first.max().over(ibis.window(group_by="session_id"))
    merged = ibis.coalesce(turns.customer_id, ibis.ifelse(turns.turn > 0, of_turn, of_session))
    owner = ibis.ifelse(turns.session_id.isnull(), turns.customer_id, merged)
    return turns.mutate(owner=owner)


def counts(events: ibis.Table, cutoff: int) -> ibis.Table:
    """How many events of each counted name each customer has in each window, and its last one's age."""
    age = (cutoff - events["at"].max()).cast("float64") / float(DAY)
    return events.group_by("customer_id").agg(
        **{LAST: age},
        **{
            f"{name}_{days}d": events.count(
                where=(events.name == counted) & (events["at"] >= cutoff - days * DAY)
            )
            for name, counted in COUNTED.items()
            for days in WINDOWS
        },
    )


def browsed(events: ibis.Table, cutoff: int) -> ibis.Table:
    """The last products that each customer looked at, wished for or put into the cart, the newest last."""
    import ibis

    weight = ibis.cases(*((events.name == name, each) for name, each in WEIGHTS.items()), else_=0)
    shown = events.mutate(weight=weight.cast("int64")).filter(events.product_id.notnull())
    shown = shown.filter(shown.weight > 0)
    pairs = shown.group_by("customer_id", "product_id").agg(last=shown["at"].max(), weight=shown.weight.max())
    kept = lists.newest_last(pairs, "customer_id", ["last", "product_id"], LENGTH)
    return kept.group_by("customer_id").agg(
        browsed_product_ids=lists.strings(kept.rank, kept.product_id),
        browsed_days_since=lists.days(kept.rank, cutoff - kept["last"]),
        browsed_weights=lists.integers(kept.rank, kept.weight),
    )


def snapshot(staged: Staged, cutoff: int) -> ibis.Table:
    """One row for each customer with an event in the 30 days before the cutoff."""
    found = owned(staged.events, cutoff)
    recent = found.filter(found.owner.notnull(), found["at"] >= cutoff - DAYS * DAY)
    mine = recent.select("name", "product_id", "at", customer_id=recent.owner)
    return (
        counts(mine, cutoff).left_join(browsed(mine, cutoff), "customer_id").select("customer_id", *fields())
    )


VIEW = View(
    name="customer_browsing",
    entity="customer",
    fields=fields(),
    snapshot=snapshot,
    description=f"Views, carts, purchases and searches of {DAYS} days, days since the last event, "
    "and the last products browsed.",
    lapses=True,
    tables=("events",),
)
