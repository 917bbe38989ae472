"""One answer of a placement: the models' order, what the visitor does now, then the shop's rules.

Filters hold before anything is chosen, so that `limit` is met where enough products are left. What the rules
cost is told: the share of the models' relevance (discounted by rank) that the order before them had.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log2
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from patron.models import explanations
from patron.models.base import CustomerHistory, Reason, Recommendation
from patron.models.diversity import spread
from patron.models.explanations import CONTEXT, SESSION, as_history
from patron.models.placements import HOME, Weights
from patron.models.rules import Rules
from patron.models.shortlist import Shortlist
from patron.models.visit import Visit, joined

if TYPE_CHECKING:
    from patron.models.blend import Blend

Mask = NDArray[np.bool_]
PAGE = 10
POOL = 5
"""Candidates for each place of an answer that is spread over kinds."""
OWN_ONLY = ("buy_again", "recently_viewed")
"""Placements that popular products never fill up."""


@dataclass(frozen=True)
class Request:
    """What a page asks for. `allowed`: mask of shape (n_products,), None for all that can be sold.

    `context`: products of the page or basket. `shown`: how often the visitor saw each product lately.
    `draw`: where chance comes from; None: nothing is explored. `sources`: ask only these, with these weights,
    and no ranker.
    """

    history: CustomerHistory = field(default_factory=CustomerHistory.empty)
    limit: int = PAGE
    placement: str = HOME
    visit: Visit = field(default_factory=Visit)
    context: tuple[str, ...] = ()
    allowed: Mask | None = None
    exclude: Collection[str] = ()
    diversity: float | None = None
    explain: bool = True
    shown: Mapping[str, int] = field(default_factory=dict)
    draw: random.Random | None = None
    sources: Weights | None = None


@dataclass(frozen=True)
class Page:
    """`propensities`: how probably each item was shown; None where nothing was left to chance."""

    items: list[Recommendation]
    propensities: list[float] | None = None
    relevance_cost: float = 0.0


@dataclass(frozen=True)
class Listed:
    """Candidates of one kind, the weights that tell who speaks for them, and two orders.

    base: scores of the models, (m,). scores: with boosts and rotation, (m,). plain: positions as the models
    order them. ruled: as boosts, rotation and diversity leave them.
    """

    kept: Shortlist
    base: NDArray[np.float32]
    scores: NDArray[np.float32]
    weights: Weights
    given: Mapping[str, CustomerHistory]
    plain: list[int]
    ruled: list[int]

    def relevance(self) -> dict[int, float]:
        """Position -> the models' score over the best one's."""
        top = float(self.base.max(initial=0.0))
        if top <= 0:
            return {}
        shares = np.maximum(self.base, 0) / top
        return dict(zip(self.kept.positions.tolist(), shares.tolist(), strict=True))


NOTHING = Listed(
    Shortlist.none(),
    np.zeros(0, dtype=np.float32),
    np.zeros(0, dtype=np.float32),
    {},
    {},
    [],
    [],
)


def compose(blend: Blend, asked: Request, rules: Rules) -> Page:
    """The page, best first, each product once."""
    mask = allowed(blend, asked, rules)
    if rules.answers != "models":
        return without_models(blend, asked, rules, mask)
    main = of_models(blend, asked, rules, mask)
    session = of_session(blend, asked, rules, mask)
    places = rules.session_places
    plain = mixed(main.plain, session.plain, places, asked.limit)
    followed = mixed(main.ruled, session.ruled, places, asked.limit)
    chosen = list(followed)
    if asked.placement not in OWN_ONLY:
        beside = np.asarray(chosen, dtype=np.int64)
        chosen += blend.popular_beside(beside, mask, asked.limit - len(chosen)).tolist()
    chosen, pinned = with_pins(blend, chosen, rules, mask, asked.limit)
    chosen, propensities, drawn = with_exploration(blend, chosen, rules, mask, pinned, asked.draw)
    of_visit = {position for position, from_session in followed.items() if from_session}
    items = explained(blend, main, [each for each in chosen if each not in of_visit], asked)
    items |= explained(blend, session, [each for each in chosen if each in of_visit], asked)
    final = []
    for position in chosen:
        item = items.get(position) or blend.popular_item(position, 0.0, asked.explain)
        final.append(marked(blend, rules, position, item, pinned, drawn, asked.explain))
    return Page(final, propensities, cost(list(plain), chosen, main, session))


def allowed(blend: Blend, asked: Request, rules: Rules) -> Mask:
    """What may be shown: never what is on the page or in the basket already."""
    hidden = [*asked.exclude, *asked.context, *asked.visit.basket]
    mask = blend.mask(asked.history, asked.allowed, hidden, asked.placement)
    if rules.bought == "drop":
        own = blend.catalogue.index.positions(asked.history.product_ids)
        mask[own[own >= 0]] = False
    return mask


def of_models(blend: Blend, asked: Request, rules: Rules, mask: Mask) -> Listed:
    """What the models say of the customer and the page."""
    given = {"": asked.history, CONTEXT: as_history(asked.context)}
    if asked.sources is not None:
        kept, scores = blend.asked_about(asked.sources, given, mask, asked.limit)
        return listed(blend, asked, rules, kept, scores, asked.sources, given, home=False)
    kept, scores = blend.answered(asked.history, mask, asked.placement, asked.context, asked.limit)
    weights = blend.weights_of(asked.placement, asked.context)
    home = blend.is_home(asked.placement, asked.context)
    return listed(blend, asked, rules, kept, scores, weights, given, home)


def of_session(blend: Blend, asked: Request, rules: Rules, mask: Mask) -> Listed:
    """What they say of what the visitor looked at; nothing where the placement does not ask for it."""
    seen = asked.visit.seen
    if not len(seen) or rules.session_places == 0:
        return NOTHING
    mask = mask.copy()
    own = blend.catalogue.index.positions(seen.product_ids)
    mask[own[own >= 0]] = False
    given = {"": asked.history, SESSION: seen}
    kept, scores = blend.asked_about(blend.config.session, sessions(asked), mask, asked.limit)
    return listed(blend, asked, rules, kept, scores, blend.config.session, given, home=False)


def sessions(asked: Request) -> dict[str, CustomerHistory]:
    """What sources are asked about: those that follow an order of events get the purchases before it, too."""
    whole = joined(asked.history, asked.visit.seen)
    return {SESSION: asked.visit.seen, "session_sequence": whole, "session_als": whole}


def listed(
    blend: Blend,
    asked: Request,
    rules: Rules,
    kept: Shortlist,
    scores: NDArray[np.float32],
    weights: Weights,
    given: Mapping[str, CustomerHistory],
    home: bool,
) -> Listed:
    """Both orders of the candidates."""
    worth, rows = scores, best_first(scores)
    plain = shown(blend, asked, kept, rows, home)
    if rules.boosts or (rules.rotation > 0 and asked.shown):
        worth = scores * factors(blend, asked, rules, kept.positions)
        rows = best_first(worth)
    diversity = rules.diversity if asked.diversity is None else asked.diversity
    if diversity > 0:
        rows = spread_out(blend, kept, worth, rows[: asked.limit * POOL], asked.limit, diversity)
    ruled = plain if worth is scores and diversity == 0 else shown(blend, asked, kept, rows, home)
    return Listed(kept, scores, worth, weights, given, plain, ruled)


def best_first(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rows with a score above 0, best first; ties stand in product order."""
    rows = (-scores).argsort(kind="stable")
    return rows[: np.count_nonzero(scores > 0)]


