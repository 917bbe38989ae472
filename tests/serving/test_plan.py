"""The plan of a day: whom, with what, through which channel, and within which limits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from features.rows import Rows
from patron.decisions.records import Asked, Choice, Circumstances, Offered
from patron.errors import UsageError
from patron.experiments.exposures import ExposureLog
from patron.models.base import Reason
from patron.models.offer_worth import OfferDecision, Worth
from patron.offers.catalogue import Catalogue
from patron.offers.terms import ChannelRules, ContactRules, OfferTerms
from patron.settings import Settings, load_settings
from serving.bootstrap import Served
from serving.occasions import Calendar
from serving.plan import Plan
from serving.plan_days import days_of, moment
from serving.plan_file import day_plan, schema
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
        self.config = SimpleNamespace(left_alone=0.25, outcome_days=28)
        self.resting: set[str] = set()

    def alone(self, customer_id: str, now: datetime) -> bool:
        return customer_id in self.resting

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


def served(plan: Plan) -> Served:
    return Served("patron-offers", "1", plan.policy)


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


def test_an_act_of_care_is_made_unless_it_is_known_to_harm(contacts: Contacts) -> None:
    rows, kept = people(3, birthdays=(0, 1, 2)), [("c2", "wishes", "email"), ("c0", "wishes", "email")]
    policy = FakePolicy(wishes=[0.0, -0.5, 2.0], coupon=[-1.0, -1.0, 1.0])
    assert told(planned(contacts, rows, policy)) == kept


def test_budgets_and_caps_hold(contacts: Contacts) -> None:
    rows, policy = people(4), FakePolicy(coupon=[1.0, 4.0, 3.0, 2.0])
    assert [who for who, _, _ in told(planned(contacts, rows, policy), budget=11.0)] == ["c1", "c2"]
    for limit in ({"budget": 5.0}, {"daily_cap": 1}):
        limited = COUPON.model_copy(update=limit)
        assert [who for who, _, _ in told(planned(contacts, rows, policy, limited))] == ["c1"]


def test_who_refuses_is_left_alone(contacts: Contacts) -> None:
    rows = people(2, birthdays=(0,), consent_offers=np.array([False, None], dtype=object))
    assert told(planned(contacts, rows, FakePolicy(coupon=[3.0, 3.0]))) == [("c1", "coupon", "email")]


def test_an_experiment_counts_everybody_whom_the_plan_asked_about(
    contacts: Contacts, settings: Settings
) -> None:
    """Those of the other arm are withheld; both arms are exposed alike, and who refuses is in none."""
    folder = settings.configs / "experiments"
    folder.mkdir()
    arms = [
        f"{{ name = '{each}', share = 0.5, parameters.policy = '{each}' }}" for each in ("champion", "none")
    ]
    text = f"target = 'policy:offers'\nenabled = true\narms = [{', '.join(arms)}]\n"
    (folder / "t.toml").write_text(text, encoding="utf-8")
    consents = np.array([row > 0 for row in range(60)], dtype=object)
    plan = planned(contacts, people(60, consent_offers=consents), FakePolicy(coupon=[3.0] * 60), COUPON)
    acts = plan.acts(None)
    log = ExposureLog(settings.events)
    assert log.of("t") == []  # a plan that is not booked is no exposure
    found = {each["customer_id"]: each["decision_id"] for each in plan.booked(acts, served(plan))}
    exposed = {each.unit: each.arm for each in log.of("t")}
    log.close()
    assert set(exposed) == {f"c{row}" for row in range(1, 60)}
    assert set(found) == {name for name, arm in exposed.items() if arm == "champion"}
    assert plan.counts["experiment"] == 59 - len(found) > 15
    assert contacts.ledger.find(next(iter(found.values())))["experiment"] == "t:champion"  # type: ignore[index]


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
    for _ in range(2):  # the second stands for one that was cut short after the booking
        plan = planned(contacts, rows, policy)
        acts = plan.booked(plan.acts(10.0), served(plan))
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
    assert decision["arms"] == [
        {"offer_id": "none", "propensity": 0.25},
        {"offer_id": "wishes", "propensity": 0.75},
    ]


@pytest.mark.parametrize("there", [False, True])  # whether there was a ledger before
def test_what_another_plan_booked_meanwhile_stays_and_is_told_once(contacts: Contacts, there: bool) -> None:
    larger = OfferTerms(offer_id="larger", cost=9.0)
    first = planned(contacts, people(4), FakePolicy(coupon=[3.0] * 4), COUPON, larger)
    if there:
        around = Circumstances(NOW - timedelta(days=9), "email", "p", "1", NOW)
        choice = Choice([Offered("none", 1.0)], {"none": 1.0})
        contacts.ledger.decide(Asked("zoe", [COUPON]), around, first.catalogue, lambda offers: choice)
    with Contacts(contacts.settings) as others:
        second = planned(others, people(4), FakePolicy(larger=[9.0] * 4), COUPON, larger)
        late = second.acts(None)
        booked = first.booked(first.acts(10.0), served(first))
        found = second.booked(late, served(second))
    assert [(each["customer_id"], each["offer_id"], each["cost"]) for each in found] == [
        *(("c0", "coupon", 5.0), ("c1", "coupon", 5.0)),
        *(("c2", "larger", 9.0), ("c3", "larger", 9.0)),
    ]
    assert [each["decision_id"] for each in found[:2]] == [each["decision_id"] for each in booked]


def test_who_withdraws_consent_is_not_in_the_file_of_a_second_run(contacts: Contacts) -> None:
    policy = FakePolicy(coupon=[3.0, 3.0])
    first = planned(contacts, people(2), policy)
    assert len(first.booked(first.acts(None), served(first))) == 2
    consents = np.array([False, None], dtype=object)
    again = planned(contacts, people(2, consent_offers=consents), policy)
    assert [each["customer_id"] for each in again.booked(again.acts(None), served(again))] == ["c1"]


def test_one_plan_books_at_a_time(contacts: Contacts) -> None:
    order = []

    def wait() -> None:
        with Contacts(contacts.settings) as others, others.booking():
            order.append("second")

    second = Thread(target=wait)
    with contacts.booking():
        second.start()
        second.join(0.05)
        order.append("first")
    second.join()
    assert order == ["first", "second"]


def test_whom_chance_leaves_alone_falls_out_and_is_logged(contacts: Contacts) -> None:
    """Once: on the days after they take no money from others, until the outcome was counted."""
    policy = FakePolicy(coupon=[3.0, 2.0, 1.0])
    policy.resting = {"c0"}
    plan = planned(contacts, people(3), policy, COUPON)
    assert [each["customer_id"] for each in plan.sent(plan.acts(10.0))] == ["c1"]
    assert [each["customer_id"] for each in plan.booked(plan.acts(10.0), served(plan))] == ["c1"]
    query = "select customer_id, told ->> '$.arms', propensity, told ->> '$.offers[0].reasons[0].code'"
    left = contacts.connection.execute(f"{query} from decisions where arm = 'none'").fetchall()
    arms = [{"offer_id": "none", "propensity": 0.25}, {"offer_id": "coupon", "propensity": 0.75}]
    assert [(who, json.loads(told), *more) for who, told, *more in left] == [("c0", arms, 0.25, "control")]
    for days, names in ((1, ["c1", "c2"]), (40, ["c0", "c1"])):
        later = planned(contacts, people(3), policy, COUPON, now=NOW + timedelta(days=days))
        assert [each["customer_id"] for each in later.acts(10.0)] == names


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
