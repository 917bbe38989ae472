"""Processes that decide at once and are killed at any moment spend exactly the budget."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from patron.decisions.ledger import Ledger
from patron.events.log import EventLog

ROOT = Path(__file__).parents[3]
BUDGET = 600
CLERK = f"""
import itertools, os, sys
from pathlib import Path
from tests.patron.decisions.conftest import Desk

desk = Desk(Path(sys.argv[1]))
desk.has(offer_id="coupon", cost=1, budget={BUDGET})
for number in itertools.count():
    customer = f"{{os.getpid()}}-{{number}}"
    found = desk.ask(customer)
    if found.shown[0].offered.offer_id == "none":
        break
    print(found.decision_id, flush=True)
    if number % 3 == 0:
        desk.answers("offer_declined" if number % 2 else "offer_accepted", found.decision_id,
                     customer_id=customer)
"""


def start(folder: Path, told: Path) -> subprocess.Popen[bytes]:
    with told.open("ab") as output:
        return subprocess.Popen([sys.executable, "-c", CLERK, str(folder)], cwd=ROOT, stdout=output)


def test_the_budget_is_spent_exactly_whoever_is_killed(tmp_path: Path) -> None:
    rng, told = random.Random(1), tmp_path / "told"
    clerks = [start(tmp_path, told) for _ in range(2)]
    while lines(told) < 60 and any(each.poll() is None for each in clerks):
        time.sleep(0.005)
    time.sleep(rng.random() * 0.02)
    for each in clerks:
        each.kill()
        each.wait()
    last = start(tmp_path, told)
    assert last.wait(60) == 0
    judge(tmp_path, told)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def judge(folder: Path, told: Path) -> None:
    ledger = Ledger(folder, EventLog(folder))
    ledger.catch_up({"coupon": BUDGET})
    account = ledger.accounts()["coupon"]
    assert ledger.find("unheard-of") is None
    free = BUDGET - account["spent"] - account["held"]
    assert free in (0, 1)  # of the last customer, who may have declined
    assert account["shown"] == account["spent"] + account["held"] + account["declined"]
    acknowledged = [each for each in told.read_text().splitlines() if len(each) == 36]
    assert all(ledger.find(each) for each in acknowledged) and len(acknowledged) <= account["shown"]
    connection = ledger.file.reader()
    for money in ("spent", "held"):
        query = f"select sum(cost) / 1000000.0 from showings where money = '{money}'"
        assert connection.execute(query).get == account[money]
    ledger.close()
    ledger.events.close()
