"""The parts that answers are made of now, and the thread that brings newer ones while the service answers.

A champion that was promoted or repaired since is verified, loaded beside the old one, warmed and taken over
by replacing the parts in one step: a request that has begun goes on with the parts that it began with. What
cannot be loaded leaves the old one serving.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from patron.artifacts import NAMES
from serving.bootstrap import Parts, open_features, open_models, warm
from serving.flusher import Flusher

Stamp = tuple[tuple[str, int, int], ...]
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
        stamps = {name: stamp(parts.settings.models / name) for name in NAMES}
        warm(parts)
        settle()
        self._flusher = Flusher(parts.settings)
        self._flusher.start()
        if parts.settings.reload_seconds > 0:
            self._watcher = Watcher(self, stamps, parts.settings.reload_seconds)
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

    def __init__(self, holder: Holder, stamps: dict[str, Stamp], seconds: float) -> None:
        super().__init__(name="watcher", daemon=True)
        self.holder, self.stamps, self.seconds = holder, stamps, seconds
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
        now = {name: stamp(parts.settings.models / name) for name in NAMES}
        changed = [name for name in NAMES if now[name] != self.stamps.get(name)]
        if changed or parts.features is None:
            newer = renewed(parts, changed)
            warm(newer)
            self.holder.take(newer)
        if changed:
            settle()
        self.stamps = now


def renewed(parts: Parts, changed: Collection[str]) -> Parts:
    """The parts with the changed models read again and, where there was none, the feature store."""
    missing = {name: error for name, error in parts.missing.items() if name not in {*changed, "features"}}
    features = parts.features or open_features(parts.settings, missing)
    offered = features.offered_references() if features else None
    names = NAMES if features is not parts.features else changed
    found = open_models(parts.settings, offered, missing, names)
    for name in changed:
        told = (
            f"{found[name].version} is served now" if name in found else f"cannot be loaded: {missing[name]}"
        )
        log.info("%s %s", name, told)
    models = {**parts.models, **found}
    kept = {name: error for name, error in missing.items() if name not in models}
    return replace(parts, features=features, models=models, missing=kept)


def settle() -> None:
    """Keep what was loaded out of the garbage collector's way."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


def stamp(folder: Path) -> Stamp:
    """What tells whether a model's files have changed: names, sizes and times; empty where there are none."""
    try:
        files = sorted(each for each in folder.rglob("*") if each.is_file() and not each.name.startswith("."))
        stats = [(str(each.relative_to(folder)), each.stat()) for each in files]
    except OSError:
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
