"""How a page of the shop is answered: the rungs, from the personal answer down to what is always popular."""

from __future__ import annotations

import logging
import random
import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from patron.events.answers import Shown
from patron.experiments.assignment import Assignment
from patron.experiments.terms import SERVE, VERSION
from patron.models.base import HISTORY, PROFILE, CustomerHistory, Recommendation, history
from patron.models.page import Page, Request, compose
from patron.models.placements import HOME, Weights
from patron.models.rules import Rules
from patron.models.visit import Visit, with_purchases
from serving.ladder import Ladder, Rung
from serving.problems import Problem
from serving.shapes import ProductFilter
from serving.trials import of_placement

if TYPE_CHECKING:
    from serving.bootstrap import Parts, Served

RECOMMENDER = "patron-recommender"
REFERENCES = [*HISTORY, *PROFILE, "customer_profile:consent_recommend"]
BASKETS = {"cart", "checkout", "basket"}
EVENTS = 50
"""Events of a visitor that an answer looks back on."""
POPULAR = {"popularity": 1.0}
ROTATED = 5
"""Answers of a visitor that rotation looks back on."""

CHANCE = random.Random()
"""Where exploration draws from; threads may."""
Name = Literal["personal", "session", "similar", "regional", "popular", "static"]
log = logging.getLogger(__name__)


@dataclass
class Question:
    """One request for products, and what is read for it, once, by the first rung that needs it."""

    parts: Parts
    placement: str = HOME
    limit: int = 10
    customer_id: str | None = None
    session_id: str | None = None
    product_ids: Sequence[str] = ()
    exclude: Collection[str] = ()
    filter: ProductFilter = field(default_factory=ProductFilter)
    diversity: float | None = None
    explain: bool = False
    recommendation_id: str | None = None
    offset: int = 0
    draw: random.Random = CHANCE
    experiments: bool = False
    """Whether experiments may come to bear."""
    degraded: bool = False
    """True where something that would have helped could not be read."""
    agreed: bool | None = None
    """Whether the customer wants personal recommendations; None until it was read. Of one who does not, or of
    whom it cannot be read, nothing is used and no name is kept."""
    region: CustomerHistory | None = None
    """An empty history that names the region or tier, once the profile was read."""

    @cached_property
    def served(self) -> Served:
        """The champion, or the version that the arm tries."""
        version = str(self.arm.parameters.get(VERSION, "")) if self.arm else ""
        return self.parts.trials.models.get(version) or self.parts.model(RECOMMENDER)

    @cached_property
    def arm(self) -> Assignment | None:
        """The arm of an experiment that comes to bear on this page; asking for it exposes the visitor.

        Asked for once the consent of a customer was read: who refuses is in no experiment.
        """
        if self.private or not self.experiments:
            return None
        return of_placement(self.parts, self.placement, self.customer, self.session_id)

    @property
    def treated(self) -> Assignment | None:
        """The arm, where it did come to bear."""
        return self.__dict__.get("arm")

    @cached_property
    def rules(self) -> Rules:
        """The shop's rules of the placement, as the arm has them."""
        rules = self.parts.rules_of(self.placement)
        if self.arm is None:
            return rules
        return rules.model_copy(
            update={n: v for n, v in self.arm.parameters.items() if n not in (SERVE, VERSION)}
        )

    @cached_property
    def blend(self) -> Any:
        """The recommender over the catalogue of this moment."""
        found, fresh = self.parts.live_of(self.served).blend(self.served)
        self.degraded |= not fresh
        return found

    @cached_property
    def customer(self) -> str | None:
        """Who asks: the customer named, or the one who signed in to the session."""
        if self.customer_id is not None or self.session_id is None:
            return self.customer_id
        try:
            return self.parts.events.owner(self.session_id)
        except Exception:
            log.warning("The owner of a session could not be read", exc_info=True)
            self.degraded = True
            return None

    @property
    def private(self) -> bool:
        """Whether a customer asks who did not agree, as far as is known."""
        return self.customer is not None and not self.agreed

    @cached_property
    def events(self) -> Visit:
        """What the visitor did lately; nothing where that cannot be read."""
        if self.customer is None and self.session_id is None:
            return Visit()
        try:
            events = self.parts.events.recent(self.customer, self.session_id, EVENTS)
            return Visit.of(events, self.parts.now(), self.as_of) if events else Visit()
        except Exception:
            log.warning("Events could not be read", exc_info=True)
            self.degraded = True
            return Visit()

    @property
    def visit(self) -> Visit:
        """The same, of a guest or of a customer who agreed."""
        return Visit() if self.private else self.events

    @cached_property
    def as_of(self) -> datetime | None:
        try:
            return self.parts.as_of
        except Exception:
            return None

    @cached_property
    def earlier(self) -> list[str]:
        """Products of the pages before this one. Raises Problem 404 for a recommendation nobody knows."""
        if self.recommendation_id is None or self.offset == 0:
            return []
        try:
            found = self.parts.answers.pages(self.recommendation_id, self.offset)
        except Exception:
            log.warning("Earlier pages could not be read", exc_info=True)
            self.degraded = True
            return []
        if not found:
            raise Problem(404, "no_such_recommendation", "Ask for the first page anew: offset 0.")
        return found

    @cached_property
    def shown(self) -> Counter[str]:
        """How often the visitor saw products lately, where the placement rotates."""
        if self.rules.rotation == 0 or self.offset or self.private:
            return Counter()
        since = self.parts.clock() - timedelta(hours=self.rules.rotation_hours)
        visitor = self.customer, self.session_id
        try:
            return Counter(self.parts.answers.lately(*visitor, self.placement, since, ROTATED))
        except Exception:
            log.warning("Earlier answers could not be read", exc_info=True)
            self.degraded = True
            return Counter()

    def page(
        self,
        of: CustomerHistory,
        placement: str,
        rules: Rules,
        visit: Visit,
        sources: Weights | None = None,
    ) -> Page:
        """The page from what is known. sources: only these are asked, so that no other is in the way."""
        blend = self.blend
        context = tuple(self.product_ids) or (visit.basket if self.placement in BASKETS else ())
        request = Request(
            history=of,
            limit=self.limit,
            placement=placement,
            visit=visit,
            context=context,
            allowed=self.filter.mask(blend.catalogue),
            exclude=[*self.exclude, *self.earlier],
            diversity=self.diversity,
            explain=self.explain,
            shown=self.shown,
            draw=self.draw,
            sources=sources,
        )
        return compose(blend, request, rules)


