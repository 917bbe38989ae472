"""What an offer policy learns from: who was shown what, how probably, and what they did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patron.errors import DataError
from patron.models.activity import Numbers
from patron.models.base import FeatureRows


@dataclass(frozen=True)
class OfferLog:
    """One entry an exposure; all arrays have the shape (exposures,).

    `rows`: features of each customer as of before the exposure. `offer_id`: `none` where nothing was shown.
    `propensity`: of what was shown. `converted`: whether it was taken up, NaN while nobody knows; `value`: of
    what was bought with it. `ordered` and `margin`: whether the customer ordered, and what all orders of the
    outcome window brought before the cost of the offer: the same for every arm, `none` too.
    """

    rows: FeatureRows
    offer_id: NDArray[Any]
    propensity: Numbers
    converted: Numbers
    value: Numbers
    ordered: Numbers
    margin: Numbers
    randomised: NDArray[np.bool_]
    """Whether chance alone decided what was shown, with the propensity that is told."""

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in COLUMNS}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise DataError(f"The columns of the exposures differ in length: {told}.")

    def __len__(self) -> int:
        return len(self.offer_id)

    def take(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> OfferLog:
        """These exposures alone."""
        rows = {name: np.asarray(values)[kept] for name, values in self.rows.items()}
        return OfferLog(rows, *(getattr(self, name)[kept] for name in COLUMNS))


COLUMNS = ("offer_id", "propensity", "converted", "value", "ordered", "margin", "randomised")
