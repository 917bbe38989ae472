"""Which offers a customer may be made, and the one that the policy holds to be best."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from patron.models.offer_worth import OfferDecision, Worth
from patron.models.offers import OfferPolicy
from patron.offers.catalogue import Catalogue
from patron.offers.eligibility import Who, refusal
from patron.offers.terms import OfferTerms
from serving.scoring import segment_table

if TYPE_CHECKING:
    from features.rows import Rows

CONSENT, TIER = "customer_profile:consent_offers", "customer_profile:tier"
OWNED = "customer_product_affinity:own_product_ids"


def references(offers: Sequence[OfferTerms]) -> list[str]:
    """What eligibility reads beside the segments of the policy."""
    return [CONSENT, TIER, *([OWNED] if any(each.owns for each in offers) else [])]


def customers(policy: OfferPolicy, rows: Rows) -> list[Who]:
    """What the terms of offers ask about each customer; no occasion holds."""
    segments, stages = segment_table(policy, rows)
    tiers, consents, owned = (told(rows, name) for name in ("tier", "consent_offers", "own_product_ids"))
    return [
        Who(segment, stage, tier, consent is not False, frozenset(() if own is None else own))
        for segment, stage, tier, consent, own in zip(segments, stages, tiers, consents, owned, strict=True)
    ]


def told(rows: Rows, name: str) -> Sequence[Any]:
    """A column, None for each customer where it was not read."""
    found = rows.columns.get(name)
    return [None] * len(rows) if found is None else list(found)


def permitted(
    catalogue: Catalogue, whos: Sequence[Who], now: datetime, channel: str | None = None
) -> NDArray[np.bool_]:
    """Whether each offer of the catalogue may be made to each customer, shape (customers, offers)."""
    refused = functools.cache(
        lambda who: [refusal(each, who, now, channel, catalogue.tiers) for each in catalogue.offers]
    )
    found = [[reason is None for reason in refused(who)] for who in whos]
    return np.array(found, dtype=bool).reshape(len(whos), len(catalogue.offers))


def best_arms(
    policy: OfferPolicy, catalogue: Catalogue, rows: Rows, now: datetime
) -> tuple[Worth, NDArray[np.int64]]:
    """What the offers are worth, and of each customer the best arm on any channel; 0 is `none`.

    Nothing is drawn, held or logged; what was shown or spent so far is not asked.
    """
    worth = policy.worth(rows.columns, catalogue.offers)
    may = permitted(catalogue, customers(policy, rows), now)
    margin = np.where(np.hstack([np.ones((len(rows), 1), dtype=bool), may]), worth.known_margin, -np.inf)
    return worth, margin.argmax(axis=1)  # the first of equals: `none`, then the smaller id


def best_action(policy: OfferPolicy, catalogue: Catalogue, rows: Rows, now: datetime) -> OfferDecision:
    """The best arm of the first customer, with its reasons."""
    worth, best = best_arms(policy, catalogue, rows, now)
    return policy.told(worth, 0, int(best[0]), 1.0, False)
