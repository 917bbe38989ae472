"""Reading features for serving: Feast's online store, and what moment its values are from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from features.rows import Rows, column
from features.store import feature_store
from features.views import named, offered
from patron.errors import FeatureError
from patron.settings import Settings


class OnlineFeatures:
    """The online store, opened once a process.

    Raises FeatureError when nothing was loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self.path = settings.online / "loaded.json"
        if not self.path.is_file():
            raise FeatureError("The online store is empty. Load it: patron features materialize")
        self.read_at = 0
        self.facts: dict[str, Any] = {}
        self.store = feature_store(settings)
        self.kinds = offered()

    @property
    def loaded(self) -> dict[str, Any]:
        """What the last load put in; read again when another load has ended since."""
        changed = self.path.stat().st_mtime_ns
        if changed != self.read_at:
            self.facts, self.read_at = json.loads(self.path.read_text(encoding="utf-8")), changed
        return self.facts

    @property
    def as_of(self) -> datetime:
        """The cutoff of the values that were loaded."""
        return datetime.fromisoformat(self.loaded["as_of"])

    def offered_references(self) -> set[str]:
        """The references that can be read here."""
        return {reference for view in self.loaded["rows"] for reference in named(view).references}

    def read(self, ids: Sequence[str], references: Sequence[str], entity: str = "customer") -> Rows:
        """Features of these customers (or products); unknown ones have `known` False."""
        if not ids:
            empty = {each.split(":")[1]: column([], self.kinds[each]) for each in references}
            return Rows([], empty, np.zeros(0, dtype=bool), self.as_of)
        found = self.store.get_online_features(
            features=list(references), entity_rows=[{f"{entity}_id": each} for each in ids]
        ).to_dict()
        columns = {}
        known = np.zeros(len(ids), dtype=bool)
        for reference in references:
            name = reference.split(":")[1]
            known |= np.array([value is not None for value in found[name]])
            columns[name] = column(found[name], self.kinds[reference])
        return Rows(list(ids), columns, known, self.as_of)
