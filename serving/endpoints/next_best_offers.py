"""POST /v1/next-best-offers: which offer to make a customer now, decided, paid for and logged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import bentoml
import numpy as np
from pydantic import Field

from patron.decisions.records import Choose, Decided, Shown
from patron.errors import EventLogError
from patron.offers.terms import NONE
from serving.best_offers import references
from serving.deciding import (
    CHAMPION,
    MODEL,
    SEVERAL,
    alone,
    catalogue_of,
    chooser,
    circumstances,
    not_logged,
    questions,
    trial,
)
from serving.operations import Answer, Body, Endpoint, allowed
from serving.shapes import WHOLE, Because, Id, ModelLabel, because

Channel = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
REFUSED = ("no_consent", "The customer does not want offers")


class NextBestOffersRequest(Body):
    customer_id: Id
    channel: Channel | None = None
    limit: Annotated[int, Field(ge=1, le=20), WHOLE] = 1
    idempotency_key: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The same key of the same customer gives the same decision again: for a retry after a lost answer."""


class Offer(Answer):
    offer_id: str
    """`none`: making no offer is the best offer."""
    expected_uplift: float | None
    expected_margin: float | None
    propensity: float
    """Probability with which the policy chose it; logged with the decision."""
    reasons: list[Because]
    decision_id: str | None = None
    """What to send back in events about this offer: of the first, the decision's own. Null for `none`."""
    expires_at: datetime | None = None
    """Until when it may be taken up: its cost is held so long. Null where that costs nothing more."""


class NextBestOffersAnswer(Answer):
    decision_id: str
    offers: list[Offer]
    model: ModelLabel
    features_as_of: datetime | None
    experiment: str | None
    """`name:arm` where an experiment chose, or had a say."""


class NextBestOffers(Endpoint):
    @bentoml.api(route="/v1/next-best-offers")
    @allowed("crm", "storefront")
    def next_best_offers(self, body: NextBestOffersRequest, /) -> NextBestOffersAnswer:
        """Decide on an offer. The decision is on disk, and its cost taken, before it is answered."""
        parts, served = self.parts, self.parts.model(MODEL)
        catalogue = catalogue_of(parts, served.model)
        read = [*served.model.references, *references(catalogue.offers)]
        rows = parts.read([body.customer_id], read)
        asked = questions(catalogue, served.model, rows, parts.now(), body.channel)[0]
        asked, by = trial(parts, asked) if consents(rows) else (asked, CHAMPION)
        choose: Choose = unwanted
        if consents(rows):
            choose = chooser(served.model, asked, rows, parts.now(), body.limit, np.random.default_rng(), by)
        asked = asked.under(body.idempotency_key)
        several = by == CHAMPION and body.limit > 1  # what follows the first offer was not drawn by chance
        around = circumstances(parts, served, rows, body.channel, SEVERAL if several else by)
        try:
            found = parts.decisions.decide(asked, around, catalogue, choose)
        except EventLogError as error:
            raise not_logged(error) from error
        return NextBestOffersAnswer(
            decision_id=found.decision_id,
            offers=lines(found),
            model=ModelLabel(name=served.name, version=found.model_version),
            features_as_of=found.features_as_of,
            experiment=found.experiment,
        )


def unwanted(offers: Sequence[Any]) -> Any:
    return alone(*REFUSED)


def consents(rows: Any, row: int = 0) -> bool:
    """Whether offers may be made; who has not said anything has not refused."""
    column = rows.columns.get("consent_offers")
    return column is None or column[row] is not False


def lines(found: Decided) -> list[Offer]:
    return [line(each) for each in found.shown]


def line(shown: Shown) -> Offer:
    told = shown.offered
    return Offer(
        offer_id=told.offer_id,
        expected_uplift=told.expected_uplift,
        expected_margin=told.expected_margin,
        propensity=told.propensity,
        reasons=[Because(**each) for each in told.reasons],
        decision_id=shown.showing_id,
        expires_at=shown.expires_at,
    )


def offered(decisions: Sequence[Any]) -> list[Offer]:
    """What a policy holds to be best, decided by nobody."""
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
    reasons = [Because(code=REFUSED[0], text=REFUSED[1])]
    return Offer(offer_id=NONE, expected_uplift=0.0, expected_margin=0.0, propensity=1.0, reasons=reasons)
