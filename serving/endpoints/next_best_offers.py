"""POST /v1/next-best-offers: which offer to make a customer now, decided and logged."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import bentoml
import numpy as np
from pydantic import Field

from patron.offers.catalogue import shop_catalogue
from serving.best_offers import customers, permitted
from serving.decision_log import Decision
from serving.operations import Answer, Body, Endpoint, allowed
from serving.problems import unavailable
from serving.shapes import WHOLE, Because, Id, ModelLabel, because

MODEL = "patron-offers"
ABOUT = ("customer_profile:consent_offers", "customer_profile:tier")
NONE = "none"


class NextBestOffersRequest(Body):
    customer_id: Id
    channel: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")] | None = None
    limit: Annotated[int, Field(ge=1, le=20), WHOLE] = 1


class Offer(Answer):
    offer_id: str
    """`none`: making no offer is the best offer."""
    expected_uplift: float | None
    expected_margin: float | None
    propensity: float
    """Probability with which the policy chose it; logged with the decision."""
    reasons: list[Because]


class NextBestOffersAnswer(Answer):
    decision_id: str
    offers: list[Offer]
    model: ModelLabel
    features_as_of: datetime | None


class NextBestOffers(Endpoint):
    @bentoml.api(route="/v1/next-best-offers")
    @allowed("crm", "storefront")
    def next_best_offers(self, body: NextBestOffersRequest, /) -> NextBestOffersAnswer:
        """Decide on an offer. The decision is on disk before it is answered."""
        served = self.parts.model(MODEL)
        policy = served.model
        rows = self.parts.read([body.customer_id], [*policy.references, *ABOUT])
        offers = self._decide(policy, rows, body) if consents(rows) else [no_offer()]
        decision = Decision(
            decision_id=str(uuid.uuid4()),
            occurred_at=self.parts.now(),
            customer_id=body.customer_id,
            offers=[{"offer_id": each.offer_id, "propensity": each.propensity} for each in offers],
            policy=served.name,
            model_version=served.version,
            features_as_of=rows.as_of,
            channel=body.channel,
        )
        self._log(decision)
        return NextBestOffersAnswer(
            decision_id=decision.decision_id,
            offers=offers,
            model=ModelLabel(**served.label),
            features_as_of=rows.as_of,
        )

    def _decide(self, policy: Any, rows: Any, body: NextBestOffersRequest) -> list[Offer]:
        now, catalogue = self.parts.now(), shop_catalogue(self.parts.settings)
        may = permitted(catalogue, customers(policy, rows), now, body.channel)[0]
        offers = [each for each, allowed in zip(catalogue.offers, may, strict=True) if allowed]
        return offered(policy.decide(rows.columns, 0, offers, body.limit, np.random.default_rng()))

    def _log(self, decision: Decision) -> None:
        """A decision that cannot be logged is not made: nothing could be learned from it."""
        try:
            self.parts.decisions.append(decision)
        except Exception as error:
            raise unavailable("decision_log", "The decision could not be stored. Try again.", 5) from error


def consents(rows: Any, row: int = 0) -> bool:
    """Whether offers may be made; who has not said anything has not refused."""
    column = rows.columns.get("consent_offers")
    return column is None or column[row] is not False


def offered(decisions: Sequence[Any]) -> list[Offer]:
    return [
        Offer(
            offer_id=each.offer_id,
            expected_uplift=each.expected_uplift,
            expected_margin=each.expected_margin,
            propensity=each.propensity,
            reasons=because(each.reasons),
        )
        for each in decisions
    ]


def no_offer() -> Offer:
    reasons = [Because(code="no_consent", text="The customer does not want offers")]
    return Offer(offer_id=NONE, expected_uplift=0.0, expected_margin=0.0, propensity=1.0, reasons=reasons)
