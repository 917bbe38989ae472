"""What was shown to whom, and what they did in the days after: the log that offer policies learn from."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.offline import historical
from patron.lake.tables import Lake
from patron.models.activity import Numbers
from patron.models.offer_log import OfferLog
from patron.offers.catalogue import shop_catalogue
from patron.offers.leaving_alone import whole
from patron.offers.terms import NONE
from patron.settings import Settings
from training.consent import withheld
from training.labels import DAY, Orders

OWN, ALONE = "patron-offers", ":alone"
"""What policies of the service begin with, and end with where the customer was left alone for a period."""
RESPONSE_DAYS = 42
"""How long what others showed may be taken up, where its offer has no end: when it was, they do not tell."""
CENTURY = 1 << 34
"""Seconds, more than any moment since 1970 has."""


class Exposures:
    """Every exposure within the built cutoffs, oldest first; arrays of the shape (exposures,).

    Those of customers who do not want models to learn from them are left out.
    """

    def __init__(
        self,
        settings: Settings,
        cutoffs: list[datetime],
        orders: Orders,
        days: int,
        policies: tuple[str, ...],
        share: float,
    ) -> None:
        """policies: those that drew at random. share: of revenue without known cost, what the shop keeps."""
        self.settings, self.cutoffs, self.orders, self.days = settings, cutoffs, orders, days
        self.amounts = orders.margins(share)
        files, refused = Lake(settings.lake).files("exposures"), withheld(settings)
        rows = [row for path in files for row in pq.read_table(path).to_pylist()]
        rows = [row for row in rows if row["customer_id"] not in refused]
        rows = [row for row in rows if cutoffs[0] <= row["shown_at"] < cutoffs[-1]]
        self.rows = sorted(rows, key=lambda row: (row["shown_at"], row["decision_id"]))
        self.ids = [row["customer_id"] for row in self.rows]
        self.at = np.array([row["shown_at"].timestamp() for row in self.rows])
        drawn = [str(row["policy"]).removesuffix(ALONE) in policies for row in self.rows]
        self.randomised = np.array(drawn, dtype=bool)
        self.rested = np.array([str(row["policy"]).endswith(ALONE) for row in self.rows], dtype=bool)

    @cached_property
    def open_until(self) -> Numbers:
        """Epoch seconds until which each exposure may be taken up: whether it was is not known before.

        The service's own decisions say so themselves. Of others only the outcome is told, not its time.
        """
        ends = {each.offer_id: each.valid_to for each in shop_catalogue(self.settings).offers}
        found = self.at.copy()
        for place, row in enumerate(self.rows):
            if not str(row["policy"]).startswith(OWN):
                end = ends.get(row["offer_id"])
                found[place] = end.timestamp() if end else found[place] + RESPONSE_DAYS * DAY
        return found

    @cached_property
    def groups(self) -> dict[str, str]:
        """Offer -> the arm under which it was mostly shown; offers whose exposures name none are left out."""
        arms: dict[str, Counter[str]] = {}
        for row in self.rows:
            if row["arm"]:
                arms.setdefault(row["offer_id"], Counter())[row["arm"]] += 1
        return {name: found.most_common(1)[0][0] for name, found in arms.items()}

    @cached_property
    def apart(self) -> NDArray[np.bool_]:
        """What effects are learned from, of what was drawn at random: exposures with outcome windows of their
        own, from each customer's first on. Which ones are looked at follows from their times alone.

        Of Patron's own decisions only those whose window lies within one period of the customer, and showing
        nothing counts only for who was left alone for all of it: others may be offered something tomorrow.
        """
        found = np.zeros(len(self), dtype=bool)
        until: dict[str, float] = {}
        for place in np.flatnonzero(self.randomised).tolist():
            customer, at, row = self.ids[place], float(self.at[place]), self.rows[place]
            own = str(row["policy"]).startswith(OWN)
            if at < until.get(customer, -np.inf) or (own and not whole(customer, at, self.days)):
                continue
            until[customer] = at + self.days * DAY
            found[place] = not own or row["offer_id"] != NONE or self.rested[place]
        return found

    def __len__(self) -> int:
        return len(self.rows)

    def ended(self, since: datetime | None, until: datetime) -> NDArray[np.int64]:
        """Places of what was shown from `since` on and whose days were over by `until`."""
        over = self.at + self.days * DAY <= until.timestamp()
        return np.flatnonzero(over if since is None else over & (self.at >= since.timestamp()))

    def log(self, places: NDArray[np.int64], references: list[str], known_by: datetime) -> OfferLog:
        """These exposures, with features as of the last cutoff before each, and what was known by a moment:
        orders, and whether an offer was taken up that nobody could take up any more."""
        rows = [self.rows[place] for place in places.tolist()]
        moments = [max(each for each in self.cutoffs if each <= row["shown_at"]) for row in rows]
        found = historical(self.settings, [row["customer_id"] for row in rows], moments, references)
        ordered, margin = self.outcome(places, known_by)
        converted = np.array([taken_up(row["converted"]) for row in rows], dtype=np.float64)
        converted[self.open_until[places] > known_by.timestamp()] = np.nan
        return OfferLog(
            rows=found.columns,
            offer_id=np.array([row["offer_id"] for row in rows], dtype=object),
            propensity=np.array([row["propensity"] for row in rows], dtype=np.float64),
            converted=converted,
            value=np.array([float(row["value"] or 0) for row in rows], dtype=np.float64),
            ordered=ordered,
            margin=margin,
            randomised=self.randomised[places],
            apart=self.apart[places],
            rested=self.rested[places],
            chances=chances([row.get("propensities") for row in rows]),
        )

    def outcome(self, places: NDArray[np.int64], known_by: datetime) -> tuple[Numbers, Numbers]:
        """(whether the customer ordered, 0 or 1; margin of all orders) in the days after each exposure."""
        known = self.orders.learned < known_by.timestamp()
        counted = np.concatenate([[0.0], np.cumsum(self.orders.is_order * known)])
        earned = np.concatenate([[0.0], np.cumsum(self.amounts * known)])
        start, end = (self._before(places, days) for days in (0, self.days))
        return (counted[end] > counted[start]).astype(np.float64), earned[end] - earned[start]

    @cached_property
    def _names(self) -> NDArray[np.str_]:
        return np.unique(self.orders.names)

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        """Customer and time of each moment in one number: ascending, as the orders are."""
        codes = np.searchsorted(self._names, self.orders.names)
        return codes * CENTURY + self.orders.at.astype(np.int64)

    def _before(self, places: NDArray[np.int64], days: float) -> NDArray[np.int64]:
        """How many moments come before `days` after each exposure, counted over all customers in order.

        A customer without any order stands between others: none of theirs lies in between.
        """
        ids = np.array([self.ids[place] for place in places.tolist()], dtype=np.str_)
        codes = np.searchsorted(self._names, ids) if len(ids) else np.zeros(0, dtype=np.int64)
        known = np.isin(ids, self._names)
        at = np.ceil(self.at[places] + days * DAY).astype(np.int64)
        return np.searchsorted(self._keys, codes * CENTURY + np.where(known, at, 0))


def chances(told: list[str | None]) -> NDArray[Any]:
    """What the lake says of every arm's propensity, as dictionaries; None where it says nothing."""
    found = np.empty(len(told), dtype=object)
    found[:] = [None if each is None else json.loads(each) for each in told]
    return found


def taken_up(converted: bool | None) -> float:
    """1, 0, or NaN while nobody knows."""
    return np.nan if converted is None else float(converted)


def last_part(exposures: Exposures, cutoffs: list[datetime], share: float) -> datetime:
    """The last cutoff before the newest `share` of what was shown and has ended.

    Of what was drawn at random, where anything was: only that is judged. The last cutoff where nothing ended.
    """
    ended = exposures.ended(None, cutoffs[-1])
    drawn = ended[exposures.randomised[ended]]
    ended = drawn if len(drawn) else ended
    if not len(ended):
        return cutoffs[-1]
    moment = exposures.at[ended[int((1 - share) * (len(ended) - 1))]]
    return max(each for each in cutoffs if each.timestamp() <= moment)