@dataclass(frozen=True)
class Answered:
    page: Page
    name: Name


def personal(question: Question) -> Answered | None:
    """From what the customer bought, and did since; None for a stranger, or one who does not want it."""
    known = bought(question)
    if question.arm is not None and SERVE in question.arm.parameters:
        return popular(question)
    if not len(known):
        return None
    page = question.page(known, question.placement, question.rules, question.visit)
    return Answered(page, "popular" if page.items and only_popular(page) else "personal")


def bought(question: Question) -> CustomerHistory:
    """Purchases up to this moment; empty for a stranger, or a customer who refuses. Raises FeatureError."""
    if question.customer is None:
        return CustomerHistory.empty()
    columns = question.parts.read([question.customer], REFERENCES).columns
    question.agreed = "consent_recommend" not in columns or columns["consent_recommend"][0] is not False
    if not question.agreed:
        return CustomerHistory.empty()
    known = history(columns, 0) if "own_product_ids" in columns else CustomerHistory.empty()
    known = with_purchases(known, question.visit.bought)
    if not len(known):
        question.region = known
    return known


def session(question: Question) -> Answered | None:
    """From what the visitor looks at; None where a page or basket says more, or nothing was looked at."""
    if question.product_ids or not len(question.visit.seen):
        return None
    if question.placement in BASKETS and question.visit.basket:
        return None
    rules = question.rules.model_copy(update={"session_places": 10})
    page = question.page(CustomerHistory.empty(), HOME, rules, question.visit, {})
    return None if only_popular(page) else Answered(page, "session")


def similar(question: Question) -> Answered | None:
    """From the products of the page or the basket."""
    visit = question.visit
    in_basket = question.placement in BASKETS and visit.basket
    if not (question.product_ids or in_basket):
        return None
    placement = "cart" if question.placement in BASKETS else "product"
    sources = question.blend.about_page(placement)
    page = question.page(CustomerHistory.empty(), placement, question.rules, visit, sources)
    return None if only_popular(page) else Answered(page, "similar")


def regional(question: Question) -> Answered | None:
    """What is popular with customers of the region or tier."""
    if question.region is None or not (question.region.region or question.region.tier):
        return None
    page = question.page(question.region, HOME, question.rules, Visit())
    return None if only_popular(page) else Answered(page, "regional")


def popular(question: Question) -> Answered | None:
    """What most customers buy. The session has had its turn and takes no places."""
    rules = question.rules.model_copy(update={"session_places": 0})
    page = question.page(CustomerHistory.empty(), HOME, rules, question.visit, POPULAR)
    return Answered(page, "popular")


def recorded(question: Question, items: Sequence[Recommendation], rung: str, page: Page | None = None) -> str:
    """Write down what was answered, under the id that is given back."""
    recommendation_id = (question.offset and question.recommendation_id) or str(uuid.uuid4())
    treated, visitor = question.treated, question.customer or question.session_id
    if treated is not None and visitor is not None:
        now = question.parts.now()
        question.parts.trials.exposures.answered(treated, visitor, recommendation_id, rung, now)
    question.parts.answers.record(
        Shown(
            recommendation_id=recommendation_id,
            start=question.offset,
            answered_at=question.parts.clock(),
            placement=question.placement,
            customer_id=None if question.private else question.customer,
            session_id=None if question.private else question.session_id,
            product_ids=[each.product_id for each in items],
            rung=rung,
            model_version="" if rung == "static" else question.served.version,
            propensities=page.propensities if page else None,
            arm=treated.label if treated else None,
            relevance_cost=page.relevance_cost if page else None,
        )
    )
    return recommendation_id


def only_popular(page: Page) -> bool:
    return all(each.source in ("popularity", "promotion", "exploration") for each in page.items)


def ladder(personal_seconds: float, other_seconds: float) -> Ladder[Question, Answered]:
    """The rungs above the last resort, which needs nothing and is answered apart."""
    rest = (session, similar, regional, popular)
    rungs = [Rung("personal", personal_seconds, personal)]
    return Ladder([*rungs, *(Rung(each.__name__, other_seconds, each) for each in rest)])


def last_resort(question: Question, look: bool = True) -> Answered | None:
    """The static list; None where no model was ever loaded and the shop named no products.

    look: also at the shop's last updates and the pages before; without, everything is in memory.
    """
    live = question.parts.live
    changes = live.known() if look else live.remembered
    exclude = {*question.exclude, *question.product_ids, *(question.earlier if look else ())}
    found = question.parts.static.page(
        question.limit, question.rules.static, question.filter, exclude, changes
    )
    return Answered(Page(found), "static") if found or question.parts.static.products() else None
