"""What every model is: a typed config, data files on disk, and one prediction method of its own.

Fitting may import any library, inside `fit`. Predicting uses numpy, scipy, LightGBM and ONNX Runtime only.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from patron.artifacts import Manifest, verified
from patron.errors import ArtifactError, ConfigurationError
from patron.models.asked import Asked, Dense
from patron.models.products import decay

if TYPE_CHECKING:
    from patron.models.catalogue import Catalogue

FeatureRows = Mapping[str, NDArray[Any]]
"""Feature name (without its view) -> one value a customer; missing numbers are NaN. All of one length."""

DAY = 86_400


class Config(BaseModel):
    """Base of model configs: unknown keys are refused, so that a typo in a TOML file is found."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(ABC):
    """A model family is one file: its config, `fit`, its one prediction method, `save`, `load`."""

    Config: ClassVar[type[Config]] = Config

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write data files (npz, LightGBM text, ONNX, JSON) into an existing, empty folder."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Call `open_model` instead where the files are not yet verified."""


@dataclass(frozen=True)
class Reason:
    """Why an answer is what it is: a code for machines, words for people."""

    code: str
    text: str
    product_id: str | None = None


@dataclass(frozen=True)
class CustomerHistory:
    """What one customer bought: distinct products, the most recently bought last.

    Arrays have one entry a product. `times_bought` counts orders, `days_since` is the age of the last of
    them, `interval_days` the mean time between them (NaN where bought once); `times_28d` and `times_91d`
    count orders of the last days, None where nobody counted. `region` and `tier`: "" where unknown.
    """

    product_ids: NDArray[np.str_]
    times_bought: NDArray[np.int64]
    days_since: NDArray[np.float64]
    interval_days: NDArray[np.float64]
    times_28d: NDArray[np.int64] | None = None
    times_91d: NDArray[np.int64] | None = None
    region: str = ""
    tier: str = ""

    @classmethod
    def empty(cls) -> CustomerHistory:
        nothing = np.zeros(0)
        return cls(np.zeros(0, dtype="U1"), nothing.astype(np.int64), nothing, nothing)

    def __len__(self) -> int:
        return len(self.product_ids)

    def decayed(self, half_life: float) -> NDArray[np.float64]:
        """`decay` of days_since; kept, as many sources ask for the same."""
        if half_life not in self._decays:
            self._decays[half_life] = decay(self.days_since, half_life)
        return self._decays[half_life]

    @cached_property
    def log_times(self) -> NDArray[np.float64]:
        """Logarithm of the times bought."""
        return np.log(np.maximum(self.times_bought, 1))

    @cached_property
    def _decays(self) -> dict[float, NDArray[np.float64]]:
        return {}


HISTORY = {
    "customer_product_affinity:own_product_ids": "Array(String)",
    "customer_product_affinity:own_times_bought": "Array(Int64)",
    "customer_product_affinity:own_days_since": "Array(Float64)",
    "customer_product_affinity:own_interval_days": "Array(Float64)",
    "customer_product_affinity:own_times_28d": "Array(Int64)",
    "customer_product_affinity:own_times_91d": "Array(Int64)",
}
"""The features that a CustomerHistory is made of."""

PROFILE = {"customer_profile:region": "String", "customer_profile:tier": "String"}
"""What is true of a customer today. It has no history, so nothing is judged at past cutoffs by it."""


def history(rows: FeatureRows, position: int) -> CustomerHistory:
    """The history of the customer at `position` of rows that hold the HISTORY features."""
    intervals = np.asarray(rows["own_interval_days"][position], dtype=np.float64)
    return CustomerHistory(
        product_ids=np.asarray(rows["own_product_ids"][position], dtype=np.str_),
        times_bought=np.asarray(rows["own_times_bought"][position], dtype=np.int64),
        days_since=np.asarray(rows["own_days_since"][position], dtype=np.float64),
        interval_days=np.where(intervals < 0, np.nan, intervals),
        times_28d=np.asarray(rows["own_times_28d"][position], dtype=np.int64),
        times_91d=np.asarray(rows["own_times_91d"][position], dtype=np.int64),
        region=_told(rows, "region", position),
        tier=_told(rows, "tier", position),
    )


