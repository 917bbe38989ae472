"""Customer channel: the channel whose offers somebody takes up.

When an offer was taken up is not recorded, only when it was shown. So that nothing of the future is seen,
what was shown in the last days before the cutoff is left out: whether it will be taken up is not yet known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.staging import Staged, whole_seconds
from features.view import DAY, FieldType, View

if TYPE_CHECKING:
    import ibis

RESPONSE_DAYS = 42
"""After so many days an offer was taken up, or is not any more."""
FIELDS: dict[str, FieldType] = {"preferred_channel": "String", "channel_responses": "Int64"}


def snapshot(staged: Staged, cutoff: int) -> ibis.Table:
    """One row for each customer who took up an offer of a single channel that was shown early enough.

    Of channels with as many responses the one that was shown last counts, then the first by name.
    """
    import ibis

    offers = staged.offers.filter(staged.offers.channels.length() == 1)
    sent = offers.select("offer_id", channel=offers.channels[0])
    shown = staged.exposures.mutate(at=whole_seconds(staged.exposures.shown_at))
    taken = shown.filter(shown.converted, shown["at"] < cutoff - RESPONSE_DAYS * DAY).inner_join(
        sent, "offer_id"
    )
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
    description="The channel whose offers a customer takes up most.",
    tables=("offers", "exposures"),
)
