"""What a purchase is worth: gamma-gamma, for values that do not depend on how often customers buy."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, psi

from patron.errors import DataError
from patron.models.btyd_fitting import WIDEST, Fitted, Numbers, Sloped, maximised

LEAST = (np.exp(-WIDEST), 1.02, np.exp(-WIDEST))


@dataclass(frozen=True)
class GammaGamma(Fitted):
    """Source: Fader & Hardie 2013, 'The gamma-gamma model of monetary value'."""

    p: float
    q: float
    v: float
    log_likelihood: float = float("nan")

    STARTS: ClassVar = ((6.0, 4.0, 0.5), (1.0, 2.0, 1.0), (0.5, 1.5, 5.0))
    """The last in units of the mean."""

    @classmethod
    def fit(cls, x: ArrayLike, mean: ArrayLike) -> Self:
        """Maximum likelihood over customers with x > 0 purchases of `mean` value > 0; q > 1, so that a mean
        exists. Raises DataError when there is none or no optimum is found."""
        counts, means = np.asarray(x, dtype=np.float64), np.asarray(mean, dtype=np.float64)
        usable = (counts > 0) & (means > 0) & np.isfinite(means)
        counts, means = counts[usable], means[usable]
        if len(means) < 2 or means.min() == means.max():
            raise DataError("Fewer than two customers repeated with a value: spend cannot be modelled.")
        unit = float(means.mean())
        times, had = np.unique(counts, return_counts=True)
        relative, logs = means / unit, np.log(means / unit)
        everybody = np.ones(len(means))

        def likelihood(parameters: Numbers) -> tuple[float, Numbers]:
            model = cls(*parameters)
            value, slopes = model._by_count(times)
            more, steeper = model._by_value(counts, relative, logs)
            return float(had @ value + more.sum()), slopes @ had + steeper @ everybody

        p, q, v, best = maximised(likelihood, cls.STARTS, np.ones(3), len(means), cls.__name__, LEAST)
        return cls(p, q, v * unit, best - len(means) * float(np.log(unit)))

    def log_likelihoods(self, x: Numbers, mean: Numbers) -> Numbers:
        """Of each customer's mean."""
        return self._by_count(x)[0] + self._by_value(x, mean, np.log(mean))[0]

    def _by_count(self, x: Numbers) -> Sloped:
        p, q, v, _ = astuple(self)
        value = gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * np.log(v) + p * x * np.log(x)
        both = psi(p * x + q)
        return value, np.stack(
            [x * (both - psi(p * x) + np.log(x)), both - psi(q) + np.log(v), np.full(len(x), q / v)]
        )

    def _by_value(self, x: Numbers, mean: Numbers, log_mean: Numbers) -> Sloped:
        p, q, v, _ = astuple(self)
        total = v + x * mean
        logs, shape = np.log(total), p * x + q
        return (p * x - 1) * log_mean - shape * logs, np.stack([x * (log_mean - logs), -logs, -shape / total])

    def expected_spend(self, x: Numbers, mean: Numbers) -> Numbers:
        """Mean value of a future purchase; without repeats the shop's."""
        times = np.where(np.isfinite(mean), x, 0.0)
        spent = np.where(times > 0, np.nan_to_num(mean), 0.0)
        return self.p * (self.v + times * spent) / (self.p * times + self.q - 1)
