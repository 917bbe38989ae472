"""Is exactly the budget spent by clients that ask at once, while the service is killed?

    python benchmarks/budget.py [--budget 1000] [--clients 8] [--kills 5] [--workers 2]

Starts the real service on a small shop of its own, where most customers are offered a coupon of cost 1 with
a budget, and asks POST /v1/next-best-offers for customer after customer from several clients until nobody has
a coupon any more, while every process of the service is killed with SIGKILL at random moments. Clients ask
again, with the same idempotency key, until they have an answer; now and then they act as if one was lost that
came. Some coupons are declined and some accepted by POST /v1/events, sent again until they are acknowledged.
In the end the ledger is read: what is spent and held must be the whole budget and no more, every answered
coupon and every acknowledged answer must be in it, and the accounts must be what the showings add up to.

Prints one table; exit code 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.crash import Service, free_port, spread  # noqa: E402
from patron import console  # noqa: E402

LOST = 0.1
"""Share of the answers that a client acts as if it had not got, and asks for again."""
DECLINED, ACCEPTED = 0.1, 0.3
"""Shares of the coupons that are declined and accepted."""
PATIENCE = 30
"""Customers in a row without a coupon after which a client believes that the budget is spent."""


@dataclass
class Told:
    """What the clients were answered."""

    coupons: dict[str, str] = field(default_factory=dict)
    """Decision -> customer."""
    answers: dict[str, str] = field(default_factory=dict)
    """Acknowledged: decision -> accepted or declined."""
    differing: int = 0
    """Answers to the same key that were not the same."""
    asked: int = 0
    without: int = 0
    """Customers in a row who got none."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, customer: str, found: dict[str, Any]) -> bool:
        """Whether the customer got a coupon."""
        coupon = found["offers"][0]["offer_id"] != "none"
        with self.lock:
            self.asked += 1
            self.without = 0 if coupon else self.without + 1
            if coupon:
                self.coupons[found["decision_id"]] = customer
        return coupon


@dataclass(frozen=True)
class Caller:
    """Posts to the service, which may be down."""

    port: int
    key: str
    deadline: float

    def post(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer, however often it takes to get one."""
        while True:
            found = self.once(endpoint, body)
            if found is not None:
                return found
            if time.monotonic() > self.deadline:
                raise SystemExit("The service did not answer in time.")
            time.sleep(0.05)

    def once(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any] | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
            connection.request("POST", f"/v1/{endpoint}", json.dumps(body), headers)
            answer = connection.getresponse()
            document = json.loads(answer.read())
            return document if answer.status in (200, 202) else None
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()


def client(told: Told, caller: Caller, seed: int) -> None:
    """Ask for new customers until the budget seems to be spent, and answer for some of them."""
    rng = random.Random(seed)
    number = 0
    while told.without < PATIENCE:
        customer = f"visitor-{seed}-{number}"
        number += 1
        body = {"customer_id": customer, "channel": "web", "idempotency_key": uuid.uuid4().hex}
        found = caller.post("next-best-offers", body)
        if rng.random() < LOST and caller.post("next-best-offers", body) != found:
            told.differing += 1
        if told.note(customer, found):
            respond(told, caller, found["decision_id"], customer, rng.random())


def respond(told: Told, caller: Caller, decision: str, customer: str, chance: float) -> None:
    """Decline, accept or say nothing."""
    if chance >= DECLINED + ACCEPTED:
        return
    name = "declined" if chance < DECLINED else "accepted"
    event = {
        "event_id": str(uuid.uuid4()),
        "occurred_at": datetime.now(UTC).isoformat(),
        "name": f"offer_{name}",
        "customer_id": customer,
        "decision_id": decision,
    }
    caller.post("events", {"events": [event]})
    with told.lock:
        told.answers[decision] = name
        told.without = 0  # what was declined is free for somebody else


def storm(service: Service, told: Told, caller: Caller, arguments: argparse.Namespace) -> list[Any]:
    """Ask for everything while the service is killed; what each restart took."""
    rng = random.Random(arguments.seed)
    clients = [
        threading.Thread(target=client, args=(told, caller, each), daemon=True)
        for each in range(arguments.clients)
    ]
    for each in clients:
        each.start()
    restarts = []
    for number in range(arguments.kills):
        point = arguments.budget * (number + 1) / (arguments.kills + 1)
        while len(told.coupons) < point and time.monotonic() < caller.deadline:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.02)
        service.kill()
        restarts.append(service.start())
    for each in clients:
        each.join(max(0.0, caller.deadline - time.monotonic()))
    return restarts


def judge(home: Path, told: Told, budget: int) -> tuple[dict[str, float], dict[str, float]]:
    """(the account, counts of what is wrong, which should all be 0)."""
    from patron.decisions.ledger import Ledger
    from patron.events.log import EventLog

    ledger = Ledger(home / "events", EventLog(home / "events"))
    ledger.catch_up({"coupon": budget})
    account = ledger.accounts()["coupon"]
    connection = ledger.file.reader()
    rows = connection.execute("select showing_id, money, answer from showings").fetchall()
    sums = {name: sum(money == name for _, money, _ in rows) for name in ("spent", "held", "released")}
    shown = {showing: answer for showing, _, answer in rows}
    taken = account["spent"] + account["held"]
    ledger.close()
    ledger.events.close()
    return account, {
        "spent beyond the budget": max(taken - budget, 0),
        "left over": max(budget - taken, 0),
        "accounts beside the showings": sum(abs(account[name] - sums[name]) for name in ("spent", "held")),
        "answered coupons that are not booked": sum(each not in shown for each in told.coupons),
        "answers not booked": sum(shown.get(each) != name for each, name in told.answers.items()),
        "asked again, answered otherwise": told.differing,
    }


@contextmanager
def shop(budget: int) -> Iterator[tuple[Path, str]]:
    """(home, key) of a small shop that has a coupon with a budget."""
    from patron.events.log import EventLog
    from serving.keys import create
    from tests.serving.shop import open_shop

    with tempfile.TemporaryDirectory(prefix="patron-budget-") as folder:
        home = Path(folder) / "home"
        settings = open_shop(home)
        log = EventLog(settings.events)
        log.update("offers", "coupon", {"cost": 1.0, "budget": float(budget)})
        log.close()
        yield home, create(home / "keys.json", "budget", ["storefront"])[0]


def parsed(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=600, help="Bound of the storm.")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(given)


def main() -> int:
    arguments = parsed()
    told = Told()
    with shop(arguments.budget) as (home, key):
        service = Service(home, free_port(), arguments.workers)
        try:
            service.start()
            began = time.monotonic()
            caller = Caller(service.port, key, began + arguments.seconds)
            restarts = storm(service, told, caller, arguments)
            seconds = time.monotonic() - began
        finally:
            service.kill()
        account, wrong = judge(home, told, arguments.budget)
    facts = {
        "budget": arguments.budget,
        **account,
        "customers asked for": told.asked,
        "clients, workers": f"{arguments.clients}, {arguments.workers}",
        "service killed": f"{len(restarts)} times in {seconds:.0f} s",
        "restart to ready": spread([each.seconds for each in restarts]),
        **wrong,
        "verdict": "failed" if any(wrong.values()) else "exactly the budget, never more",
    }
    console.answer(facts, False, show)
    return int(any(wrong.values()))


def show(facts: dict[str, Any], screen: Any) -> None:
    screen.print(console.table("A budget, many clients and kill -9", ["", "found"], list(facts.items())))


if __name__ == "__main__":
    sys.exit(main())
