"""Drift: whether features and scores still look as they did when a model was fitted.

The measure is the population stability index (`stability.psi`) over bins learned at the fit. What is large
follows from the shop, in two ways, and an alarm needs both:

chance   a permutation test: the same customers, divided at random into 'then' and 'now' of the same sizes.
         Many features are looked at: the level is shared among them.
usual    how far the feature moved between the cutoffs that training knew, at most as far apart as then and
         now (season, growth), times the headroom by which such records were beaten later on.

Each feature is looked at twice, against the fit and against the last cutoff that training knew: a steady
trend leads far from the fit and is usual there; what breaks from one day to the next shows in the second
look. The share of missing values is looked at on its own as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from patron.errors import DataError
from patron.models.bins import missing
from patron.models.drift_columns import Against, ColumnReference, missing_change
from patron.models.stability import FEWEST, beaten, chance, gaps, psi

FILE = "reference.json"
"""Where an artifact keeps the references of its features and of its scores."""

LEVEL = 0.05
"""Chance that any feature at all is beyond `chance` where nothing changed."""

HEADROOM = 0.9
"""Share of the columns whose records set the headroom: one that once broke must not blind the others."""

LARGEST = 20_000
"""Rows a moment that are counted, drawn at random where there are more."""

CONVENTION = 0.25
"""'A significant shift' by convention (Siddiqi 2006), while the shop's own movement is not known."""

DAY = 86_400

Columns = Mapping[str, NDArray[Any]]


class Table(Protocol):
    """Feature rows of one moment."""

    @property
    def columns(self) -> Columns: ...

    @property
    def as_of(self) -> datetime | None: ...


@dataclass(frozen=True)
class Drift:
    """How far one column moved, in the look in which it moved furthest beyond its threshold."""

    name: str
    psi: float
    threshold: float
    """The larger of `chance` and `usual`."""
    alarm: bool
    chance: float
    usual: float
    against: Against
    change: str
    """What moved, in words: medians, shares."""


@dataclass(frozen=True)
class Reference:
    """What columns looked like at the fit: bins, shares, and how they used to move."""

    columns: Mapping[str, ColumnReference]
    seed: int
    centre: float | None = None
    """Mean moment of the fit, epoch seconds; None where moments were not told."""
    last: float | None = None
    """The last moment that was known."""
    moments: int = 1
    """Moments that the movement was learned from."""
    headroom: float = 1.0
    """By what factor HEADROOM of the columns at most went beyond the usual, in the history's second half."""

    @classmethod
    def fit(
        cls,
        columns: Columns,
        seed: int,
        moments: NDArray[Any] | None = None,
        basis: Iterable[float] | None = None,
    ) -> Self:
        """Learn bins, shares and movement.

        columns: name -> shape (rows,); lists are left out. moments: the moment of each row, epoch seconds;
        None: all of one moment, and only chance sets the thresholds. basis: the moments of the fit (None:
        all); the others only show how the shop moves. Raises DataError without a row.
        """
        length = len(next(iter(columns.values()), ()))
        if not length:
            raise DataError("A drift reference needs at least one row. Fit it on the rows of the training.")
        rng = np.random.default_rng(seed)
        at = np.zeros(length) if moments is None else np.asarray(moments, dtype=np.float64)
        rows = {float(each): drawn(np.flatnonzero(at == each), rng) for each in np.unique(at)}
        chosen = sorted(set(rows).intersection(rows if basis is None else basis)) or list(rows)
        found = {
            name: ColumnReference.learn(values, rows, chosen)
            for name, values in columns.items()
            if countable(values)
        }
        days = np.array(list(rows)) / DAY
        records = [max(beaten(each, days), beaten(gaps(each), days)) for _, each in found.values()]
        known = moments is not None
        return cls(
            columns={name: told for name, (told, _) in found.items()},
            seed=seed,
            centre=float(np.mean(chosen)) if known else None,
            last=max(rows) if known else None,
            moments=len(rows),
            headroom=float(np.quantile(records, HEADROOM)) if records else 1.0,
        )

    def compare(self, columns: Columns, moment: datetime | None = None) -> list[Drift]:
        """How far each column of the reference moved, the furthest beyond its threshold first.

        Columns that are not given are left out, as is everything where there are no rows. moment: when these
        rows were true. The answer is the same for the same rows.
        """
        names = [name for name in self.columns if name in columns and len(columns[name])]
        if not names:
            return []
        rng = np.random.default_rng(self.seed)
        rows = drawn(np.arange(len(columns[names[0]])), rng)
        level = LEVEL / len(names)
        found = [max(self.looks(name, columns[name][rows], moment, level, rng), key=beyond) for name in names]
        return sorted(found, key=beyond, reverse=True)

    def looks(
        self, name: str, values: NDArray[Any], moment: datetime | None, level: float, rng: np.random.Generator
    ) -> Iterator[Drift]:
        """One column against the fit and the last moment, values and missing ones; they share the level."""
        told = self.columns[name]
        now = told.bins.counts(values)
        against: tuple[Against, ...] = ("fit",) if self.last is None else ("fit", "last")
        for each in against:
            then, days = told.counts(each), self.days(each, moment)
            pairs = [(then, now, told.moved, told.change(each, now, values))]
            if then[-1] or now[-1]:
                pairs.append((gaps(then), gaps(now), told.gaps, missing_change(then, now)))
            for old, new, movement, words in pairs:
                moved, random = float(psi(old, new)), chance(old, new, level / len(against) / 2, rng)
                usual = self.usual(movement.usual(days))
                limit = max(random, usual)
                yield Drift(name, moved, limit, moved > limit, random, usual, each, words)

    def usual(self, moved: float) -> float:
        """What a column may move, of what it moved before."""
        known = self.last is None or self.moments >= FEWEST
        return moved * self.headroom if known else max(moved, CONVENTION)

    def days(self, against: Against, moment: datetime | None) -> float | None:
        """Days from the middle of the fit, or from the last known moment, to another."""
        then = self.centre if against == "fit" else self.last
        if moment is None or then is None:
            return None
        return max(0.0, (moment.timestamp() - then) / DAY)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        facts = {name: getattr(self, name) for name in ("seed", "centre", "last", "moments", "headroom")}
        return facts | {"columns": {name: each.document() for name, each in self.columns.items()}}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """What `document` wrote."""
        columns = {name: ColumnReference.of(each) for name, each in document["columns"].items()}
        return cls(**{**document, "columns": columns})


