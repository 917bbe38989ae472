"""What came of the answers: impressions, clicks and purchases by placement, joined by recommendation_id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from patron.events import answers, log
from patron.events.database import BUSY_MILLISECONDS

NAMES = (
    "placement",
    "answers",
    "impressions",
    "click_rate",
    "cart_rate",
    "conversion_rate",
    "fallback_share",
    "relevance_cost",
)
QUERY = """
with outcomes as (
    select recommendation_id,
        max(name in ('view_item', 'select_item')) as clicked,
        max(name = 'add_to_cart') as added,
        max(name = 'purchase') as bought
    from events.events where recommendation_id is not null group by recommendation_id
), shown as (
    select recommendation_id, min(placement) as placement, count(*) as pages,
        sum(json_array_length(product_ids)) as products, sum(rung <> 'personal') as fallbacks,
        avg(relevance_cost) as relevance_cost
    from answers group by recommendation_id
)
select placement, sum(pages) as answers, sum(products) as impressions,
    avg(coalesce(clicked, 0)) as click_rate, avg(coalesce(added, 0)) as cart_rate,
    avg(coalesce(bought, 0)) as conversion_rate, sum(fallbacks) * 1.0 / sum(pages) as fallback_share,
    avg(relevance_cost) as relevance_cost
from shown left join outcomes using (recommendation_id)
group by placement order by answers desc
"""


def by_placement(folder: Path) -> list[dict[str, Any]]:
    """One row a placement, of what the logs in `folder` still hold; [] where nothing was shown.

    A rate is the share of recommendations, with all their pages, that had such an event at least once.
    """
    if not (folder / answers.FILE).is_file():
        return []
    import apsw

    connection = apsw.Connection(str(folder / answers.FILE), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    try:
        events = folder / log.FILE
        connection.execute("attach ? as events", (str(events) if events.is_file() else ":memory:",))
        if not events.is_file():
            connection.execute("create table events.events (recommendation_id text, name text)")
        return [dict(zip(NAMES, row, strict=True)) for row in connection.execute(QUERY)]
    finally:
        connection.close()
