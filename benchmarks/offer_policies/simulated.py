"""A simulated shop (`shop.py`): does a policy learned from a log come near the best allocation there can be?

It shows whether the machinery finds what is there. It is no evidence about real customers.

- A log of customers who were each shown one of four offers, or none, all equally likely, teaches the policy:
  `OfferPolicy`, as `patron train offers` fits it, with three of its ways to learn effects (to save time). It
  sees features, what was shown, and who ordered for how much; never a true effect.
- New customers, and a budget: a share of what the best allocation would spend without any. Each way to
  allocate orders its wishes and spends true expected costs until the budget is spent, as the ledger would;
  its value is the true expected margin that is added. Regret is what it lacks of the best allocation of
  the same budget, which knows every effect.
- Beside it: `alike`, the policy with average effects; a response model for each offer (whoever is likeliest
  to order with it, worth the margin of the order less the cost); a churn score (least likely to order first),
  with the offer that in truth suits it best; random customers and offers.
- The same shop without any effects: whom would the policy contact?

Intervals are Student's, over shops drawn by seeds 0, 1, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offer_policies import shop
from offer_policies.shop import OFFERS, Customers

Numbers = NDArray[np.float64]
Chosen = NDArray[np.int64]

CANDIDATES = ("flag", "t_logistic", "x_trees")
BUDGETS = (0.2, 0.4, 1.0)
"""Shares of what the best allocation spends without a budget."""
JUDGED = 0.4
LEAST = 0.9
RIVALS = ("alike", "response model", "churn score", "random")
MOST_CONTACTED = 0.01


@dataclass(frozen=True)
class Size:
    """How large the shops are."""

    seeds: int = 5
    logged: int = 100_000
    customers: int = 20_000
    candidates: tuple[str, ...] = CANDIDATES


def measured(path: Path, size: Size | None = None) -> dict[str, Any]:
    """Every seed with effects and without. `path` is not read."""
    size = size or Size()
    with_effects = [world(seed, size) for seed in range(size.seeds)]
    return {
        "size": size.__dict__,
        "offers": [{"offer": each.offer_id, "kind": each.kind, "cost": each.cost} for each in OFFERS],
        "seeds": with_effects,
        "nothing": [nothing(seed, size) for seed in range(size.seeds)],
        "shares": {str(budget): compared(with_effects, str(budget)) for budget in BUDGETS},
    }


def world(seed: int, size: Size) -> dict[str, Any]:
    """Share of the best value that each way reaches, at each budget."""
    from patron.offers.allocation import allocate

    rng = np.random.default_rng(seed)
    log = shop.randomised(shop.customers(size.logged, rng), rng)
    people = shop.customers(size.customers, rng)
    policy, alike = fitted(log, size, seed), fitted(log, size, seed, alike=True)
    free = allocate(people.worth, people.cost)
    found: dict[str, Any] = {"chosen": {arm: each["name"] for arm, each in policy.learned.arms.items()}}
    for share in BUDGETS:
        budget = share * free.spent
        best = allocate(people.worth, people.cost, budget)
        ways = {
            "policy": lambda money: wished(policy, people, money),
            "alike": lambda money: wished(alike, people, money),
            "response model": lambda money: by_response(log, policy, people, money),
            "random": lambda money: at_random(people, seed),
        }
        values = {name: spent(people, way, budget)[0] for name, way in ways.items()}
        values["churn score"] = by_churn(log, people, budget)
        found[str(share)] = {
            "best": best.value,
            "gap": best.gap,
            "budget": budget,
            "price": best.price,
            "told_price": allocate(*told(policy, people), budget).price,
            "reached": {name: value / best.value for name, value in values.items()},
        }
    return found


def fitted(log: Any, size: Size, seed: int, alike: bool = False) -> Any:
    from patron.models.offer_config import OfferPolicyConfig
    from patron.models.offers import OfferPolicy
    from patron.models.segments import Segments

    policy = OfferPolicy(OfferPolicyConfig(candidates=size.candidates))
    return policy.fit(log, OFFERS, Segments().fit(log.rows), alike=alike, seed=seed)


def told(policy: Any, people: Customers) -> tuple[Numbers, Numbers]:
    """(margin, cost) that the policy expects of each offer, (customers, offers)."""
    worth = policy.worth(people.rows, OFFERS)
    return worth.margin[:, 1:], worth.cost[:, 1:]


def wished(policy: Any, people: Customers, budget: float) -> tuple[Chosen, Numbers]:
    """(offer of each customer, -1 for none; how much the policy wants it)."""
    return allocated(*told(policy, people), budget)


def allocated(margin: Numbers, cost: Numbers, budget: float) -> tuple[Chosen, Numbers]:
    from patron.offers.allocation import allocate

    found = allocate(margin, cost, budget)
    rows, arms = np.arange(len(margin)), np.maximum(found.chosen, 0)
    return found.chosen, margin[rows, arms] - found.price * cost[rows, arms]


def by_response(log: Any, policy: Any, people: Customers, budget: float) -> tuple[Chosen, Numbers]:
    """Whoever orders with an offer, whether or not because of it; orders are worth what the policy thinks."""
    chance = np.column_stack([chances(log, people, each.offer_id) for each in OFFERS])
    _, cost = told(policy, people)
    segments = policy.segments.segment(people.rows)
    margin = np.array([policy.order_margin(str(each)) for each in segments])
    margin = margin * policy.order_values.relative(people.rows, segments)
    return allocated(chance * margin[:, None] - cost, cost, budget)


def chances(log: Any, people: Customers, shown: str) -> Numbers:
    """P(orders | shown), by logistic regression on those who were."""
    from patron.models.activity import matrix
    from patron.models.offers import NAMES
    from patron.models.uplift import UpliftConfig

    rows = log.offer_id == shown
    regression = UpliftConfig().regression(NAMES, 0, 1)
    response = regression.fit(matrix(log.rows, NAMES)[rows], log.ordered[rows], binary=True)
    return response.predict(matrix(people.rows, NAMES))


def by_churn(log: Any, people: Customers, budget: float) -> float:
    """Value of the best single offer in truth, to those least likely to order by themselves first."""
    risk = 1 - chances(log, people, "none")
    arms = [np.full(len(people), arm) for arm in range(len(OFFERS))]
    return max(spent(people, lambda _, arm=arm: (arm, risk), budget)[0] for arm in arms)


def at_random(people: Customers, seed: int) -> tuple[Chosen, Numbers]:
    rng = np.random.default_rng(seed)
    return rng.integers(len(OFFERS), size=len(people)), rng.random(len(people))


def spent(
    people: Customers, way: Callable[[float], tuple[Chosen, Numbers]], budget: float
) -> tuple[float, float]:
    """(true value, true cost) of what is wished for most, until the budget is spent."""
    chosen, wish = way(budget)
    order = np.argsort(-wish, kind="stable")
    rows = order[chosen[order] >= 0]
    cost = people.cost[rows, chosen[rows]]
    kept = rows[np.cumsum(cost) <= budget]
    return float(people.worth[kept, chosen[kept]].sum()), float(people.cost[kept, chosen[kept]].sum())


def nothing(seed: int, size: Size) -> dict[str, Any]:
    """No offer changes anything: the share of customers with whom the policy would begin anything."""
    rng = np.random.default_rng(1000 + seed)
    log = shop.randomised(shop.customers(size.logged, rng, strength=0.0), rng)
    policy, people = fitted(log, size, seed), shop.customers(size.customers, rng, strength=0.0)
    worth = policy.worth(people.rows, OFFERS)
    few = range(min(len(people), 2000))
    shown = [1 - policy.propensities(worth, row)[0] for row in few]
    floor = policy.config.epsilon * len(OFFERS) / (len(OFFERS) + 1)
    return {
        "chosen": {arm: each["name"] for arm, each in policy.learned.arms.items()},
        "best_is_an_offer": float((worth.known_margin[:, 1:].max(axis=1) > 0).mean()),
        "contacted": float(np.mean(shown)),
        "floor": floor,
    }


def compared(seeds: list[dict[str, Any]], budget: str) -> dict[str, Any]:
    """Mean over seeds of what each way reaches, and the policy less each rival, with intervals."""
    reached = {
        name: np.array([each[budget]["reached"][name] for each in seeds]) for name in ("policy", *RIVALS)
    }
    return {
        "reached": {name: interval(each) for name, each in reached.items()},
        "ahead": {name: interval(reached["policy"] - reached[name]) for name in RIVALS},
    }


def interval(values: Numbers, level: float = 0.95) -> dict[str, float]:
    from scipy.stats import t

    mean, several = float(values.mean()), len(values) > 1
    half = t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5 if several else 0
    return {"mean": mean, "low": float(mean - half), "high": float(mean + half), "least": float(values.min())}


def bars(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    found = document["shares"][str(JUDGED)]
    policy = found["reached"]["policy"]
    yield {
        "bar": f"value of the best allocation that the policy reaches >= {LEAST:.0%}",
        "reached": f"{bounds(policy)}, the least {policy['least']:.1%}",
        "met": policy["mean"] >= LEAST,
    }
    for name in ("churn score", "response model"):
        ahead = found["ahead"][name]
        yield {"bar": f"ahead of the {name}", "reached": bounds(ahead), "met": ahead["low"] > 0}
    most = max(each["best_is_an_offer"] for each in document["nothing"])
    yield {
        "bar": f"without effects an offer is the best arm for <= {MOST_CONTACTED:.0%} of the customers",
        "reached": f"{most:.2%} at most",
        "met": most <= MOST_CONTACTED,
    }


def bounds(found: dict[str, float]) -> str:
    return f"{found['mean']:.1%} [{found['low']:.1%}, {found['high']:.1%}]"


def drawn(document: dict[str, Any]) -> Iterator[Any]:
    from patron import console

    size = document["size"]
    yield (
        f"Data: {size['seeds']} simulated shops with known effects; a log of {size['logged']:,} customers, "
        f"four offers or none equally likely; judged on {size['customers']:,} new ones. "
        "No evidence about real customers"
    )
    columns = ["share of the best value", *(f"budget {share:.0%}" for share in BUDGETS)]
    rows = [
        [name, *(bounds(document["shares"][str(share)]["reached"][name]) for share in BUDGETS)]
        for name in ("policy", *RIVALS)
    ]
    yield console.table(
        f"Budget: of what the best allocation spends without one; judged at {JUDGED:.0%}", columns, rows
    )
    columns = ["seed", "chosen", "best value", "budget", "its price", "price told by the policy"]
    yield console.table("Shops", columns, [line(*each) for each in enumerate(document["seeds"])])
    columns = ["seed, no effects", "chosen", "an offer is best for", "contacted", "floor of exploration"]
    yield console.table("Nothing to find", columns, [empty(*each) for each in enumerate(document["nothing"])])


def line(seed: int, found: dict[str, Any]) -> list[Any]:
    at = found[str(JUDGED)]
    return [str(seed), names(found), *(at[name] for name in ("best", "budget", "price", "told_price"))]


def empty(seed: int, found: dict[str, Any]) -> list[Any]:
    shares = (f"{found[name]:.2%}" for name in ("best_is_an_offer", "contacted", "floor"))
    return [str(seed), names(found), *shares]


def names(found: dict[str, Any]) -> str:
    return ", ".join(f"{arm} {name}" for arm, name in found["chosen"].items())
