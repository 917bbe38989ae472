"""The plan of a day: whom, with what, through which channel, and within which limits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from features.rows import Rows
from patron.decisions.records import Asked, Choice, Circumstances, Offered
from patron.errors import UsageError
from patron.models.base import Reason
from patron.models.offer_worth import OfferDecision, Worth
from patron.offers.catalogue import Catalogue
from patron.offers.terms import ChannelRules, ContactRules, OfferTerms
from patron.settings import Settings, load_settings
from serving.bootstrap import Served
from serving.occasions import Calendar
from serving.plan import Plan, day_plan, days_of, moment, schema
from serving.planned import Contacts
from tests.serving.fakes import FakeSegments
from tests.serving.shop import END

NOW = datetime(2024, 3, 4, 10, tzinfo=UTC)  # a Monday
BORN = datetime(1990, 3, 4, tzinfo=UTC).timestamp()
COUPON = OfferTerms(offer_id="coupon", cost=5.0)
WISHES = OfferTerms(
    offer_id="wishes", kind="care_message", occasion="birthday", channels=("email",), rest_days=300
)


class FakePolicy:
    """Worth of every offer as a test says: offer -> margin of each customer; nothing is known of others."""

    def __init__(self, **margins: list[float]) -> None:
        self.margins, self.segments = margins, FakeSegments()
        self.config = SimpleNamespace(epsilon=0.0)

    def worth(self, rows: Any, offers: Any) -> Worth:
        n = len(rows["orders_total"])
        margin = np.array([self.margins.get(each.offer_id, [np.nan] * n) for each in offers]).T.reshape(n, -1)
        full = np.hstack([np.zeros((n, 1)), margin])
        known = np.array([True, *(each.offer_id in self.margins for each in offers)])
        return Worth(
            tuple(offers), np.full(n, "new"), full / 100, full, np.zeros_like(full), known, full[:, 0]
        )

    def told(self, worth: Worth, row: int, arm: int, propensity: float, explored: bool) -> OfferDecision:
        margin = worth.margin[row, arm]
        told = None if np.isnan(margin) else float(margin)
        return OfferDecision(worth.names[arm], told, told, propensity, [Reason("uplift", "it adds margin")])


def people(size: int, **columns: Any) -> Rows:
    """c0, c1, ...; `birthdays`: whose it is today."""
    birthdays = columns.pop("birthdays", ())
    usual = {
        "orders_total": np.full(size, 3.0),
        "birthday": np.array([BORN if row in birthdays else np.nan for row in range(size)]),
        "first_order_at": np.full(size, np.nan),
    }
    return Rows([f"c{row}" for row in range(size)], usual | columns, np.ones(size, dtype=bool), NOW)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, configs=tmp_path, clock="data")


@pytest.fixture
def contacts(settings: Settings) -> Iterator[Contacts]:
    with Contacts(settings) as opened:
        yield opened


def planned(
    contacts: Contacts,
    rows: Rows,
    policy: FakePolicy,
    *offers: OfferTerms,
    rules: ContactRules | None = None,
    now: datetime = NOW,
    channels: tuple[str, ...] = ("email", "sms"),
) -> Plan:
    catalogue = Catalogue(offers or (COUPON, WISHES), rules or ContactRules())
    calendar = days_of(contacts.settings, {}, catalogue.contacts, now)
    found: Any = policy
    return Plan(contacts.settings, rows, found, catalogue, calendar, now, channels, contacts)


def told(plan: Plan, budget: float | None = None) -> list[tuple[str, str, str]]:
    acts = plan.acts(budget)
    assert all(list(each) == schema().names for each in acts)
    return [(each["customer_id"], each["offer_id"], each["channel"]) for each in acts]


def test_each_gets_the_offer_that_adds_margin_else_the_act_of_care_of_the_day(contacts: Contacts) -> None:
    rows = people(4, birthdays=(1, 2))
    plan = planned(contacts, rows, FakePolicy(coupon=[3.0, 4.0, -1.0, -2.0]))
    assert told(plan) == [("c1", "coupon", "email"), ("c0", "coupon", "email"), ("c2", "wishes", "email")]
    assert [each["reason"] for each in plan.acts(None)] == ["it adds margin", "it adds margin", "birthday"]
    assert plan.acts(None)[2]["expected_margin"] is None
    assert plan.counts["no_uplift"] > 0


def test_an_act_of_care_that_is_known_to_harm_is_not_made(contacts: Contacts) -> None:
    policy = FakePolicy(wishes=[-0.5], coupon=[-1.0])
    assert told(planned(contacts, people(1, birthdays=(0,)), policy)) == []


def test_budgets_and_caps_hold(contacts: Contacts) -> None:
    rows, policy = people(4), FakePolicy(coupon=[1.0, 4.0, 3.0, 2.0])
    assert [who for who, _, _ in told(planned(contacts, rows, policy), budget=11.0)] == ["c1", "c2"]
    for limit in ({"budget": 5.0}, {"daily_cap": 1}):
        limited = COUPON.model_copy(update=limit)
        assert [who for who, _, _ in told(planned(contacts, rows, policy, limited))] == ["c1"]


def test_who_refuses_or_is_withheld_by_an_experiment_is_left_alone(
    contacts: Contacts, settings: Settings
) -> None:
    rows = people(2, birthdays=(0,), consent_offers=np.array([False, None], dtype=object))
    assert told(planned(contacts, rows, FakePolicy(coupon=[3.0, 3.0]))) == [("c1", "coupon", "email")]
    folder = settings.configs / "experiments"
    folder.mkdir()
    arms = (
        "[{ name = 'a', share = 0.5, parameters = { policy = 'none' } }, { name = 'b', share = 0.5, "
        "parameters = { policy = 'random' } }]"
    )
    (folder / "t.toml").write_text(
        f'target = "policy:offers"\nenabled = true\narms = {arms}\n', encoding="utf-8"
    )
    assert told(planned(contacts, rows, FakePolicy(coupon=[3.0, 3.0]))) == []


def test_what_was_shown_before_counts(contacts: Contacts) -> None:
    """c0 had an e-mail yesterday: the next goes through another channel, or not at all."""
    rules = ContactRules(channels={"email": ChannelRules(most=1, days=7)})
    rows, policy = people(2), FakePolicy(coupon=[3.0, 3.0])
    plan = planned(contacts, rows, policy, COUPON, rules=rules)
    around = Circumstances(NOW - timedelta(days=1), "email", "p", "1", NOW)
    choice = Choice([Offered("coupon", 1.0)], {"coupon": 1.0})
    contacts.ledger.decide(Asked("c0", [COUPON]), around, plan.catalogue, lambda offers: choice)
    assert told(plan) == [("c0", "coupon", "sms"), ("c1", "coupon", "email")]
    only = planned(contacts, rows, policy, COUPON, rules=rules, channels=("email",))
    assert told(only) == [("c1", "coupon", "email")]
    rested = COUPON.model_copy(update={"rest_days": 3})
    assert told(planned(contacts, rows, policy, rested)) == [("c1", "coupon", "email")]


def test_a_booked_plan_is_in_the_ledger_once(contacts: Contacts) -> None:
    rows, policy = people(3, birthdays=(2,)), FakePolicy(coupon=[3.0, 2.0, -1.0])
    served = Served("patron-offers", "1", policy)
    for _ in range(2):  # the second stands for one that was cut short after the booking
        plan = planned(contacts, rows, policy)
        acts = contacts.booked(plan.acts(10.0), plan.catalogue, NOW, served)
        assert [(each["customer_id"], each["offer_id"]) for each in acts] == [
            ("c0", "coupon"),
            ("c1", "coupon"),
            ("c2", "wishes"),
        ]
        assert all(list(each) == schema().names for each in acts)
    assert not any(plan.counts.values())
    assert contacts.ledger.accounts()["coupon"]["held"] == 10
    decision = contacts.ledger.find(acts[2]["decision_id"])
    assert decision is not None
    assert decision["policy"] == "patron-offers:plan"


def test_a_share_is_left_alone_at_random_when_it_is_booked(contacts: Contacts) -> None:
    policy = FakePolicy(coupon=[3.0] * 200)
    policy.config.epsilon = 0.5
    plan = planned(contacts, people(200), policy, COUPON)
    acts = contacts.booked(plan.acts(None), plan.catalogue, NOW, Served("patron-offers", "1", policy))
    assert 60 < len(acts) < 140


# Days


def test_a_birthday_on_a_quiet_day_is_wished_for_on_the_next(settings: Settings) -> None:
    rules = ContactRules(quiet_weekdays=("saturday", "sunday"))
    days: Calendar = days_of(settings, {}, rules, NOW)
    assert (days.first, days.last) == (date(2024, 3, 2), date(2024, 3, 5))
    assert days_of(settings, {}, ContactRules(), NOW).first == date(2024, 3, 4)


def test_contacts_go_out_at_the_first_hour_that_is_not_quiet() -> None:
    rules = ContactRules(quiet_hours=(21, 8), time_zone="Europe/Berlin")
    assert moment(rules, None, NOW) == NOW
    assert moment(rules, date(2024, 3, 5), NOW) == datetime(2024, 3, 5, 7, tzinfo=UTC)
    night = NOW.replace(hour=4)
    assert moment(rules, None, night) == NOW.replace(hour=7)
    sunday = ContactRules(quiet_weekdays=("sunday",))
    assert sunday.quiet(moment(sunday, date(2024, 3, 10), NOW)) == "quiet_day"


# The command's work, over a shop with models


def test_the_file_appears_whole_with_its_columns(shop: Settings, tmp_path: Path) -> None:
    found = day_plan(shop, tmp_path / "plan.parquet", budget=20.0)
    table = pyarrow.parquet.read_table(tmp_path / "plan.parquet")
    assert table.schema.equals(schema())
    assert table.num_rows == found["rows"] == sum(found["offers"].values())
    assert found["cost"] <= 20.0
    names = table["customer_id"].to_pylist()
    assert len(set(names)) == len(names)
    assert found["date"] == f"{END:%Y-%m-%d}"
    assert table["decision_id"].null_count == table.num_rows
    json.dumps(found, default=str)


def test_what_cannot_be_planned_is_refused(shop: Settings, tmp_path: Path) -> None:
    day = END.date()
    with pytest.raises(UsageError, match="no suffix"):
        day_plan(shop, tmp_path / "plan.xlsx")
    with pytest.raises(UsageError, match="is over"):
        day_plan(shop, tmp_path / "plan.csv", day=day - timedelta(days=1))
    with pytest.raises(UsageError, match="Only the plan of today"):
        day_plan(shop, tmp_path / "plan.csv", day=day + timedelta(days=1), book=True)
    assert list(tmp_path.iterdir()) == []
