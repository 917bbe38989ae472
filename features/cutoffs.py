"""Cutoffs: the moments that features are computed as of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from features.staging import Staged
from patron.errors import FeatureError, LakeError

HISTORY_DAYS = 56
"""The oldest cutoff has at least so many days of orders before it."""


def span(staged: Staged) -> tuple[datetime, datetime]:
    """Time of the first and the last order line of a lake, in UTC. Raises LakeError without a line."""
    first, last = (
        staged.lines.aggregate(first=staged.lines["at"].min(), last=staged.lines["at"].max())
        .to_pyarrow()
        .to_pylist()[0]
        .values()
    )
    if first is None:
        raise LakeError("The lake holds no order_lines. Import some: patron import online-retail FILE")
    return datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)


def newest(last_order: datetime) -> datetime:
    """The midnight (UTC) after the last order: everything known is before it."""
    return last_order.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def rolling(first_order: datetime, last_order: datetime, step_days: int, limit: int) -> list[datetime]:
    """The newest cutoff and those `step_days` apart before it, oldest first, `limit` at most."""
    end = newest(last_order)
    found = [end]
    while len(found) < limit:
        earlier = found[-1] - timedelta(days=step_days)
        if earlier < first_order + timedelta(days=HISTORY_DAYS):
            break
        found.append(earlier)
    return found[::-1]


def midnights(asked: Iterable[datetime]) -> list[datetime]:
    """The asked cutoffs, oldest first, each once. Raises FeatureError unless each is a midnight in UTC."""
    found = sorted(set(asked))
    for each in found:
        if each != parse(f"{each:%Y-%m-%d}"):
            raise FeatureError(f"A cutoff is a midnight in UTC. Found {each.isoformat()}; give a date.")
    return found


def parse(text: str) -> datetime:
    """A cutoff as typed: `2011-09-10`, midnight UTC. Raises FeatureError."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise FeatureError(f"'{text}' is not a cutoff. Expected a date such as 2011-09-10.") from None
