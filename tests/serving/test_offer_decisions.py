"""Offers as two workers of one shop decide on them: money, events, reasons, teams with a budget."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from patron.errors import NoScores
from patron.lake.tables import Lake
from patron.settings import Settings
from serving.bootstrap import Parts
from serving.bootstrap import parts as opened
from serving.operations import operations
from serving.problems import Problem
from serving.score_history import DIMENSIONS, keep, members, schema
from serving.service import ROUTES, service
from serving.trials import Trials
from tests.serving.shop import END, settings_of

KNOWN = {each.name: each for each in (*operations(service), *ROUTES)}


@dataclass
class Worker:
    parts: Parts
    sent: int = 0

    def ask(self, name: str, body: Any = None, **values: str) -> dict[str, Any]:
        operation = KNOWN[name]
        given = operation.request.model_validate(body) if operation.request else None
        found: dict[str, Any] = operation.handle(self.parts, values, given).model_dump(mode="json")
        return found

    def offered(self, customer: str, **more: Any) -> dict[str, Any]:
        return self.ask("next_best_offers", {"customer_id": customer, "channel": "web", **more})

    def coupon(self, customer: str, **more: Any) -> str:
        """The decision that shows the coupon: now and then chance shows none."""
        while (found := self.offered(customer, **more))["offers"][0]["offer_id"] != "coupon":
            pass
        return str(found["decision_id"])

    def tell(self, name: str, decision: str, customer: str) -> dict[str, Any]:
        self.sent += 1
        event = {"event_id": f"{id(self)}-{self.sent}", "occurred_at": datetime.now(UTC).isoformat()}
        told = {**event, "name": name, "decision_id": decision, "customer_id": customer}
        return self.ask("events", {"events": [told]})

    def account(self) -> dict[str, float]:
        return self.parts.decisions.accounts()["coupon"]


@pytest.fixture(scope="module")
def home(shop: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shop as it was before anything was asked of it."""
    made = shutil.ignore_patterns("events", "scores", "reports")
    return Path(shutil.copytree(shop.home, tmp_path_factory.mktemp("decisions") / "home", ignore=made))


@pytest.fixture(scope="module")
def both(home: Path) -> Iterator[tuple[Worker, Worker]]:
    found = Worker(opened(settings_of(home))), Worker(opened(settings_of(home)))
    yield found
    for each in found:
        each.parts.close()


@pytest.fixture
def workers(both: tuple[Worker, Worker]) -> tuple[Worker, Worker]:
    """With nothing decided yet, and a coupon of cost 1 without a limit."""
    for each in both:
        each.parts.decisions.close()
    for path in both[0].parts.settings.events.glob("decisions.db*"):
        path.unlink()
    both[0].ask("put_offer", {"cost": 1.0, "budget": None, "daily_cap": None}, offer_id="coupon")
    return both


