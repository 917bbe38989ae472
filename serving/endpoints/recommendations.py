"""POST /v1/recommendations: products for a customer, a visitor, a page or a basket."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import bentoml
from pydantic import ConfigDict, Field, model_validator

from patron.errors import NoChampion, PatronError
from patron.events.answers import OTHER_WORKER_SECONDS
from serving.ladder import Climbed, forget
from serving.operations import Answer, Body, Endpoint, allowed
from serving.shapes import WHOLE, Id, Item, Limit, ModelLabel, ProductFilter, ProductIds, items
from serving.storefront import RECOMMENDER, Answered, Question, last_resort, recorded

if TYPE_CHECKING:
    from serving.bootstrap import Parts

MAX_OFFSET = 10_000

Fallback = Literal["session", "similar", "regional", "popular", "static"]


NEXT_PAGE: dict[str, Any] = {
    "if": {"properties": {"offset": {"exclusiveMinimum": 0}}, "required": ["offset"]},
    "then": {"properties": {"recommendation_id": {"type": "string"}}, "required": ["recommendation_id"]},
}


class RecommendationsRequest(Body):
    model_config = ConfigDict(json_schema_extra=NEXT_PAGE)

    customer_id: Id | None = None
    session_id: Id | None = None
    """Of a guest, or of a customer before signing in."""
    placement: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")] = "home"
    product_ids: ProductIds = Field(default_factory=list)
    """What is on the page or in the basket: context, never answered."""
    limit: Limit = 10
    filter: ProductFilter = ProductFilter()
    exclude_product_ids: ProductIds = Field(default_factory=list)
    diversity: Annotated[float, Field(ge=0, le=1)] | None = None
    """0: best first; towards 1 the categories alternate. Unset: as the placement is configured."""
    explain: bool = False
    recommendation_id: Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")] | None = None
    """Of the answer whose next page is asked for."""
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET), WHOLE] = 0
    """How many of its products were shown already; none of them is answered again."""

    @model_validator(mode="after")
    def of_an_answer(self) -> RecommendationsRequest:
        if self.offset and self.recommendation_id is None:
            raise ValueError("an offset needs the recommendation_id of the first page")
        return self


class RecommendationsAnswer(Answer):
    recommendation_id: str
    """To be sent with the events that follow, and to ask for the next page."""
    items: list[Item]
    model: ModelLabel | None
    """Null where no model answered."""
    features_as_of: datetime | None
    experiment: str | None = None
    """`<experiment>:<arm>` that the page was answered under; null where none came to bear."""
    degraded: bool
    """True only when something is broken."""
    fallback: Fallback | None
    """What answered instead of the personal model; null where that answered."""


class Recommendations(Endpoint):
    @bentoml.api(route="/v1/recommendations")
    @allowed("storefront", problems=(404,))
    async def recommendations(self, body: RecommendationsRequest, /) -> RecommendationsAnswer:
        """Recommend products: personal for a known customer, else from the session, the page, the shop."""
        question = asked(self.parts, body)
        return answer(question, await climbed(question))


async def climbed(question: Question) -> Climbed[Answered]:
    """The best answer that there is. Raises NoChampion where there has never been one."""
    try:
        question.parts.model(RECOMMENDER)
    except PatronError as error:
        lost: PatronError | None = error
        found: Climbed[Answered] = Climbed(None, "none", True)
    else:
        await pages_before(question)
        lost, found = None, await question.parts.ladder.climb(question)
    if found.answer is None:
        found = Climbed(await static(question), "static", True)
    if found.answer is None:
        raise lost or NoChampion("No recommender answers. GET /readyz says what is missing.")
    return found


async def pages_before(question: Question) -> None:
    """Read the pages before this one, which may take a moment longer than a rung has."""
    if question.offset == 0:
        return
    budget = OTHER_WORKER_SECONDS + question.parts.settings.fallback_budget_seconds
    spare = question.parts.ladder.spare
    task = asyncio.get_running_loop().run_in_executor(spare, lambda: question.earlier)
    done, _ = await asyncio.wait({task}, timeout=budget)
    if done:
        task.result()
        return
    task.add_done_callback(forget)
    question.earlier, question.degraded = [], True


async def static(question: Question) -> Answered | None:
    """The last resort, in time: where a disk keeps it waiting, from memory alone."""
    budget = question.parts.settings.fallback_budget_seconds
    spare = question.parts.ladder.spare
    task = asyncio.get_running_loop().run_in_executor(spare, last_resort, question)
    done, _ = await asyncio.wait({task}, timeout=budget)
    if done:
        return task.result()
    task.add_done_callback(forget)
    return last_resort(question, look=False)


def asked(parts: Parts, body: RecommendationsRequest) -> Question:
    return Question(
        parts=parts,
        placement=body.placement,
        limit=body.limit,
        customer_id=body.customer_id,
        session_id=body.session_id,
        product_ids=body.product_ids,
        exclude=body.exclude_product_ids,
        filter=body.filter,
        diversity=body.diversity,
        explain=body.explain,
        recommendation_id=body.recommendation_id,
        offset=body.offset,
        experiments=True,
    )


def answer(question: Question, found: Climbed[Answered]) -> RecommendationsAnswer:
    """The answer, which is recorded."""
    assert found.answer is not None
    page, name = found.answer.page, found.answer.name
    return RecommendationsAnswer(
        recommendation_id=recorded(question, page.items, name, page),
        items=items(page.items, question.explain, question.offset),
        model=None if name == "static" else ModelLabel(**question.served.label),
        features_as_of=question.as_of,
        experiment=question.treated.label if question.treated else None,
        degraded=found.degraded or question.degraded,
        fallback=None if name == "personal" else name,
    )
