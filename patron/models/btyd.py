"""Buy till you die: how often customers buy, whether they still do, and what they spend.

A customer is summarised by x (repeat purchases), t_x (age at the last of them) and T (age), ages counted from
the first purchase in one unit of time. Parameters say how the rates differ over customers.

| model | buys | stops | source |
| --- | --- | --- | --- |
| ParetoNBD | Poisson, rates gamma(r, alpha) | any time, rates gamma(s, beta) | Schmittlein et al. 1987 |
| BGNBD | Poisson, rates gamma(r, alpha) | after a repeat purchase, beta(a, b) | Fader, Hardie & Lee 2005 |
| MBGNBD | Poisson, rates gamma(r, alpha) | after any purchase, beta(a, b) | Batislam et al. 2007 |
| GammaGamma | spends gamma(p, nu), nu gamma(q, v) | | Fader, Hardie & Lee 2005 |

Everything is computed in logarithms.
"""

from __future__ import annotations

from typing import Protocol

from numpy.typing import ArrayLike

from patron.models.bg_nbd import BGNBD, MBGNBD
from patron.models.btyd_fitting import Numbers
from patron.models.gamma_gamma import GammaGamma
from patron.models.pareto_nbd import ParetoNBD

__all__ = ["BGNBD", "MBGNBD", "GammaGamma", "ParetoNBD", "PurchaseModel"]


class PurchaseModel(Protocol):
    """What the models of purchase counts share; arguments broadcast, answers have shape (customers,).

    alive: `probability_alive` of the same customers, where it is known already.
    """

    @property
    def log_likelihood(self) -> float: ...

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