def test_an_update_holds_for_the_next_decision_of_every_worker(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    one.ask("put_offer", {"budget": 3.0}, offer_id="coupon")
    shown = [other.offered(f"a{each}")["offers"][0]["offer_id"] for each in range(40)]
    assert shown.count("coupon") == 3 and one.account()["held"] == 3
    one.ask("put_offer", {"budget": 4.0}, offer_id="coupon")
    assert [other.offered(f"b{each}")["offers"][0]["offer_id"] for each in range(20)].count("coupon") == 1


def test_workers_at_once_hold_exactly_the_budget(workers: tuple[Worker, Worker]) -> None:
    workers[0].ask("put_offer", {"budget": 20.0}, offer_id="coupon")
    with ThreadPoolExecutor(8) as pool:
        shown = list(pool.map(lambda each: workers[each % 2].offered(f"c{each}"), range(60)))
    assert [each["offers"][0]["offer_id"] for each in shown].count("coupon") == 20
    assert workers[0].account()["held"] == workers[1].account()["held"] == 20


def test_answers_of_customers_count_on_every_worker(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    one.ask("put_offer", {"budget": 2.0}, offer_id="coupon")
    kept, left = one.coupon("ann"), one.coupon("eve")
    assert {other.offered(f"d{each}")["offers"][0]["offer_id"] for each in range(5)} == {"none"}
    assert other.tell("offer_accepted", kept, "ann")["accepted"] == 1
    assert one.tell("offer_declined", left, "eve")["accepted"] == 1
    assert other.account() == {"spent": 1, "held": 0, "shown": 2, "accepted": 1, "declined": 1}
    assert other.coupon("bob")


def test_a_decision_tells_why(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    decision = one.coupon("ann")
    other.tell("offer_accepted", decision, "ann")
    found = one.ask("decision", decision_id=decision)
    assert found["customer_id"] == "ann" and found["channel"] == "web" and found["model"]["version"] == "1"
    assert {each["offer_id"]: each["propensity"] for each in found["arms"]} == pytest.approx(
        {"none": 0.1, "coupon": 0.9}
    )
    codes = {each["offer_id"]: each["code"] for each in found["refused"]}
    assert codes["gold-gift"] == "channel" and codes["over"] == "expired"
    outcome = found["offers"][0]["outcome"]
    assert (outcome["answer"], outcome["money"], outcome["cost"]) == ("accepted", "spent", 1.0)
    with pytest.raises(Problem) as refused:
        one.ask("decision", decision_id="unheard-of")
    assert refused.value.status == 404 and "unheard-of" not in refused.value.reply().body.decode()


def test_a_retry_is_answered_alike(workers: tuple[Worker, Worker]) -> None:
    first = workers[0].offered("ann", idempotency_key="k1")
    assert workers[1].offered("ann", idempotency_key="k1") == first


def test_who_wants_no_offers_is_told_so(workers: tuple[Worker, Worker]) -> None:
    found = workers[0].offered("cleo")
    assert found["offers"][0]["reasons"][0]["code"] == "no_consent"
    decided = workers[0].ask("decision", decision_id=found["decision_id"])
    assert {each["code"] for each in decided["refused"]} == {"no_consent"}


def test_none_is_no_name_of_an_offer(workers: tuple[Worker, Worker]) -> None:
    with pytest.raises(Problem) as refused:
        workers[0].ask("put_offer", {"cost": 1.0}, offer_id="none")
    assert refused.value.status == 409


def in_trial(worker: Worker, folder: Path, policy: str) -> Worker:
    """The same shop where an experiment gives everyone this policy."""
    text = f"""
target = "policy:offers"
description = "Does it help?"
enabled = true
arms = [{{name = "a", share = 0.5, parameters = {{policy = "{policy}"}}}},
        {{name = "b", share = 0.5, parameters = {{policy = "{policy}"}}}}]
"""
    (folder / "help.toml").write_text(text, encoding="utf-8")
    return Worker(replace(worker.parts, trials=Trials(folder, worker.parts.trials.exposures)))


@pytest.mark.parametrize("policy", ["none", "random"])
def test_an_experiment_may_choose(workers: tuple[Worker, Worker], tmp_path: Path, policy: str) -> None:
    worker = in_trial(workers[0], tmp_path, policy)
    found = worker.offered("ann")
    told = worker.ask("decision", decision_id=found["decision_id"])
    assert found["experiment"] in ("help:a", "help:b") and told["experiment"] == found["experiment"]
    assert told["policy"] == f"patron-offers:{policy}"
    chance = {each["offer_id"]: each["propensity"] for each in told["arms"]}
    assert chance == ({"none": 1.0} if policy == "none" else {"none": 0.5, "coupon": 0.5})


@pytest.mark.parametrize(("policy", "alone"), [("none", True), ("random", True), ("champion", False)])
def test_a_team_leaves_alone_whom_an_experiment_takes_from_the_champion(
    workers: tuple[Worker, Worker], tmp_path: Path, policy: str, alone: bool
) -> None:
    found = retain(in_trial(workers[0], tmp_path, policy), budget=100, customer_ids=["ann", "eve"])
    codes = [each["reasons"][0]["code"] for each in found["actions"]]
    assert (set(codes) == {"experiment"}) is alone


def test_a_list_of_offers_is_told_from_one(workers: tuple[Worker, Worker]) -> None:
    policies = {
        limit: workers[0].ask("decision", decision_id=workers[0].offered("ann", limit=limit)["decision_id"])
        for limit in (1, 2)
    }
    assert policies[1]["policy"] == "patron-offers" and policies[2]["policy"] == "patron-offers:several"


# A team with a budget


def retain(worker: Worker, **body: Any) -> dict[str, Any]:
    return worker.ask("retention_actions", {"customer_ids": ["ann", "bob", "cleo", "eve"], **body})


def test_a_dry_run_takes_nothing(workers: tuple[Worker, Worker]) -> None:
    found = retain(workers[0], budget=2, dry_run=True)
    assert workers[0].parts.decisions.accounts() == {}
    contacted = [each for each in found["actions"] if each["action"] == "coupon"]
    assert len(contacted) == 2 == found["taken"] and found["budget_price"] >= 0
    assert [each["priority"] for each in found["actions"]] == [1, 2, 3, 4]
    assert {each["decision_id"] for each in found["actions"]} == {None}
    values = [each["expected_value_saved"] for each in contacted]
    assert values == sorted(values, reverse=True) and values[-1] > 0
    assert found["expected_value_saved"] == pytest.approx(sum(values))


def test_leaving_alone_is_an_answer_with_a_reason(workers: tuple[Worker, Worker]) -> None:
    found = retain(workers[0], budget=1, dry_run=True, limit=1)
    alone = {each["customer_id"]: each for each in found["actions"] if each["action"] == "leave_alone"}
    assert len(alone) == 3 and alone["cleo"]["reasons"][0]["code"] == "no_consent"
    assert "budget" in {each["reasons"][0]["code"] for each in alone.values()}
    assert {each["offer_id"] for each in alone.values()} == {"none"}


def test_a_team_takes_from_the_offers_budget(workers: tuple[Worker, Worker]) -> None:
    workers[0].ask("put_offer", {"budget": 5.0}, offer_id="coupon")
    names = [f"e{each}" for each in range(30)]
    found = workers[0].ask("retention_actions", {"customer_ids": names, "budget": 100})
    codes = [each["reasons"][0]["code"] for each in found["actions"]]
    assert workers[1].account()["held"] == found["taken"] == 5 - codes.count("control")
    first = found["actions"][0]
    told = workers[1].ask("decision", decision_id=first["decision_id"])
    assert (
        told["policy"] == "patron-offers:retention"
        and len({each["decision_id"] for each in found["actions"]}) == 30
    )


def test_a_retry_of_a_list_takes_nothing_again(workers: tuple[Worker, Worker]) -> None:
    names = [f"r{each}" for each in range(20)]
    asked = {"customer_ids": names, "budget": 5, "idempotency_key": "k1"}
    first = workers[0].ask("retention_actions", asked)
    again = workers[1].ask("retention_actions", {**asked, "customer_ids": ["ann", *names[1:]]})
    assert again["actions"] == first["actions"] and again["taken"] == first["taken"] > 0
    assert workers[0].account()["held"] == first["taken"] and again["budget_price"] is None
    tried = workers[0].ask("retention_actions", {**asked, "dry_run": True})
    assert {each["decision_id"] for each in tried["actions"]} == {None}
    alone = workers[0].offered("r1", idempotency_key="k1")["decision_id"]
    assert alone not in {each["decision_id"] for each in first["actions"]}


def test_nobody_is_contacted_more_often_than_the_rules_say(workers: tuple[Worker, Worker]) -> None:
    workers[0].coupon("ann", channel="email")
    asked = {"customer_ids": ["ann"], "budget": 10}
    told = {
        channel: workers[0].ask("retention_actions", {**asked, "channel": channel, "dry_run": True})
        for channel in ("email", "web")
    }
    codes = {channel: found["actions"][0]["reasons"][0]["code"] for channel, found in told.items()}
    assert codes["email"] == "contact_rest" != codes["web"]


def test_a_segment_is_that_of_the_last_scoring(workers: tuple[Worker, Worker]) -> None:
    settings = workers[0].parts.settings
    with pytest.raises(NoScores):
        workers[0].ask("retention_actions", {"segment": "champions", "budget": 10})
    states = {
        "customer_id": ["ann", "bob", "eve", "gus"],
        **{name: ["champions", "champions", "champions", "new"] for name in DIMENSIONS},
        "expected_value": [10.0, 20.0, None, 90.0],
        "churn_probability": [0.9, 0.2, None, 0.9],
    }
    keep(
        settings, END, pa.table(states, schema=schema()), {"lake_id": Lake(settings.lake).facts()["lake_id"]}
    )
    assert members(settings, "champions", 2) == ["ann", "bob"]
    found = workers[0].ask("retention_actions", {"segment": "champions", "budget": 10, "dry_run": True})
    assert {each["customer_id"] for each in found["actions"]} == {"ann", "bob", "eve"}
    nobody = workers[0].ask("retention_actions", {"segment": "unheard-of", "budget": 10})
    assert nobody["actions"] == [] and nobody["taken"] == 0
