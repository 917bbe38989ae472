"""Customer channel: the channel whose offers somebody takes up.

When an offer was taken up is not recorded, only when it was shown: as of today this has no history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.staging import Staged, whole_seconds
from features.view import FieldType, View

if TYPE_CHECKING:
    import ibis

FIELDS: dict[str, FieldType] = {"preferred_channel": "String", "channel_responses": "Int64"}


def snapshot(staged: Staged, cutoff: int) -> ibis.Table:
    """One row for each customer who took up an offer of a single channel that was shown before the cutoff.

    Of channels with as many responses the one that was shown last counts, then the first by name.
    """
    import ibis

    offers = staged.offers.filter(staged.offers.channels.length() == 1)
    sent = offers.select("offer_id", channel=offers.channels[0])
    shown = staged.exposures.mutate(at=whole_seconds(staged.exposures.shown_at))
    taken = shown.filter(shown.converted, shown["at"] < cutoff).inner_join(sent, "offer_id")
    counted = taken.group_by("customer_id", "channel").agg(responses=taken.count(), last=taken["at"].max())
    order = [ibis.desc("responses"), ibis.desc("last"), "channel"]
    best = ibis.row_number().over(ibis.window(group_by="customer_id", order_by=order))
    first = counted.mutate(place=best).filter(lambda each: each.place == 0)
    return first.select("customer_id", preferred_channel=first.channel, channel_responses=first.responses)


VIEW = View(
    name="customer_channel",
    entity="customer",
    fields=FIELDS,
    snapshot=snapshot,
    description="The channel whose offers a customer takes up most, as it is now.",
    historical=False,
    tables=("offers", "exposures"),
)