def _told(rows: FeatureRows, name: str, position: int) -> str:
    """A text of one customer; "" where the shop does not say."""
    value = rows[name][position] if name in rows else None
    return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class Interactions:
    """The purchases that a recommender is fitted on: one entry an order line, oldest first.

    `customer`, `order` and `product` are codes 0..n-1; `product_ids[code]` names a product. `at` is epoch
    seconds, all before `as_of`. Lines of guests carry customer -1. `price` is what a unit cost, in the shop's
    currency; `regions` and `tiers` are of each customer code, "" where unknown. They may be missing.
    """

    customer: NDArray[np.int64]
    order: NDArray[np.int64]
    product: NDArray[np.int64]
    at: NDArray[np.int64]
    product_ids: NDArray[np.str_]
    as_of: int
    price: NDArray[np.float64] | None = None
    regions: NDArray[np.str_] | None = None
    tiers: NDArray[np.str_] | None = None


class Recommender(Model):
    """A candidate source: a score for every product of the catalogue that it was fitted on."""

    product_ids: NDArray[np.str_]

    @abstractmethod
    def fit(
        self,
        interactions: Interactions,
        catalogue: Catalogue | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        """Learn from purchases, and from the facts of products in the order of `interactions.product_ids`."""

    @abstractmethod
    def scores(self, history: CustomerHistory) -> NDArray[np.float32]:
        """Higher is better, 0 is 'nothing to say'; shape (n_products,), order of `product_ids`."""

    def asked(self, history: CustomerHistory) -> Asked:
        """The same answer for who wants the best products of it; where possible without every score."""
        return Dense(self.scores(history))


@dataclass(frozen=True)
class Recommendation:
    product_id: str
    score: float
    source: str
    reasons: list[Reason] = field(default_factory=list)


def model_class(path: str) -> type[Model]:
    """The class behind `patron.models.<module>:<Class>`; nothing outside `patron.models` is imported.

    Raises ArtifactError for any other path.
    """
    module, _, name = path.partition(":")
    if not module.startswith("patron.models.") or not name.isidentifier():
        raise ArtifactError(f"'{path}' is not a model class. Expected: patron.models.<module>:<Class>")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise ArtifactError(f"This version of Patron has no model class '{path}'.") from None
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise ArtifactError(f"'{path}' is not a model class.")
    return found


def class_path(model: Model) -> str:
    return f"{type(model).__module__}:{type(model).__name__}"


def open_model(folder: Path, manifest_hash: str | None = None) -> tuple[Model, Manifest]:
    """Verify a sealed artifact, then load it. Raises ArtifactError before anything is parsed."""
    manifest = verified(folder, manifest_hash)
    return read_model(folder, manifest), manifest


def read_model(folder: Path, manifest: Manifest) -> Model:
    """Load an artifact that was found to be what its manifest says. Raises ArtifactError."""
    try:
        return model_class(manifest.model).load(folder)
    except (KeyError, TypeError, FileNotFoundError, ValidationError) as error:
        raise ArtifactError(
            f"Version {manifest.version} was written by another version of Patron and cannot be read "
            f"({type(error).__name__}). Train it again: patron train {manifest.name.removeprefix('patron-')}"
        ) from None


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`below` with the keys of `above`; tables are merged key by key."""
    both = {
        key: merged(below[key], value)
        if isinstance(value, dict) and isinstance(below.get(key), dict)
        else value
        for key, value in above.items()
    }
    return {**below, **both}


def configured(path: Path, **overrides: Any) -> tuple[type[Model], Config]:
    """The model class and config that `configs/models/<name>.toml` names.

    The file holds `class = "patron.models.als:ALS"` and the config's fields. Raises ConfigurationError.
    """
    import tomllib

    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in path.parent.glob("*.toml")))
        raise ConfigurationError(f"No model config {path}. There are: {known}")
    try:
        fields = merged(tomllib.loads(path.read_text(encoding="utf-8")), overrides)
        found = model_class(fields.pop("class"))
        return found, found.Config(**fields)
    except KeyError:
        raise ConfigurationError(
            f'{path} names no class. Add: class = "patron.models.<module>:<Class>"'
        ) from None
    except (tomllib.TOMLDecodeError, ArtifactError, ValidationError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
