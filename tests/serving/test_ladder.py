"""Going down the rungs: in order, in time, and up again when what broke is whole."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from serving.ladder import FAILURES, OPEN_SECONDS, THREADS, Breaker, Climbed, Ladder, Rung
from serving.problems import Problem

Answer = Callable[[str], str | None]


def says(what: str | None) -> Answer:
    return lambda question: what


def fails(question: str) -> str | None:
    raise OSError("broken")


def climb(ladder: Ladder[str, str], question: str = "?") -> Climbed[str]:
    return asyncio.run(ladder.climb(question))


def of(*rungs: tuple[str, Answer], seconds: float = 5.0) -> Ladder[str, str]:
    return Ladder([Rung(name, seconds, answer) for name, answer in rungs])


def test_the_first_that_has_something_to_say_answers() -> None:
    found = climb(of(("a", says(None)), ("b", says("yes")), ("c", says("never"))))
    assert found == Climbed("yes", "b", degraded=False)


def test_one_that_raises_gives_way_and_is_told() -> None:
    assert climb(of(("a", fails), ("b", says("yes")))) == Climbed("yes", "b", degraded=True)


def test_nobody_has_anything_to_say() -> None:
    assert climb(of(("a", says(None)))) == Climbed(None, "none", degraded=False)


def test_what_the_caller_did_wrong_is_no_failure() -> None:
    def refuses(question: str) -> str | None:
        raise Problem(404, "no_such", "No.")

    ladder = of(("a", refuses), ("b", says("yes")))
    for _ in range(FAILURES + 1):
        with pytest.raises(Problem):
            climb(ladder)
    assert ladder.rungs[0].breaker.failures == 0


def test_one_that_takes_too_long_gives_way_in_time_and_is_left_out_after_some_failures() -> None:
    release, asked = threading.Event(), []

    def slow(question: str) -> str | None:
        asked.append(question)
        release.wait(10)
        return "late"

    ladder = of(("a", slow), ("b", says("yes")), seconds=0.05)
    try:
        for _ in range(FAILURES + 2):
            assert climb(ladder) == Climbed("yes", "b", degraded=True)
        assert len(asked) == min(FAILURES, THREADS)  # the others found no thread free
    finally:
        release.set()


def test_all_its_threads_stuck_it_still_answers_from_the_next() -> None:
    release = threading.Event()

    def stuck(question: str) -> str | None:
        release.wait(10)
        return None

    async def many() -> list[Climbed[str]]:
        return await asyncio.gather(*(ladder.climb("?") for _ in range(20)))

    ladder = of(("a", stuck), ("b", says("yes")), seconds=0.1)
    try:
        assert {each.answer for each in asyncio.run(many())} == {"yes"}
    finally:
        release.set()


def test_once_the_breaker_is_open_nobody_waits_and_nothing_piles_up() -> None:
    release = threading.Event()

    def stuck(question: str) -> str | None:
        release.wait(10)
        return None

    ladder = of(("a", stuck), ("b", says("yes")), seconds=0.05)
    try:
        for _ in range(FAILURES):
            climb(ladder)
        for _ in range(50):
            assert climb(ladder) == Climbed("yes", "b", degraded=True)
        assert ladder.threads._work_queue.qsize() <= 1
    finally:
        release.set()


def test_a_breaker_lets_one_through_after_a_while_and_closes_when_it_succeeds() -> None:
    now = [100.0]
    breaker = Breaker(lambda: now[0])
    for _ in range(FAILURES):
        assert breaker.allows()
        breaker.failed()
    assert not breaker.allows()
    now[0] += OPEN_SECONDS
    assert breaker.allows() and not breaker.allows()
    breaker.succeeded()
    assert breaker.allows() and breaker.allows()


def test_it_comes_back_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.ladder.OPEN_SECONDS", 0.05)
    broken = [True]

    def sometimes(question: str) -> str | None:
        return fails(question) if broken[0] else "best"

    ladder = of(("a", sometimes), ("b", says("yes")))
    assert [climb(ladder).rung for _ in range(FAILURES + 1)] == ["b"] * (FAILURES + 1)
    broken[0] = False
    time.sleep(0.1)
    assert climb(ladder) == Climbed("best", "a", degraded=False)


def test_the_log_says_which_but_nothing_of_the_question(caplog: Any) -> None:
    climb(of(("a", fails), ("b", says("yes"))), "very-secret")
    assert "'a' failed" in caplog.text and "very-secret" not in caplog.text
