"""What a shop decides about a placement, whatever the models say: configs/placements/<placement>.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from patron.errors import ConfigurationError
from patron.models.base import Config
from patron.models.catalogue import Catalogue
from patron.models.placements import HOME


class Boost(Config):
    """Products that a shop wants to be seen more, or less."""

    factor: float = Field(gt=0)
    """What their score is multiplied by; below 1 they fall."""
    product_ids: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()

    @model_validator(mode="after")
    def of_something(self) -> Boost:
        if not (self.product_ids or self.categories or self.brands):
            raise ValueError("a boost names product_ids, categories or brands")
        return self

    def of(self, catalogue: Catalogue, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the products at `positions` are meant."""
        return (
            np.isin(catalogue.product_ids[positions], self.product_ids)
            | np.isin(catalogue.categories[positions], self.categories)
            | np.isin(catalogue.brands[positions], self.brands)
        )


class Pin(Config):
    """A product with a place of its own, as long as it may be shown at all."""

    product_id: str
    rank: int = Field(ge=1, le=100)


class Rules(Config):
    """How a placement is answered."""

    answers: Literal["models", "recently_viewed", "trending"] = "models"
    """What answers: the models, what the visitor viewed last, or what sells faster than usual this week."""
    session_places: int = Field(default=0, ge=0, le=10)
    """Of each ten places so many follow what the visitor does now."""
    bought: Literal["keep", "drop"] = "keep"
    """Whether products that the customer bought before may be shown."""
    diversity: float = Field(default=0.0, ge=0, le=1)
    """How far to spread over categories and kinds where the request does not say."""
    rotation: float = Field(default=0.0, ge=0, le=1)
    """What share of its score a product loses each time it was shown to the visitor in the last hours."""
    rotation_hours: float = Field(default=24.0, gt=0)
    exploration: float = Field(default=0.0, ge=0, le=1)
    """Share of the answers in which one place of the lower half goes to a product that is new in the shop."""
    boosts: tuple[Boost, ...] = ()
    pins: tuple[Pin, ...] = ()
    static: tuple[str, ...] = ()
    """Products to show when nothing else answers; empty: what was popular when a model last could."""


def load_rules(folder: Path) -> dict[str, Rules]:
    """Placement -> its rules, of every file in `folder`; `home` is always there, and stands in for others.

    Raises ConfigurationError that names the file and what is wrong in it.
    """
    import tomllib

    found = {HOME: Rules()}
    for path in sorted(folder.glob("*.toml")):
        try:
            found[path.stem] = Rules(**tomllib.loads(path.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise ConfigurationError(f"{path}: {error}") from None
    return found
