"""`patron score`: every customer of the newest snapshot, a row each, with the numbers of the API."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from patron.artifacts import champion
from patron.errors import NoChampion, PatronError, UsageError
from patron.files import sync
from patron.lake.tables import Lake
from patron.models.drift import drift_of
from patron.offers.catalogue import Catalogue, shop_catalogue
from patron.quality.status import keep_drift
from patron.settings import Settings
from serving import best_offers, score_history
from serving.bootstrap import Served, open_models
from serving.occasions import REFERENCES as OF_OCCASIONS
from serving.occasions import Calendar, closed_tickets, next_care
from serving.score_columns import CHURN, MODELS, OFFERS, PORTRAIT, VALUE, Columns, schema, scored

if TYPE_CHECKING:
    import pyarrow as pa

    from features.rows import Rows

ALSO = (
    *("customer_profile:consent_offers", "customer_profile:consent_recommend", "customer_profile:tier"),
    *("customer_care:nps_score", "customer_care:open_tickets"),
    *OF_OCCASIONS,
)
"""What no model reads and a scoring tells or heeds."""
SCORES = {
    CHURN: ("churn_probability",),
    VALUE: ("expected_value",),
    PORTRAIT: ("segment", "lifecycle_stage", "cluster"),
}
"""Model -> the columns whose drift is followed."""
FOLLOWED = tuple(score for scores in SCORES.values() for score in scores)
MOVING = (CHURN, VALUE, PORTRAIT)
"""The models whose groups customers move between."""
CHUNK = 20_000
CARE_DAYS = 30
"""How far ahead the next act of care is looked for."""
FORMATS = (".parquet", ".csv")
COUNTED = (*score_history.DIMENSIONS, "churn_status", "best_action")
Advance = Callable[[int, int], None]


def score_all(
    settings: Settings,
    to: Path | None = None,
    history: int = 0,
    advance: Advance = lambda done, total: None,
) -> dict[str, Any]:
    """Score everybody into a Parquet or CSV file, which appears whole or not at all.

    history: so many cutoffs before the newest are scored too, with the same models, so that movements have
    something to start from. Columns of a model that was not promoted are empty. Returns {"path", "customers",
    "features_as_of", "models", "missing", "counts", "skipped", "drift", "summary"}; `skipped` are cutoffs of
    the history where not all was built that the models read. Raises UsageError for another suffix, NoChampion
    without any model, FeatureError without a snapshot.
    """
    from features.build import built_cutoffs

    path = to or settings.reports / "scores.parquet"
    if path.suffix not in FORMATS:
        raise UsageError(f"{path.name} has no suffix of {', '.join(FORMATS)}; it says how to write the file.")
    *earlier, newest = built_cutoffs(settings)[-history - 1 :]
    scoring = Scoring.open(settings, newest)
    skipped = [f"{each:%Y-%m-%d}" for each in earlier if not looked_back(scoring, each)]
    with writer(path, schema()) as write:
        scoring.run(write, advance)
    found = scoring.document() | {"skipped": skipped, "drift": scoring.drift(), "summary": scoring.keep()}
    return {"path": str(path), **found}


def looked_back(newest: Scoring, moment: datetime) -> bool:
    """Score an earlier cutoff with the models of the newest, for the history only.

    False, and nothing kept, where they read what is not built there: half a scoring would look like movement.
    """
    names = [name for name in MOVING if name in newest.models]
    if not names:
        return False
    scoring = Scoring.open(newest.settings, moment, names)
    if set(scoring.models) != set(names):
        return False
    scoring.run(lambda columns: None)
    scoring.keep()
    return True


@dataclass
class Scoring:
    """The customers of one cutoff and the champions that score them; what comes of it fills the rest."""

    settings: Settings
    moment: datetime
    models: Mapping[str, Served]
    rows: Rows
    catalogue: Catalogue
    counts: dict[str, Counter[Any]] = field(default_factory=lambda: {name: Counter() for name in COUNTED})
    states: list[pa.Table] = field(default_factory=list)
    answers: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in FOLLOWED})

    @classmethod
    def open(cls, settings: Settings, moment: datetime, names: Collection[str] = MODELS) -> Scoring:
        """Raises NoChampion where there is none of them, FeatureError without a snapshot."""
        from features.offline import snapshot

        missing: dict[str, PatronError] = {}
        offered = built(settings, moment)
        models = open_models(settings, offered, missing, names)
        if not models:
            raise missing.get(CHURN) or NoChampion("No champion to score with. Train: patron train all")
        wanted = [each for each in ALSO if each in offered]
        for served in models.values():
            wanted += served.model.references
        catalogue = shop_catalogue(settings)
        if OFFERS in models:
            wanted += [each for each in best_offers.references(catalogue.offers) if each in offered]
        rows = snapshot(settings, list(dict.fromkeys(wanted)), moment)
        return cls(settings, moment, models, rows, catalogue)

    def run(self, write: Callable[[Columns], None], advance: Advance = lambda done, total: None) -> None:
        """Score some thousands at a time; `write` gets the columns of each."""
        import pyarrow as pa

        now = self.moment if self.settings.clock == "data" else datetime.now(UTC)
        days = Calendar(self.models, now.date(), CARE_DAYS, closed_tickets(self.settings, now))
        for start in range(0, max(len(self.rows), 1), CHUNK):
            part = self.rows.take(np.arange(start, min(start + CHUNK, len(self.rows))))
            columns = scored(self.models, self.catalogue, part, now) | next_care(days, part)
            write(columns)
            self.states.append(pa.table(score_history.state(columns), schema=score_history.schema()))
            for name, counter in self.counts.items():
                counter.update(columns[name])
            for name, values in self.answers.items():
                values += columns[name]
            advance(start + len(part), len(self.rows))

    def document(self) -> dict[str, Any]:
        """What the command tells of it."""
        return {
            "customers": len(self.rows),
            "features_as_of": self.moment,
            "models": {name: self.models[name].version for name in MODELS if name in self.models},
            "missing": [name for name in MODELS if name not in self.models],
            "counts": {
                name: {str(value): count for value, count in counter.most_common() if value is not None}
                for name, counter in self.counts.items()
            },
        }

    def drift(self) -> dict[str, list[str]]:
        """Compare what was read and answered with the fits, store it, and return each model's alarms."""
        found = {
            name: drift_of(champion(self.settings.models, name).folder, self.rows, answers)
            for name, answers in self.answered().items()
        }
        keep_drift(self.settings, found)
        return {name: each["alarms"] for name, each in found.items() if each is not None}

    def answered(self) -> dict[str, dict[str, list[Any]]]:
        """Model -> its scores by name, of those models that are here."""
        return {
            name: {score: self.answers[score] for score in scores}
            for name, scores in SCORES.items()
            if name in self.models
        }

    def keep(self) -> dict[str, Any]:
        """Put it into the history; returns the summary of the newest scoring there."""
        import pyarrow as pa

        value = self.models.get(VALUE)
        about = {
            "lake_id": Lake(self.settings.lake).facts()["lake_id"],
            "horizon_days": value.model.horizon_days if value else None,
            "value_of": value.model.value_of if value else None,
            "models": {name: self.models[name].version for name in MOVING if name in self.models},
        }
        return score_history.keep(self.settings, self.moment, pa.concat_tables(self.states), about)


def built(settings: Settings, moment: datetime) -> set[str]:
    """The references of every view with a snapshot at the moment. Raises FeatureError when none was built."""
    from features.build import index
    from features.views import VIEWS

    known = index(settings)["views"]
    day = f"{moment:%Y-%m-%d}"
    return {reference for view in VIEWS if day in known.get(view.name, {}) for reference in view.references}


@contextmanager
def writer(path: Path, form: pa.Schema) -> Iterator[Callable[[Columns], None]]:
    """A function that appends columns to a file aside; it takes its place when the block ends well.

    path: ends with one of FORMATS.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    kind = pa.parquet.ParquetWriter if path.suffix == ".parquet" else pa.csv.CSVWriter
    try:
        with kind(str(aside), form) as file:
            yield lambda columns: file.write_table(pa.table(columns, schema=form))
        sync(aside)
        aside.replace(path)
        sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)
