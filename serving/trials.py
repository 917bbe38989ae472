"""Experiments as the service runs them: who gets which arm now, and the note that it came to bear.

A changed file of `configs/experiments` is taken over while the service answers; one that is wrong leaves the
experiments that ran before. Assigning costs a look into a dictionary where nothing runs on the target, and
two hashes where something does; nobody waits for the note.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from patron.errors import ArtifactError, ConfigurationError, PatronError
from patron.events.log import EventLog
from patron.experiments.assignment import Assignment, Experiments
from patron.experiments.exposures import ExposureLog
from patron.experiments.terms import MODEL, OFFERS, PLACEMENT
from serving.live import LiveProducts

if TYPE_CHECKING:
    from serving.bootstrap import Parts, Served

Stamp = tuple[tuple[str, int, int], ...]
log = logging.getLogger(__name__)


class Trials:
    """The experiments of the moment and the log of the exposed. Threads may ask at once."""

    def __init__(
        self, folder: Path, exposures: ExposureLog, opened: Callable[[str], Served] | None = None
    ) -> None:
        """opened: gives a version of the recommender, or raises ArtifactError; None: none is tried.

        Raises ConfigurationError for a file that is wrong: a service does not start half configured.
        """
        self.folder, self.exposures, self._opened = folder, exposures, opened
        self._stamp = stamp(folder)
        self.models: Mapping[str, Served] = {}
        """Version -> the recommender of it, of every version that an enabled experiment tries."""
        self._live: dict[str, LiveProducts] = {}
        self.experiments = self._load()

    def _load(self) -> Experiments:
        """The experiments, those off whose models cannot be had: half an experiment shows nothing."""
        found, lost = Experiments.load(self.folder), set[str]()
        models: dict[str, Served] = {}
        for name, versions in found.versions.items():
            for version in versions - set(models):
                try:
                    models[version] = self.models.get(version) or self._model(version)
                except PatronError as error:
                    log.warning("The experiment %s does not run: %s", name, error)
                    lost.add(name)
        self.models = models
        return found.without(lost) if lost else found

    def _model(self, version: str) -> Served:
        if self._opened is None:
            raise ArtifactError(f"Version {version} cannot be loaded here.")
        return self._opened(version)

    def look(self) -> bool:
        """Take over what has changed in the files; whether anything did. Never raises."""
        found = stamp(self.folder)
        if found == self._stamp:
            return False
        self._stamp = found
        try:
            self.experiments = self._load()
        except (ConfigurationError, OSError) as error:
            log.warning("The experiments stay as they were: %s", error)
            return False
        log.info("Experiments were read again")
        return True

    def treated(
        self, target: str, customer_id: str | None, session_id: str | None, now: datetime
    ) -> Assignment | None:
        """The arm that comes to bear on a customer, else on the session; it is noted as an exposure.

        Call it where the arm is about to make the difference, not before. None: answer as always.
        """
        experiments = self.experiments
        unit = session_id if customer_id is None else customer_id
        if unit is None or not experiments.on(target):
            return None
        found = experiments.assigned(target, unit, now, customer=customer_id is not None)
        if found is not None:
            self.exposures.exposed(found, unit, "session" if customer_id is None else "customer", now)
        return found

    def live_of(self, served: Served, events: EventLog) -> LiveProducts:
        """The live catalogue over a version that is tried."""
        if served.version not in self._live:
            self._live[served.version] = LiveProducts(events)
        return self._live[served.version]

    def close(self) -> None:
        self.exposures.close()


def stamp(folder: Path) -> Stamp:
    """Names, times and sizes of the files that state experiments."""
    try:
        stats = [(each.name, each.stat()) for each in sorted(folder.glob("*.toml"))]
    except OSError:
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


def of_placement(
    parts: Parts, placement: str, customer_id: str | None, session_id: str | None
) -> Assignment | None:
    """The arm of a page, noted as an exposure; None where none runs there or the visitor is in none.

    Of the placement's experiment; of the recommender's for who is in none there.
    """
    trials, visitor = parts.trials, (customer_id, session_id)
    if not (trials.experiments.on(PLACEMENT + placement) or trials.experiments.on(MODEL)):
        return None
    now = parts.now()
    found = trials.treated(PLACEMENT + placement, *visitor, now)
    return found or trials.treated(MODEL, *visitor, now)


def of_offers(parts: Parts, customer_id: str) -> Assignment | None:
    """The arm of a decision on offers, noted as an exposure; None where the visitor is in none.

    Call it once the customer is known to agree to offers, right before the policy is asked. Its
    `parameters["policy"]` is champion, none or random; its `label` goes into the decision.
    """
    return parts.trials.treated(OFFERS, customer_id, None, parts.now())
