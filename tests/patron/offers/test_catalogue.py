from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from patron.errors import ConfigurationError, DataError
from patron.offers.catalogue import Catalogue, check
from patron.offers.terms import ChannelRules, ContactRules, OfferTerms
from patron.settings import PROJECT

SHIPPED = PROJECT / "configs" / "offers.toml"


def file(folder, text):
    path = folder / "offers.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_file_is_right_and_holds_acts_of_care_alone():
    assert {each["kind"] for each in check(SHIPPED).offers.values()} == {"care_message"}
    found = Catalogue.load(SHIPPED)
    assert all(each.cost == 0 and each.occasion for each in found.offers)
    assert found.of("care-birthday").declined_days == 180, "of its kind"


def test_the_table_wins_over_the_file_and_updates_over_both(tmp_path):
    path = file(tmp_path, '[offers.a]\nkind = "points"\ncost = 1.0\nsegments = ["loyal"]\n')
    row = {"offer_id": "a", "cost": Decimal("2.5"), "kind": None, "channels": ["email"], "row_hash": "x"}
    found = Catalogue.load(path, [row], {"a": {"budget": 10}}).of("a")
    assert (found.kind, found.cost, found.segments) == ("points", 2.5, ("loyal",))
    assert (found.channels, found.budget) == (("email",), 10.0)


def test_an_update_takes_a_value_away(tmp_path):
    row = {"offer_id": "a", "budget": 5}
    assert Catalogue.load(tmp_path / "none.toml", [row], {"a": {"budget": None}}).of("a").budget is None


def test_groups_are_for_those_who_name_none(tmp_path):
    path = file(tmp_path, '[offers.a]\ngroup = "mine"\n[offers.b]\n')
    found = Catalogue.load(path, groups={"a": "TypeA", "b": "TypeB", "gone": "TypeC"})
    assert [each.arm for each in found.offers] == ["mine", "TypeB"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[offers.none]\nkind = "points"\n', "showing nothing"),
        ("[offers.a]\ncost = -1\n", "cost"),
        ("[offers.a]\ncost = 1e13\n", "cost: .*less than 100000000000"),
        ('[offers.a]\nkind = "present"\n', "kind"),
        ("[offers.a]\nprice_for_anna = 3\n", "price_for_anna"),
        ('[contacts]\ntime_zone = "Mars"\n', "no time zone 'Mars'"),
        ("[contacts]\nquiet_hours = [21]\n", "quiet_hours"),
        ("colour = 1\n", "colour"),
    ],
)
def test_mistakes_are_named(tmp_path, text, says):
    with pytest.raises(ConfigurationError, match=says):
        check(file(tmp_path, text))


def test_an_offer_of_the_lake_that_cannot_be_is_named(tmp_path):
    with pytest.raises(DataError, match=r"'a'.*\n.*cost"):
        Catalogue.load(tmp_path / "none.toml", [{"offer_id": "a", "cost": -2}])


def test_quiet_times_are_those_of_the_shop():
    rules = ContactRules(
        time_zone="Asia/Tokyo",
        quiet_weekdays=("sunday",),
        quiet_dates=(date(2026, 12, 24),),
        quiet_hours=(21, 8),
    )
    assert rules.quiet(datetime(2026, 11, 21, 15, tzinfo=UTC)) == "quiet_day", "already Sunday there"
    assert rules.quiet(datetime(2026, 12, 24, 3, tzinfo=UTC)) == "quiet_day"
    assert rules.quiet(datetime(2026, 11, 23, 12, tzinfo=UTC)) == "quiet_hour"
    assert rules.quiet(datetime(2026, 11, 23, 22, tzinfo=UTC)) == "quiet_hour"
    assert rules.quiet(datetime(2026, 11, 23, 1, tzinfo=UTC)) is None


def test_a_day_begins_at_the_shops_midnight():
    start, end = ContactRules(time_zone="America/New_York").day(datetime(2026, 11, 1, 12, tzinfo=UTC))
    assert (start, end) == (datetime(2026, 11, 1, 4, tzinfo=UTC), datetime(2026, 11, 2, 5, tzinfo=UTC)), (
        "25 hours: the clocks go back"
    )


def test_a_week_that_is_all_quiet_is_refused():
    days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    with pytest.raises(ValidationError, match="nobody would ever"):
        ContactRules(quiet_weekdays=days)


def test_rules_of_a_channel_stand_beside_those_of_all():
    rules = ContactRules(channels={"sms": ChannelRules(most=1)})
    assert rules.rules_of("sms") == (rules.any_channel, rules.channels["sms"])
    assert rules.rules_of("email") == rules.rules_of(None) == (rules.any_channel,)


def test_moments_without_a_zone_are_utc():
    assert OfferTerms(offer_id="a", valid_to=datetime(2026, 1, 1)).valid_to == datetime(
        2026, 1, 1, tzinfo=UTC
    )