def spread_out(
    blend: Blend,
    kept: Shortlist,
    scores: NDArray[np.float32],
    rows: NDArray[np.int64],
    limit: int,
    diversity: float,
) -> NDArray[np.int64]:
    """The rows with `limit` of them, spread over kinds, first."""
    positions = kept.positions[rows]
    kinds, vectors = blend.catalogue.category_codes(positions), blend.vectors(positions)
    first = spread(scores[rows], kinds, limit, diversity, vectors)
    rest = np.ones(len(rows), dtype=np.bool_)
    rest[first] = False
    return np.concatenate([rows[first], rows[rest]])


def shown(blend: Blend, asked: Request, kept: Shortlist, rows: NDArray[np.int64], home: bool) -> list[int]:
    """The positions of at most `limit` rows, at home with places kept for what is new."""
    if home and blend.new_places:
        rows = rows[blend.keep_places(kept.positions[rows], asked.history, blend.new_places, asked.limit)]
    found: list[int] = kept.positions[rows[: max(asked.limit, 0)]].tolist()
    return found


def factors(blend: Blend, asked: Request, rules: Rules, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """What boosts and rotation multiply each score by, shape (m,)."""
    found = np.ones(len(positions), dtype=np.float32)
    for boost in rules.boosts:
        found[boost.of(blend.catalogue, positions)] *= np.float32(boost.factor)
    if rules.rotation > 0 and asked.shown:
        known = blend.catalogue.index.positions(asked.shown)
        at = {position: row for row, position in enumerate(positions.tolist())}
        for position, times in zip(known.tolist(), asked.shown.values(), strict=True):
            if position in at:
                found[at[position]] *= np.float32((1 - rules.rotation) ** times)
    return found


def mixed(main: Sequence[int], beside: Sequence[int], places: int, limit: int) -> dict[int, bool]:
    """`limit` positions of `main`, of each ten `places` being the next of `beside`, spread over the ten.

    Gives, in order, each position and whether it came from `beside`.
    """
    if not beside:
        return dict.fromkeys(main[:limit], False)
    slots = {int((place + 0.5) * PAGE / places) for place in range(places)} if places else set()
    sources, found = (iter(main), iter(beside)), dict[int, bool]()
    while len(found) < limit:
        turn = len(found) % PAGE in slots
        for which in (turn, not turn):
            position = next((each for each in sources[which] if each not in found), None)
            if position is not None:
                found[position] = which
                break
        else:
            break
    return found


def explained(
    blend: Blend, listed: Listed, positions: Sequence[int], asked: Request
) -> dict[int, Recommendation]:
    """Those of the positions that the list holds, with what speaks for them."""
    if not positions or not len(listed.kept):
        return {}
    wanted = np.asarray(positions, dtype=np.int64)
    rows = np.minimum(listed.kept.positions.searchsorted(wanted), len(listed.kept) - 1)
    rows = rows[listed.kept.positions[rows] == wanted]
    chosen = listed.kept.at(rows)
    told = blend.told(chosen, listed.scores[rows], listed.weights, listed.given, asked.explain, asked.visit)
    return dict(zip(chosen.positions.tolist(), told, strict=True))


def marked(
    blend: Blend,
    rules: Rules,
    position: int,
    item: Recommendation,
    pinned: Collection[int],
    drawn: Collection[int],
    explain: bool,
) -> Recommendation:
    """The item with what the shop, rather than a model, has to say for it."""
    if position in drawn:
        return replace(item, source="exploration", reasons=[explanations.exploration()] if explain else [])
    if position in pinned:
        return replace(item, source="promotion", reasons=[explanations.promoted()] if explain else [])
    if not explain:
        return item
    more: list[Reason] = []
    raised = [each for each in rules.boosts if each.factor > 1]
    if any(each.of(blend.catalogue, np.asarray([position]))[0] for each in raised):
        more.append(explanations.promoted())
    if blend.new[position]:
        more.append(explanations.new())
    return replace(item, reasons=[*item.reasons, *more]) if more else item


def without_models(blend: Blend, asked: Request, rules: Rules, mask: Mask) -> Page:
    """What was viewed last, or what sells faster than usual."""
    if rules.answers == "recently_viewed":
        positions = blend.catalogue.index.positions(asked.visit.viewed)
        positions = positions[positions >= 0]
        source = "recently_viewed"
    else:
        positions, source = blend.trending, "trending"
    chosen = positions[mask[positions]][: asked.limit].tolist()
    items = [
        Recommendation(
            str(blend.product_ids[each]),
            1.0 / rank,
            source,
            [explanations.viewed() if source == "recently_viewed" else blend.why_trending(each)]
            if asked.explain
            else [],
        )
        for rank, each in enumerate(chosen, start=1)
    ]
    if source == "trending":
        rest = blend.popular_beside(np.asarray(chosen, dtype=np.int64), mask, asked.limit - len(chosen))
        items += [blend.popular_item(each, 0.0, asked.explain) for each in rest.tolist()]
    return Page(items)


def with_pins(
    blend: Blend, chosen: list[int], rules: Rules, mask: Mask, limit: int
) -> tuple[list[int], set[int]]:
    """The shop's own choices at their ranks, as far as they may be shown; what they push out is the last."""
    pinned = set[int]()
    for pin in sorted(rules.pins, key=lambda each: each.rank):
        position = blend.catalogue.position(pin.product_id)
        if position is not None and mask[position] and pin.rank <= limit:
            chosen = [each for each in chosen if each != position]
            chosen.insert(pin.rank - 1, position)
            pinned.add(position)
    return chosen[:limit], pinned


def with_exploration(
    blend: Blend,
    chosen: list[int],
    rules: Rules,
    mask: Mask,
    pinned: Collection[int],
    draw: random.Random | None,
) -> tuple[list[int], list[float] | None, set[int]]:
    """In a share of answers one place of the lower half, none with a pin, goes to a product new in the shop.

    Gives the positions, how probably each was shown, and what was drawn.
    """
    share = rules.exploration
    if share <= 0 or draw is None:
        return chosen, None, set()
    cold = blend.new & mask
    cold[chosen] = False
    places = [rank for rank in range(len(chosen) // 2, len(chosen)) if chosen[rank] not in pinned]
    propensities = [1.0] * len(chosen)
    if len(chosen) < 2 or not places or not cold.any():
        return chosen, propensities, set()
    for rank in places:
        propensities[rank] = 1 - share / len(places)
    if draw.random() >= share:
        return chosen, propensities, set()
    new = np.flatnonzero(cold)
    place, drawn = draw.choice(places), int(draw.choice(new.tolist()))
    propensities[place] = share / len(new)
    return [*chosen[:place], drawn, *chosen[place + 1 :]], propensities, {drawn}


def cost(plain: Sequence[int], chosen: Sequence[int], main: Listed, session: Listed) -> float:
    """Share of the discounted relevance of `plain` that `chosen` lacks; 0 where it lacks none."""
    if list(plain) == list(chosen[: len(plain)]):
        return 0.0
    value = session.relevance() | main.relevance()
    best, reached = (
        sum(value.get(position, 0.0) / log2(rank + 2) for rank, position in enumerate(positions))
        for positions in (plain, chosen)
    )
    return max(0.0, 1 - float(reached / best)) if best > 0 else 0.0
