"""Wires the settings to the parts that answers are made of. Tests pass parts of their own."""

from __future__ import annotations

import functools
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from patron.artifacts import NAMES, Champion, champion, kept
from patron.decisions.ledger import Ledger
from patron.errors import ArtifactError, FeatureError, NoChampion, PatronError
from patron.events.answers import AnswerLog
from patron.events.log import EventLog
from patron.experiments.assignment import FOLDER as EXPERIMENTS
from patron.experiments.exposures import ExposureLog
from patron.models.base import CustomerHistory, read_model
from patron.models.explanations import as_history
from patron.models.placements import HOME
from patron.models.rules import Rules, load_rules
from patron.settings import Settings
from serving.keys import KeyRing
from serving.ladder import Ladder
from serving.live import LiveProducts
from serving.live_offers import LiveOffers
from serving.static_products import StaticProducts
from serving.storefront import RECOMMENDER, Answered, Question, ladder
from serving.trials import Trials

if TYPE_CHECKING:
    from features.rows import Rows

Stamp = tuple[tuple[str, int, int], ...]
log = logging.getLogger(__name__)


class Features(Protocol):
    """The online store, as endpoints use it."""

    @property
    def as_of(self) -> datetime | None: ...

    def read(self, ids: Sequence[str], references: Sequence[str]) -> Rows: ...

    def offered_references(self) -> set[str]: ...


@dataclass(frozen=True)
class Served:
    """A champion in memory."""

    name: str
    version: str
    model: Any
    event_log: Mapping[str, Any] | None = None
    """How far the event log had been moved into the lake that the model was fitted on."""

    @property
    def label(self) -> dict[str, str]:
        return {"name": self.name, "version": self.version}


@dataclass
class Parts:
    """What the endpoints answer from. A part that could not be had stands in `missing` with its error."""

    settings: Settings
    keys: KeyRing
    decisions: Ledger
    events: EventLog
    answers: AnswerLog
    live: LiveProducts
    static: StaticProducts
    rules: Mapping[str, Rules]
    trials: Trials
    offers: LiveOffers
    ladder: Ladder[Question, Answered]
    features: Features | None = None
    models: Mapping[str, Served] = field(default_factory=dict)
    missing: Mapping[str, PatronError] = field(default_factory=dict)
    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    """What the models' files looked like before they were read."""

    def model(self, name: str) -> Served:
        """The champion. Raises what kept it from being loaded: NoChampion or another ArtifactError."""
        if name in self.models:
            return self.models[name]
        raise self.missing.get(name) or NoChampion(
            f"No champion for '{short(name)}'. Train one: patron train {short(name)}"
        )

    def read(self, ids: Sequence[str], references: Sequence[str]) -> Rows:
        """Features of these customers; those that the store does not offer are left out.

        Raises FeatureError when the store cannot be read.
        """
        if self.features is None:
            raise self.missing.get("features") or FeatureError("The online store is not open.")
        try:
            return self.features.read(ids, [each for each in references if each in self.offered])
        except PatronError:
            raise
        except Exception as error:
            raise FeatureError("The online store failed.") from error

    def live_of(self, served: Served) -> LiveProducts:
        """The live catalogue over a model: each model that is tried beside the champion has its own."""
        if served is self.models.get(RECOMMENDER):
            return self.live
        return self.trials.live_of(served, self.events)

    def rules_of(self, placement: str) -> Rules:
        """The shop's rules of a placement; those of `home` for one without its own."""
        return self.rules.get(placement) or self.rules[HOME]

    def close(self) -> None:
        """Let go of the files that are open for writing."""
        self.decisions.close()
        self.answers.close()
        self.trials.close()
        self.events.close()

    @functools.cached_property
    def offered(self) -> frozenset[str]:
        """The features that can be read, as of when these parts were put together."""
        return frozenset(self.features.offered_references() if self.features else ())

    @property
    def as_of(self) -> datetime | None:
        return self.features.as_of if self.features else None

    def now(self) -> datetime:
        """The real time, or with `clock = "data"` the moment of the features."""
        return (self.as_of if self.settings.clock == "data" else None) or datetime.now(UTC)

    @staticmethod
    def clock() -> datetime:
        """The real time."""
        return datetime.now(UTC)

    @property
    def ready(self) -> bool:
        """Something can be answered: features are there, and a model at least."""
        return self.features is not None and bool(self.models)

    def state(self) -> dict[str, Any]:
        """What is loaded and what is missing, without paths."""
        return {
            "models": {name: served.version for name, served in sorted(self.models.items())},
            "features_as_of": self.as_of.isoformat() if self.as_of else None,
            "missing": {name: reason(error, name) for name, error in sorted(self.missing.items())},
        }


def short(name: str) -> str:
    return name.removeprefix("patron-")


