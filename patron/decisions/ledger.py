"""The ledger: every decision with its money, on disk before it is answered, for all workers together.

One transaction reads what is spent, held and shown, lets the policy choose among what is left, and books the
choice. SQLite lets one such transaction in at a time, so that a budget is spent to its end and never beyond,
however many workers ask at once, and whenever one of them is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from patron.decisions import booking, catch_up, purse, reading, writing
from patron.decisions.availability import split
from patron.decisions.catch_up import News
from patron.decisions.purse import Purse
from patron.decisions.records import Asked, Choice, Choose, Circumstances, Decided
from patron.decisions.schema import FILE, DecisionFile
from patron.events.log import EventLog
from patron.offers.catalogue import Catalogue
from patron.offers.terms import OfferTerms

Refused = Mapping[str, str]
"""Offer -> code of why it may not be made."""
ChooseAll = Callable[[Sequence[tuple[Sequence[OfferTerms], Refused]], Purse], Sequence[Choice]]
"""Chooses for several customers at once: what may be made to each and what not, and what money is left."""
Budgets = Mapping[str, float | None]


class Tried(Exception):
    """Carries what would be decided out of a transaction that is undone."""

    def __init__(self, decided: list[Decided]) -> None:
        super().__init__()
        self.decided = decided


class Ledger:
    """The decisions in `folder`, beside the event log. Threads and processes may decide at once.

    The file is made at the first decision. Every method that writes raises EventLogError when nothing can be
    written.
    """

    def __init__(self, folder: Path, events: EventLog) -> None:
        self.file = DecisionFile(folder / FILE)
        self.events = events
        self._read: tuple[str, int] | None = None
        """(log, number of its last event) up to which this process knows everything to be booked."""

    def decide(self, asked: Asked, around: Circumstances, catalogue: Catalogue, choose: Choose) -> Decided:
        """Choose for one customer among the offers that may be made now, book it, and return once on disk.

        Where the customer's idempotency key was used before, what was decided then is given again.
        """
        return self.decide_all([asked], around, catalogue, lambda found, left: [choose(found[0][0])])[0]

    def decide_all(
        self,
        asked: Sequence[Asked],
        around: Circumstances,
        catalogue: Catalogue,
        choose: ChooseAll,
        dry_run: bool = False,
    ) -> list[Decided]:
        """The same for several customers in one transaction, one decision each, all of them or none.

        dry_run: nothing is written, held or spent.
        """
        news, budgets = self._news(), budgets_of(catalogue)

        def work(connection: Any) -> list[Decided]:
            if news:
                catch_up.book(connection, news, budgets)
            booking.release(connection, around.now)
            decided = together(connection, asked, around, catalogue, choose)
            if dry_run:
                raise Tried(decided)
            return decided

        try:
            found = self.file.write(work)
        except Tried as tried:
            return tried.decided
        self._remember(news)
        return found

    def catch_up(self, budgets: Budgets) -> int:
        """Book what was accepted or declined since; how many showings were answered."""
        connection, news = self._reader(), self._news()
        if news is None or (not news.events and connection is None):
            return 0
        booked = self.file.write(lambda connection: catch_up.book(connection, news, budgets))
        self._remember(news)
        return booked

    def find(self, decision_id: str) -> dict[str, Any] | None:
        """All that is known of one decision; None where there is none of this id."""
        connection = self._reader()
        return None if connection is None else reading.decision(connection, decision_id)

    def customers(self, key: str) -> list[str]:
        """Of whom anything was decided under an idempotency key, in that order."""
        connection = self._reader()
        return [] if connection is None else reading.customers(connection, key)

    def accounts(self) -> dict[str, dict[str, float]]:
        """Offer -> spent, held (in currency), shown, accepted, declined."""
        connection = self._reader()
        return {} if connection is None else reading.accounts(connection)

    def close(self) -> None:
        self.file.close()

    def _reader(self) -> Any:
        """For reading; None where nothing was ever decided. An older file is brought up to date first."""
        if self.file.path.is_file() and not self.file.current():
            self.file.write(lambda connection: None)
        return self.file.reader()

    def _news(self) -> News | None:
        log_id = self.events.log_id()
        if log_id is None:
            return None
        start = self._read[1] if self._read and self._read[0] == log_id else 0
        connection = self._reader()
        stored = catch_up.position(connection, log_id) if connection is not None else 0
        return catch_up.news(self.events, max(start, stored))

    def _remember(self, news: News | None) -> None:
        if news is not None:
            self._read = (news.log_id, news.end)


def budgets_of(catalogue: Catalogue) -> dict[str, float | None]:
    return {each.offer_id: each.budget for each in catalogue.offers}


def together(
    connection: Any,
    asked: Sequence[Asked],
    around: Circumstances,
    catalogue: Catalogue,
    choose: ChooseAll,
) -> list[Decided]:
    """Decide for those who have no decision of their key yet; one entry a question."""
    known = [reading.again(connection, each) for each in asked]
    fresh = [each for each, found in zip(asked, known, strict=True) if found is None]
    left = purse.left(connection, catalogue, around.now)
    found = [open_to(connection, each, around, catalogue, left) for each in fresh]
    choices = choose(found, left) if fresh else []
    made = iter(
        [
            writing.book(connection, each, around, catalogue, left, choice, refused)
            for each, (_, refused), choice in zip(fresh, found, choices, strict=True)
        ]
    )
    return [decided or next(made) for decided in known]


def open_to(
    connection: Any, asked: Asked, around: Circumstances, catalogue: Catalogue, left: Purse
) -> tuple[Sequence[OfferTerms], Refused]:
    """(offers that may be made to a customer now, why each other one may not)."""
    offers, refused = split(
        connection, asked.customer_id, asked.offers, around.channel, around.now, catalogue, left
    )
    return offers, {**asked.refused, **refused}
