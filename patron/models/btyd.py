"""Buy till you die: how often customers buy, whether they still do, and what they spend.

A customer is summarised by x (repeat purchases), t_x (age at the last of them) and T (age), ages counted from
the first purchase in one unit of time. Parameters say how the rates differ over customers.

| model | buys | stops | source |
| --- | --- | --- | --- |
| ParetoNBD | Poisson, rates gamma(r, alpha) | any time, rates gamma(s, beta) | Schmittlein et al. 1987 |
| BGNBD | Poisson, rates gamma(r, alpha) | after a purchase, beta(a, b) | Fader, Hardie & Lee 2005 |
| GammaGamma | spends gamma(p, nu), nu gamma(q, v) | | Fader, Hardie & Lee 2005 |

Everything is computed in logarithms, and BG/NBD's hypergeometric function in the form that Euler's
transformation gives: nothing overflows or vanishes for customers with hundreds of purchases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, expit, gammaln, hyp2f1

from patron.errors import DataError

Numbers = NDArray[np.float64]

WIDEST = 14.0
"""Bound on the logarithm of a parameter; a fit that ends there found no optimum."""

AT_ONCE = 4096
"""Customers times nodes that are integrated in one go: few enough for the processor's cache."""

NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)


class PurchaseModel(Protocol):
    """What the models of purchase counts share; arguments broadcast, answers have shape (customers,).

    alive: `probability_alive` of the same customers, where it is known already.
    """

    log_likelihood: float

    def expected_purchases(
        self, t: ArrayLike, x: Numbers, t_x: Numbers, T: Numbers, alive: Numbers | None = None
    ) -> Numbers:
        """Mean number of purchases in (T, T + t]."""

    def probability_alive(self, x: Numbers, t_x: Numbers, T: Numbers) -> Numbers:
        """P(still a customer at T)."""

    def probability_of_purchase(
        self, t: ArrayLike, x: Numbers, t_x: Numbers, T: Numbers, alive: Numbers | None = None
    ) -> Numbers:
        """P(at least one purchase in (T, T + t])."""


@dataclass(frozen=True)
class Fitted:
    """Parameters as fields, the maximised log-likelihood last."""

    def document(self) -> dict[str, float]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of(cls, document: dict[str, float]) -> Self:
        """What `document` wrote."""
        return cls(**document)


