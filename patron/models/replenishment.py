"""Replenishment: which product a customer is likely to need again, and when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from patron.errors import DataError
from patron.files import publish_json
from patron.models.activity import Numbers
from patron.models.base import HISTORY, Config, CustomerHistory, FeatureRows, Model
from patron.models.bought_pairs import Pairs, of_history, pairs
from patron.models.catalogue import Catalogue
from patron.models.hazard import Hazard
from patron.models.usual_intervals import UsualIntervals

INPUTS: dict[str, tuple[str, ...]] = {
    "usual_interval": ("usual_due", "usual"),
    "own_interval": ("own_due", "own_due_squared", "times"),
    "hazard": (
        *("usual_due", "usual", "own_due", "due", "due_squared", "overdue", "expected", "times", "age"),
        *("since", "pace", "times_28d", "times_91d", "share", "repeat_rate", "recency", "recency_to_gap"),
        *("visits_28d", "visits_91d", "bought_28d", "bought_91d"),
    ),
}
"""What each kind reads; `columns` says what they are."""


class ReplenishmentConfig(Config):
    """What `configs/models/replenishment.toml` may set."""

    kind: Literal["hazard", "own_interval", "usual_interval"] = "hazard"
    """hazard: over all inputs. own_interval, usual_interval: over the time since the last purchase measured
    in the customer's own mean interval (and the times bought), or in the product's usual one."""
    days: tuple[int, ...] = (7, 14, 28)
    """P(bought again within so many days) is told for each."""
    least_repeat_rate: float = 0.2
    """A product is replenishable if at least this share of its buyers bought it again..."""
    least_times: int = 2
    """...and for a customer who bought it in so many orders."""
    least_probability: float = 0.05
    """What is less likely within the longest of the days is not told as due."""
    penalty: float = 10.0
    """L2 penalty of the hazard."""


@dataclass(frozen=True)
class Due:
    """A product that a customer may need again; `due_in_days` is below 0 where that is past."""

    product_id: str
    title: str
    due_in_days: float
    probability_within: dict[int, float]
    """Days -> P(bought again within them)."""
    text: str


@dataclass(frozen=True)
class DueTable:
    """What is due for many customers, most likely first: one entry a (customer, product)."""

    customer: NDArray[np.int64]
    """Row of the customer, ascending."""
    product_ids: NDArray[np.str_]
    titles: NDArray[np.str_]
    """"" where unknown."""
    times: Numbers
    interval_days: Numbers
    """The customer's own interval shrunk to the product's usual one."""
    due_in_days: Numbers
    probability: Numbers
    """Shape (entries, days)."""

    def __len__(self) -> int:
        return len(self.customer)

    def texts(self) -> list[str]:
        """'coffee is due in 5 days: bought 8 times, usually every 21 days'."""
        names = np.where(self.titles == "", self.product_ids, self.titles).tolist()
        return [
            told(*each)
            for each in zip(
                names,
                self.due_in_days.tolist(),
                self.times.tolist(),
                self.interval_days.tolist(),
                strict=True,
            )
        ]


class Replenishment(Model):
    """Fit on some cutoffs, calibrate on the newest; `usual` is set to what was known at the last of all."""

    Config = ReplenishmentConfig
    references = HISTORY

    def __init__(self, config: ReplenishmentConfig | None = None) -> None:
        self.config = config or ReplenishmentConfig()
        self.usual = UsualIntervals(np.zeros(0, dtype="U1"), np.zeros(0), np.zeros(0))
        self.titles: NDArray[np.str_] = np.zeros(0, dtype="U1")
        self.hazard: Hazard | None = None

    def fit(self, inputs: Numbers, waits: Numbers) -> Self:
        """Learn from `inputs` of the pairs of one or more cutoffs; waits: days until bought again, or inf."""
        names = INPUTS[self.config.kind]
        self.hazard = Hazard.fit(names, self.config.days, inputs, waits, self.config.penalty)
        return self

    def calibrate(self, cases: Sequence[tuple[Numbers, Numbers]]) -> Self:
        """Set the level of each period by its newest (inputs, waits). Raises DataError before `fit`."""
        self.hazard = self.fitted().calibrated(cases)
        return self

    def knowing(self, usual: UsualIntervals, catalogue: Catalogue | None = None) -> Self:
        """Take over how products are bought again, and what they are called."""
        self.usual = usual
        empty = np.full(len(usual.product_ids), "", dtype="U1")
        self.titles = empty if catalogue is None else catalogue.aligned(usual.product_ids).titles
        return self

    def fitted(self) -> Hazard:
        if self.hazard is None:
            raise DataError("This replenishment model was not fitted. Fit or load one first.")
        return self.hazard

    def inputs(self, found: Pairs) -> Numbers:
        """Shape (pairs, inputs)."""
        known = columns(found, self.usual)
        return np.column_stack([known[name] for name in INPUTS[self.config.kind]])

    def replenishable(self, found: Pairs) -> NDArray[np.bool_]:
        """Which pairs are of a product that is bought again, by a customer who did so."""
        return replenishable(found, self.usual, self.config)

    def within(self, found: Pairs) -> Numbers:
        """P(bought again within each of `days`), shape (pairs, days)."""
        return self.fitted().within(self.inputs(found))

    def table(self, rows: FeatureRows, limit: int) -> DueTable:
        """What is due for each customer, at most `limit` a customer, most likely within `days[1]` first."""
        return self.ranked(pairs(rows), limit)

    def due(self, history: CustomerHistory, limit: int = 10) -> list[Due]:
        """What is due for one customer, at most `limit`, the most likely first; nobody known: nothing."""
        found = self.ranked(of_history(history), limit)
        return [
            Due(product, title, due, dict(zip(self.config.days, chances, strict=True)), text)
            for product, title, due, chances, text in zip(
                found.product_ids.tolist(),
                found.titles.tolist(),
                found.due_in_days.tolist(),
                found.probability.tolist(),
                found.texts(),
                strict=True,
            )
        ]

    def ranked(self, found: Pairs, limit: int) -> DueTable:
        found = found.take(self.replenishable(found))
        chance = self.within(found)
        likely = chance[:, -1] >= self.config.least_probability
        found, chance = found.take(likely), chance[likely]
        chosen = first_of_each(found.customer, chance[:, len(self.config.days) // 2], limit)
        found, chance = found.take(chosen), chance[chosen]
        positions = self.usual.index.positions(found.product_ids.tolist())
        interval = self.usual.expected(self.usual.of(positions)[0], found.times, found.interval_days)
        return DueTable(
            customer=found.customer,
            product_ids=found.product_ids,
            titles=self.titles[positions],
            times=found.times,
            interval_days=interval,
            due_in_days=interval - found.days_since,
            probability=chance,
        )

    def save(self, folder: Path) -> None:
        arrays = {name: getattr(self.usual, name) for name in ("product_ids", "intervals", "repeat_rates")}
        np.savez(folder / "products.npz", allow_pickle=False, titles=self.titles, **arrays)
        usual = {name: getattr(self.usual, name) for name in ("interval", "repeat_rate", "credibility")}
        document = {"config": self.config.model_dump(), "usual": usual, "hazard": self.fitted().document()}
        publish_json(folder / "replenishment.json", document)

    @classmethod
    def load(cls, folder: Path) -> Self:
        document = json.loads((folder / "replenishment.json").read_text(encoding="utf-8"))
        with np.load(folder / "products.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        model = cls(ReplenishmentConfig(**document["config"]))
        model.titles = arrays.pop("titles")
        model.usual = UsualIntervals(**arrays, **document["usual"])
        model.hazard = Hazard.of(document["hazard"])
        return model


def replenishable(found: Pairs, usual: UsualIntervals, config: ReplenishmentConfig) -> NDArray[np.bool_]:
    """Which pairs are of a product that at least `least_repeat_rate` of its buyers bought again, by a
    customer who bought it `least_times`. A product that was not known is not replenishable."""
    often = np.flatnonzero(found.times >= config.least_times)
    positions = usual.index.positions(found.product_ids[often].tolist())
    repeated = (positions >= 0) & (usual.of(positions)[1] >= config.least_repeat_rate)
    answer = np.zeros(len(found), dtype=bool)
    answer[often[repeated]] = True
    return answer


def columns(found: Pairs, usual: UsualIntervals) -> dict[str, Numbers]:
    """Every input by name. Counts and days are logarithms of themselves (plus one where they may be 0).

    due, own_due, usual_due: days since the last purchase over the expected (own shrunk to usual), the own and
    the usual interval. age: days since the first purchase. pace: times bought a day since then. share: times
    bought over visits, of the last 91 days. recency_to_gap: days since the customer bought anything, over the
    mean time between visits.
    """
    typical, rate = usual.of(usual.index.positions(found.product_ids.tolist()))
    expected = usual.expected(typical, found.times, found.interval_days)
    own = np.maximum(np.where(np.isnan(found.interval_days), typical, found.interval_days), 1.0)
    since, times = np.log(np.maximum(found.days_since, 0.5)), np.log(found.times)
    age = np.log(np.maximum(found.days_since + own * (found.times - 1), 1.0))
    rate = np.clip(rate, 0.001, 0.999)
    due, own_due = since - np.log(expected), since - np.log(own)
    return {
        "usual_due": since - np.log(typical),
        "usual": np.log(typical),
        "own_due": own_due,
        "own_due_squared": own_due**2,
        "due": due,
        "due_squared": due**2,
        "overdue": np.maximum(due, 0.0),
        "expected": np.log(expected),
        "times": times,
        "age": age,
        "since": since,
        "pace": times - age,
        "times_28d": np.log1p(found.times_28d),
        "times_91d": np.log1p(found.times_91d),
        "share": np.log((found.times_91d + 0.2) / (found.visits_91d + 1.0)),
        "repeat_rate": np.log(rate / (1 - rate)),
        "recency": np.log1p(found.recency),
        "recency_to_gap": np.log((found.recency + 1.0) * (found.visits_91d + 0.5) / 91),
        "visits_28d": np.log1p(found.visits_28d),
        "visits_91d": np.log1p(found.visits_91d),
        "bought_28d": np.log1p(found.bought_28d),
        "bought_91d": np.log1p(found.bought_91d),
    }


def first_of_each(customer: NDArray[np.int64], score: Numbers, limit: int) -> NDArray[np.int64]:
    """Places of the `limit` highest scores of each customer, best first; ties in the order given."""
    order = np.lexsort((-score, customer))
    sorted_ = customer[order]
    begins = np.searchsorted(sorted_, sorted_, side="left")
    return order[np.arange(len(order)) - begins < limit]


def told(name: str, due_in: float, times: float, interval: float) -> str:
    """'coffee is due in 5 days: bought 8 times, usually every 21 days'."""
    often = {1: "once", 2: "twice"}.get(int(times), f"{times:.0f} times")
    return f"{name} {when(due_in)}: bought {often}, usually every {spell(max(round(interval), 1))}"


def when(due_in: float) -> str:
    """'is due in 5 days', 'is due today', 'was due 3 days ago'."""
    days = round(due_in)
    if days == 0:
        return "is due today"
    return f"is due in {spell(days)}" if days > 0 else f"was due {spell(-days)} ago"


def spell(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"