def reason(error: PatronError, name: str) -> dict[str, str]:
    todo = f"patron train {short(name)}" if name in NAMES else "patron features materialize"
    return {"code": error.code, "do": todo}


def parts(settings: Settings) -> Parts:
    """Open everything that can be opened. What fails is logged and named in `missing`; nothing is raised."""
    missing: dict[str, PatronError] = {}
    seen = stamps(settings)
    features = open_features(settings, missing)
    models = open_models(settings, features.offered_references() if features else None, missing)
    for name, error in missing.items():
        log.warning("%s is not served: %s", name, error)
    return Parts(**opened(settings), features=features, models=models, missing=missing, stamps=seen)


def opened(settings: Settings) -> dict[str, Any]:
    """The parts that need nothing to have been made before: logs, keys, rules."""
    events = EventLog(settings.events)
    return {
        "settings": settings,
        "keys": KeyRing(settings.home / "keys.json"),
        "decisions": Ledger(settings.events, events),
        "offers": LiveOffers(settings, events),
        "events": events,
        "answers": AnswerLog(settings.events),
        "live": LiveProducts(events),
        "static": StaticProducts(settings.home / "static.json"),
        "rules": load_rules(settings.configs / "placements"),
        "trials": Trials(
            settings.configs / EXPERIMENTS,
            ExposureLog(settings.events),
            functools.partial(open_version, settings, RECOMMENDER),
        ),
        "ladder": ladder(settings.personal_budget_seconds, settings.fallback_budget_seconds),
    }


def open_features(settings: Settings, missing: dict[str, PatronError]) -> Features | None:
    from features.online import OnlineFeatures

    try:
        return OnlineFeatures(settings)
    except PatronError as error:
        missing["features"] = error
    except Exception:
        log.exception("The online store did not open")
        missing["features"] = FeatureError(
            "The online store did not open. Load it: patron features materialize"
        )
    return None


def open_models(
    settings: Settings,
    offered: Collection[str] | None,
    missing: dict[str, PatronError],
    names: Collection[str] = NAMES,
) -> dict[str, Served]:
    """Every champion of `names` that can be loaded; of the others, what is wrong is put into `missing`.

    offered: the features that there are; None where unknown.
    """
    found: dict[str, Served] = {}
    for name in names:
        try:
            found[name] = open_champion(settings, name, offered)
        except PatronError as error:
            missing[name] = error
        except Exception:
            log.exception("%s did not load", name)
            missing[name] = ArtifactError(f"{name} did not load. Promote another version.")
    return found


def open_champion(settings: Settings, name: str, offered: Collection[str] | None) -> Served:
    """Load the promoted version from its verified copy.

    Raises NoChampion, or ArtifactError for a changed file or a feature that the store does not offer.
    """
    return open_artifact(champion(settings.models, name), offered)


def open_version(settings: Settings, name: str, version: str) -> Served:
    """Load the verified copy of any version. Raises ArtifactError where there is none."""
    return open_artifact(kept(settings.models, name, version), None)


def open_artifact(chosen: Champion, offered: Collection[str] | None) -> Served:
    """Raises ArtifactError for a feature that the store does not offer."""
    name = chosen.manifest.name
    lacking = [] if offered is None else sorted(set(chosen.manifest.features) - set(offered))
    if lacking:
        raise ArtifactError(
            f"{name} {chosen.version} reads {', '.join(lacking)}, which the feature store does not offer. "
            "Load it again (patron features materialize), or train on what it offers."
        )
    model = read_model(chosen.folder, chosen.manifest)
    return Served(name, chosen.version, model, chosen.manifest.event_log)


def stamps(settings: Settings) -> dict[str, Stamp]:
    """Of each model what tells whether its files have changed."""
    return {name: stamp(settings.models / name) for name in NAMES}


def stamp(folder: Path) -> Stamp:
    """Names, times and sizes of the files; empty where there are none."""
    try:
        files = sorted(each for each in folder.rglob("*") if each.is_file() and not each.name.startswith("."))
        stats = [(str(each.relative_to(folder)), each.stat()) for each in files]
    except OSError:
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


def warm(parts: Parts) -> None:
    """Ask everything once, of nobody, so that the first caller does not wait for what first use opens."""
    wanted = [each for served in parts.models.values() for each in getattr(served.model, "references", {})]
    try:
        parts.read([""], list(dict.fromkeys(wanted)))
    except FeatureError:
        log.warning("The first read of features failed", exc_info=parts.features is not None)
    served = parts.models.get(RECOMMENDER)
    if served is not None:
        popular = [each.product_id for each in served.model.popular(3)]
        served.model.recommend(as_history(popular), 10, diversity=0.1)
        served.model.recommend(CustomerHistory.empty(), 10, context_product_ids=popular, placement="product")
        parts.static.keep(served.model, [each for rules in parts.rules.values() for each in rules.static])