@dataclass(frozen=True)
class ParetoNBD(Fitted):
    r: float
    alpha: float
    s: float
    beta: float
    log_likelihood: float = float("nan")

    STARTS: ClassVar = ((0.5, 0.3, 0.5, 0.3), (2.0, 0.5, 0.3, 3.0))
    """Tried in turn; the second and fourth are in units of the mean age."""

    @classmethod
    def fit(cls, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Self:
        """Maximum likelihood. Raises DataError when nobody bought twice or no optimum is found."""
        rows, counts, unit = summarised(x, t_x, T)
        scale = np.array([1.0, unit, 1.0, unit])

        def likelihood(parameters: Numbers) -> float:
            return float(counts @ cls(*parameters).log_likelihoods(*rows))

        starts = [np.log(start * scale) for start in np.array(cls.STARTS)]
        return cls(*maximised(likelihood, starts, counts.sum(), cls.__name__))

    def log_likelihoods(self, x: Numbers, t_x: Numbers, T: Numbers) -> Numbers:
        """Of each customer. Source: Fader & Hardie 2005, 'A note on deriving the Pareto/NBD'."""
        r, alpha, s, beta, _ = astuple(self)
        front = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
        return front + np.logaddexp(self._log_alive(x, T), self._log_stopped(x, t_x, T))

    def _log_alive(self, x: Numbers, T: Numbers) -> Numbers:
        return -(self.r + x) * np.log(self.alpha + T) - self.s * np.log(self.beta + T)

    def _log_stopped(self, x: Numbers, t_x: Numbers, T: Numbers) -> Numbers:
        """log of s * integral over u in (t_x, T) of (alpha + u)^-(r + x) (beta + u)^-(s + 1).

        In y = log(min(alpha, beta) + u) the integrand's singularities stay pi away, so that Gauss-Legendre
        quadrature is exact to 1e-10; what lies e^-40 below the start is cut off. The closed form (two 2F1) is
        up to a hundred times slower where one of alpha and beta is much larger than the other.
        """
        r, alpha, s, beta, _ = astuple(self)
        least = min(alpha, beta)

        def integrand(u: Numbers) -> Numbers:
            return np.log(least + u) - (r + x) * np.log(alpha + u) - (s + 1) * np.log(beta + u)

        last = np.minimum(T, (alpha + t_x) * np.exp(np.minimum(40 / (r + x), 100)) - alpha)
        length = np.log((least + np.maximum(last, t_x)) / (least + t_x))
        first, total = integrand(t_x), np.zeros(np.shape(t_x))
        nodes, weights = (NODES[:, None] + 1) / 2, WEIGHTS[:, None] / 2
        step = max(1, AT_ONCE // max(np.size(t_x), 1))
        for at in range(0, len(nodes), step):
            u = (least + t_x) * np.exp(nodes[at : at + step] * length) - least
            parts = weights[at : at + step] * np.exp(integrand(u) - first)
            total = np.cumsum(np.vstack([total, parts]), axis=0)[-1]  # in order: the same bits for any step
        with np.errstate(divide="ignore"):
            return np.log(s) + first + np.log(length * total)

    def probability_alive(self, x: Numbers, t_x: Numbers, T: Numbers) -> Numbers:
        """P(still a customer at T). Source: Fader & Hardie 2005, the same note."""
        return expit(self._log_alive(x, T) - self._log_stopped(x, t_x, T))

    def expected_purchases(
        self, t: ArrayLike, x: Numbers, t_x: Numbers, T: Numbers, alive: Numbers | None = None
    ) -> Numbers:
        """Mean number of purchases in (T, T + t]. Source: Schmittlein et al. 1987."""
        growth = np.log1p(np.asarray(t) / (self.beta + T))
        excess = self.s - 1
        years = growth if abs(excess) < 1e-9 else -np.expm1(-excess * growth) / excess
        rate = (self.r + x) * (self.beta + T) / (self.alpha + T)
        return (self.probability_alive(x, t_x, T) if alive is None else alive) * rate * years

    def probability_of_purchase(
        self, t: ArrayLike, x: Numbers, t_x: Numbers, T: Numbers, alive: Numbers | None = None
    ) -> Numbers:
        """P(at least one purchase in (T, T + t]).

        Given alive, with r' = r + x, alpha' = alpha + T, beta' = beta + T, integrate over u in (0, t)
        the density of the next purchase, r'/alpha' (1 + u/alpha')^-(r'+1), times P(not stopped by u),
        (1 + u/beta')^-s. In w = 1 - (1 + u/alpha')^-r' the integrand is smooth: Gauss-Legendre.
        """
        shape, until = self.r + np.asarray(x), self.alpha + np.asarray(T)
        most = -np.expm1(-shape * np.log1p(np.asarray(t) / until))
        w = most[..., None] * (NODES + 1) / 2
        u = until[..., None] * np.expm1(-np.log1p(-w) / shape[..., None])
        kept = np.exp(-self.s * np.log1p(u / (self.beta + np.asarray(T))[..., None]))
        return (self.probability_alive(x, t_x, T) if alive is None else alive) * most * (kept @ WEIGHTS) / 2


@dataclass(frozen=True)
class BGNBD(Fitted):
    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float = float("nan")

    STARTS: ClassVar = ((0.3, 0.2, 0.5, 2.0), (2.0, 0.5, 0.1, 3.0))
    """Tried in turn; the second is in units of the mean age."""

    @classmethod
    def fit(cls, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Self:
        """Maximum likelihood. Raises DataError when nobody bought twice or no optimum is found."""
        rows, counts, unit = summarised(x, t_x, T)
        scale = np.array([1.0, unit, 1.0, 1.0])

        def likelihood(parameters: Numbers) -> float:
            return float(counts @ cls(*parameters).log_likelihoods(*rows))

        starts = [np.log(start * scale) for start in np.array(cls.STARTS)]
        return cls(*maximised(likelihood, starts, counts.sum(), cls.__name__))

    def log_likelihoods(self, x: Numbers, t_x: Numbers, T: Numbers) -> Numbers:
        """Of each customer. Source: Fader, Hardie & Lee 2005, equation 6."""
        r, alpha, a, b, _ = astuple(self)
        front = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b)
        return front - (r + x) * np.log(alpha + T) + np.logaddexp(0.0, self._log_stopped_odds(x, t_x, T))

    def _log_stopped_odds(self, x: Numbers, t_x: Numbers, T: Numbers) -> Numbers:
        """log odds of having stopped; -inf without a repeat purchase, since stopping follows a purchase."""
        odds = np.log(self.a) - np.log(self.b + np.maximum(x, 1) - 1)
        odds = odds + (self.r + x) * (np.log(self.alpha + T) - np.log(self.alpha + t_x))
        return np.where(np.asarray(x) > 0, odds, -np.inf)

    def probability_alive(self, x: Numbers, t_x: Numbers, T: Numbers) -> Numbers:
        """P(still a customer at T). 1 for every one-time buyer: never use it as a churn score."""
        return expit(-self._log_stopped_odds(x, t_x, T))

    def expected_purchases(
        self, t: ArrayLike, x: Numbers, t_x: Numbers, T: Numbers, alive: Numbers | None = None
    ) -> Numbers:
        """Mean number of purchases in (T, T + t]. Source: Fader, Hardie & Lee 2005, equation 10."""
        r, alpha, a, b, _ = astuple(self)
        a = a if abs(a - 1) > 1e-6 else 1 + 1e-6
        z = np.asarray(t) / (alpha + T + t)
        kept = (1 - z) ** (a - 1) * hyp2f1(a + b - 1 - r, a - 1, a + b + x - 1, z)
        return (
            (self.probability_alive(x, t_x, T) if alive is None else alive)
            * (a + b + x - 1)
            / (a - 1)
            * (1 - kept)
        )

    def probability_of_purchase(
        self, t: ArrayLike, x: Numbers, t_x: Numbers, T: Numbers, alive: Numbers | None = None
    ) -> Numbers:
        """P(at least one purchase in (T, T + t]): alive, and a Poisson of mixed rate not zero."""
        waits = -np.expm1(-(self.r + x) * np.log1p(np.asarray(t) / (self.alpha + T)))
        return (self.probability_alive(x, t_x, T) if alive is None else alive) * waits


@dataclass(frozen=True)
class GammaGamma(Fitted):
    p: float
    q: float
    v: float
    log_likelihood: float = float("nan")

    @classmethod
    def fit(cls, x: ArrayLike, mean: ArrayLike) -> Self:
        """Maximum likelihood over customers with x > 0 purchases of `mean` value > 0; q > 1, so that a mean
        exists. Raises DataError when there is none or no optimum is found."""
        counts, means = np.asarray(x, dtype=np.float64), np.asarray(mean, dtype=np.float64)
        usable = (counts > 0) & (means > 0) & np.isfinite(means)
        counts, means = counts[usable], means[usable]
        if len(np.unique(means)) < 2:
            raise DataError("Fewer than two customers repeated with a value: spend cannot be modelled.")
        unit = float(means.mean())

        def likelihood(parameters: Numbers) -> float:
            p, q, v = parameters
            return float(cls(p, q, v * unit).log_likelihoods(counts, means).sum())

        starts = [np.log(start) for start in ((1.0, 2.0, 1.0), (6.0, 4.0, 0.5), (0.5, 1.5, 5.0))]
        p, q, v, best = maximised(
            likelihood, starts, len(means), cls.__name__, lowest=(-WIDEST, np.log(1.02), -WIDEST)
        )
        return cls(p, q, v * unit, best)

    def log_likelihoods(self, x: Numbers, mean: Numbers) -> Numbers:
        """Of each customer's mean. Source: Fader & Hardie 2013."""
        p, q, v, _ = astuple(self)
        front = gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * np.log(v)
        return front + (p * x - 1) * np.log(mean) + p * x * np.log(x) - (p * x + q) * np.log(v + x * mean)

    def expected_spend(self, x: Numbers, mean: Numbers) -> Numbers:
        """Mean value of a future purchase; without repeats the shop's. Fader & Hardie 2013."""
        times = np.where(np.isfinite(mean), x, 0.0)
        spent = np.where(times > 0, np.nan_to_num(mean), 0.0)
        return self.p * (self.v + times * spent) / (self.p * times + self.q - 1)


def summarised(x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> tuple[tuple[Numbers, ...], Numbers, float]:
    """Distinct (x, t_x, T), how many customers have each, and the mean age. Raises DataError."""
    found = np.column_stack([np.asarray(each, dtype=np.float64) for each in (x, t_x, T)])
    if not len(found) or not (found[:, 0] > 0).any():
        raise DataError(f"None of {len(found)} customers bought twice: purchases cannot be modelled.")
    if not np.isfinite(found).all() or (found < 0).any() or (found[:, 1] > found[:, 2]).any():
        raise DataError("Purchase summaries need 0 <= t_x <= T and x >= 0, all finite.")
    rows, counts = np.unique(found, axis=0, return_counts=True)
    return tuple(rows.T), counts.astype(np.float64), max(float(found[:, 2].mean()), 1e-3)


def maximised(
    likelihood: Callable[[Numbers], float],
    starts: Sequence[Numbers],
    customers: float,
    name: str,
    lowest: Sequence[float] | None = None,
) -> list[float]:
    """Best parameters over all starts, the log-likelihood last. Searches the parameters' logarithms.

    Raises DataError when the best fit stands on the upper or lower bound: the data do not hold the model.
    """
    from scipy.optimize import minimize

    size = len(starts[0])
    bounds = list(zip(lowest or [-WIDEST] * size, [WIDEST] * size, strict=True))

    def loss(logs: Numbers) -> float:
        value = -likelihood(np.exp(logs)) / customers
        return value if np.isfinite(value) else 1e6

    options: dict[str, Any] = {
        "method": "L-BFGS-B",
        "bounds": bounds,
        "options": {"maxiter": 500, "ftol": 1e-12},
    }
    best = min((minimize(loss, start, **options) for start in starts), key=lambda found: found.fun)
    if best.fun >= 1e6 or (np.abs(best.x) > WIDEST - 1e-3).any():
        raise DataError(f"{name} has no optimum on {customers:,.0f} customers: too few repeat purchases.")
    return [*np.exp(best.x).tolist(), -float(best.fun * customers)]
