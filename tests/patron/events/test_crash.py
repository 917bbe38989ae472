"""A process that writes the log is killed at random: what it acknowledged is there, once and whole."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import apsw

from patron.settings import PROJECT

ROUNDS = 8
SIZE = 7
"""Events in a batch."""

WRITER = """
    import sys, threading
    from datetime import UTC, datetime
    from pathlib import Path
    from patron.events.event import Event
    from patron.events.log import EventLog

    log, number = EventLog(Path(sys.argv[1])), int(sys.argv[2])
    lock = threading.Lock()

    def work(thread):
        for batch in range(10_000):
            name = f"{number}-{thread}-{batch}"
            now = datetime.now(UTC)
            log.append([Event(f"{name}-{each}", now, "view_item", name) for each in range(SIZE)])
            with lock:
                sys.stdout.write(name + "\\\\n")
                sys.stdout.flush()

    for thread in range(4):
        threading.Thread(target=work, args=[thread]).start()
"""


def killed(folder: Path, number: int, seconds: float) -> list[str]:
    """Names of the batches that a writer acknowledged before it was killed, `seconds` after its first."""
    code = textwrap.dedent(WRITER).replace("SIZE", str(SIZE)).replace("\\\\n", "\\n")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(number)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    first = process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    # a name cut short by the kill was not acknowledged
    return [each.strip() for each in [first, *rest.splitlines(keepends=True)] if each.endswith("\n")]


def test_what_was_acknowledged_is_there_once_and_nothing_is_torn(tmp_path: Path):
    rng = random.Random(3)
    acknowledged = []
    for number in range(ROUNDS):
        acknowledged += killed(tmp_path, number, rng.random() * 0.15)
    connection = apsw.Connection(str(tmp_path / "events.db"))
    counts = dict(connection.execute("select customer_id, count(*) from events group by 1").fetchall())
    distinct, seen = connection.execute(
        "select count(distinct event_id), (select count(*) from seen) from events"
    ).get
    assert connection.pragma("integrity_check") == "ok"
    connection.close()
    assert len(acknowledged) > 5 * ROUNDS
    assert set(acknowledged) <= set(counts)
    assert set(counts.values()) == {SIZE}
    assert distinct == seen == sum(counts.values())
