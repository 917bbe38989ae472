"""The parts that answers are made of now, and the thread that brings newer ones while the service answers.

A champion that was promoted or repaired since is verified, loaded beside the old one, warmed and taken over
by replacing the parts in one step: a request that has begun goes on with the parts that it began with. What
cannot be loaded leaves the old one serving.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from patron.artifacts import NAMES
from patron.errors import FeatureError, PatronError
from serving.bootstrap import Features, Parts, open_features, open_models, stamps, warm
from serving.flusher import Flusher

log = logging.getLogger(__name__)


class Holder:
    """Gives the parts of the moment; opens them once, at startup or when first asked."""

    def __init__(self, open_parts: Callable[[], Parts]) -> None:
        self._open_parts = open_parts
        self._parts: Parts | None = None
        self._lock = threading.Lock()
        self._watcher: Watcher | None = None
        self._flusher: Flusher | None = None

    def __call__(self) -> Parts:
        return self._parts or self._first()

    def _first(self) -> Parts:
        with self._lock:
            if self._parts is None:
                self._parts = self._open_parts()
            return self._parts

    def open(self) -> None:
        """Load and warm everything, and begin the work that goes on behind the answers."""
        parts = self()
        warm(parts)
        settle()
        self._flusher = Flusher(parts.settings)
        self._flusher.start()
        if parts.settings.reload_seconds > 0:
            self._watcher = Watcher(self, parts.settings.reload_seconds)
            self._watcher.start()

    def take(self, parts: Parts) -> None:
        """Answer from these parts from now on."""
        self._parts = parts

    def close(self) -> None:
        """Stop the work behind the answers, and let go of what was opened."""
        for each in (self._watcher, self._flusher):
            if each:
                each.stop()
        if self._parts:
            self._parts.close()


class Watcher(threading.Thread):
    """Looks every few seconds for a champion or a feature store that is not the one in use."""

    def __init__(self, holder: Holder, seconds: float) -> None:
        super().__init__(name="watcher", daemon=True)
        self.holder, self.seconds = holder, seconds
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(self.seconds):
            try:
                self.look()
            except Exception:
                log.exception("Looking for newer models failed; the old ones go on")

    def stop(self) -> None:
        self._stopped.set()
        self.join(5)

    def look(self) -> None:
        """Take over what is new."""
        parts = self.holder()
        parts.trials.look()
        newer = renewed(parts)
        if newer is not None:
            if newer.models != parts.models or newer.features is not parts.features:
                warm(newer)
                settle()
            self.holder.take(newer)


def renewed(parts: Parts) -> Parts | None:
    """The parts with everything read again that has changed or was missing; None where nothing has changed.

    Models are read again when their files have changed, and those that are missing when the feature store
    offers something else than before.
    """
    now = stamps(parts.settings)
    changed = {name for name in NAMES if now[name] != parts.stamps.get(name, ())}
    missing: dict[str, PatronError] = {}
    features = parts.features or open_features(parts.settings, missing)
    offered = offered_by(features)
    if offered != parts.offered:
        changed |= set(parts.missing) & set(NAMES)
    if not changed and features is parts.features and offered == parts.offered:
        return None
    found = open_models(parts.settings, offered or None, missing, sorted(changed))
    for name in sorted(changed):
        if name in found:
            log.info("%s %s is served now", name, found[name].version)
        else:
            log.warning("%s cannot be loaded: %s", name, missing[name])
    models = {**parts.models, **found}
    left = {name: error for name, error in parts.missing.items() if name not in changed | {"features"}}
    lost = {name: error for name, error in (left | missing).items() if name not in models}
    return replace(parts, features=features, models=models, missing=lost, stamps=now)


def offered_by(features: Features | None) -> frozenset[str]:
    """What can be read now; nothing while the store is away."""
    try:
        return frozenset(features.offered_references() if features else ())
    except FeatureError:
        return frozenset()


def settle() -> None:
    """Keep what was loaded out of the garbage collector's way."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