def beyond(drift: Drift) -> float:
    """How many times its threshold a movement is."""
    return drift.psi / max(drift.threshold, 1e-9)


def drawn(rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """At most LARGEST of the rows."""
    return rows if len(rows) <= LARGEST else np.sort(rng.choice(rows, LARGEST, replace=False))


def countable(values: NDArray[Any]) -> bool:
    """Whether a column holds numbers, flags or text: lists are not followed."""
    first = next((each for each in values if each is not None), None) if values.dtype == object else None
    return not isinstance(first, (np.ndarray, list, tuple, dict))


def drift_of(folder: Path, rows: Table, scores: Mapping[str, Sequence[Any]]) -> dict[str, Any] | None:
    """What a sealed artifact's model reads and answers now, against its fit; None for one without FILE.

    scores: name -> a score for each of the rows, None where there is none. Customers without any score are
    not compared: the fit did not see their like either. Returns {"as_of", "customers", "features", "scores",
    "max_psi", "alarms"}.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    given = {name: np.asarray(each) for name, each in scores.items()}
    kept = np.any([~missing(each) for each in given.values()], axis=0)
    return compared(
        {part: Reference.of(found) for part, found in document.items()},
        {"features": {name: each[kept] for name, each in rows.columns.items()}}
        | {"scores": {name: each[kept] for name, each in given.items()}},
        rows.as_of,
    ) | {"customers": int(kept.sum())}


def compared(
    references: Mapping[str, Reference], columns: Mapping[str, Columns], moment: datetime | None
) -> dict[str, Any]:
    """The drift of features and scores as a document: each column, the largest PSI, the alarms in words."""
    found = {part: each.compare(columns[part], moment) for part, each in references.items()}
    drifts = [drift for part in found.values() for drift in part]
    return {
        "computed_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "as_of": None if moment is None else moment.isoformat(),
        **{part: [asdict(each) for each in drifts] for part, drifts in found.items()},
        "max_psi": max((each.psi for each in drifts), default=0.0),
        "alarms": [
            f"{each.name}: {each.change} (PSI {each.psi:.3f}, usual up to {each.threshold:.3f})"
            for each in drifts
            if each.alarm
        ],
    }
