"""Exposures that nobody drew at random: what they look like beside customers who were not shown the offer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.offline import snapshot
from patron.models.activity import Numbers, matrix, references
from patron.models.offers import INPUTS, NAMES
from patron.offers.terms import NONE
from training.consent import withheld
from training.observational import diagnose

if TYPE_CHECKING:
    from training.offers import OffersJob

LEAST = 50
"""Customers shown an offer at one moment: from so many on it is a campaign, and can be compared."""
MOST = 8
"""Campaigns of a treatment that are compared: the largest."""


@dataclass(frozen=True)
class Compared:
    """One campaign: every customer with features as of then, and what they spent before and after."""

    customers: NDArray[np.str_]
    treated: NDArray[np.bool_]
    features: Numbers
    earlier: Numbers
    """Features as of before the time that `before` counts."""
    after: Numbers
    before: Numbers


def observed(job: OffersJob) -> list[dict[str, Any]]:
    """A diagnosis for each treatment with a campaign; see `training.observational`."""
    found = []
    for arm, campaigns in sorted(by_arm(job).items()):
        job.say(f"Comparing who was shown {arm} with who was not")
        parts = [each for moment, ids in campaigns if (each := compared(job, moment, ids)) is not None]
        if parts:
            found.append({"treatment": arm, "campaigns": len(parts), **diagnosed(job, arm, parts)})
    return found


def by_arm(job: OffersJob) -> dict[str, list[tuple[datetime, set[str]]]]:
    """Treatment -> (moment, who was shown it) of its largest campaigns."""
    shown: dict[tuple[str, str, datetime], set[str]] = defaultdict(set)
    groups = {each.offer_id: each.arm for each in job.catalogue.offers}
    for place in np.flatnonzero(~job.exposures.randomised).tolist():
        row = job.exposures.rows[place]
        if row["offer_id"] != NONE:
            arm = groups.get(row["offer_id"], row["offer_id"])
            shown[arm, row["offer_id"], row["shown_at"]].add(row["customer_id"])
    found: dict[str, list[tuple[datetime, set[str]]]] = defaultdict(list)
    for (arm, _, moment), ids in sorted(shown.items(), key=lambda each: (-len(each[1]), each[0][1])):
        if len(ids) >= LEAST and len(found[arm]) < MOST:
            found[arm].append((moment, ids))
    return found


def compared(job: OffersJob, moment: datetime, shown: set[str]) -> Compared | None:
    """None where features of before do not reach back, or the days after have not ended."""
    length = timedelta(days=job.exposures.days)
    now = [each for each in job.cutoffs if each <= moment]
    then = [each for each in job.cutoffs if each <= moment - length]
    if not now or not then or moment + length > job.cutoff:
        return None
    wanted, refused = list(references(INPUTS)), withheld(job.settings)
    late, early = (snapshot(job.settings, wanted, each[-1]) for each in (now, then))
    both = sorted((set(late.ids) & set(early.ids)) - refused)
    after, before = (
        job.orders.after(both, start, job.exposures.days)[1] for start in (moment, moment - length)
    )
    return Compared(
        np.array(both, dtype=np.str_),
        np.array([each in shown for each in both], dtype=bool),
        matrix(late.columns, NAMES)[places(late.ids, both)],
        matrix(early.columns, NAMES)[places(early.ids, both)],
        after,
        before,
    )


def places(ids: list[str], wanted: list[str]) -> NDArray[np.int64]:
    known = {name: place for place, name in enumerate(ids)}
    return np.array([known[each] for each in wanted], dtype=np.int64)


def diagnosed(job: OffersJob, arm: str, parts: list[Compared]) -> dict[str, Any]:
    """All campaigns of a treatment together; a customer's rows count as one."""
    columns: Iterator[Any] = (
        np.concatenate([getattr(each, name) for each in parts])
        for name in ("features", "treated", "after", "before", "earlier", "customers")
    )
    found = diagnose(
        NAMES, *columns, outcome_name=f"spending in {job.exposures.days} days", seed=job.settings.seed
    ).document()
    for name in ("can", "cannot"):
        found[name] = [f"{arm}: {each}" for each in found[name]]
    return found
