from __future__ import annotations

from datetime import UTC, datetime

import pytest

from patron.offers.eligibility import Who, refusal
from patron.offers.terms import OfferTerms

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TIERS = ("bronze", "silver", "gold")
ANNA = Who("loyal", "mature", "Silver", True, frozenset({"coffee-machine"}), frozenset({"birthday"}))


def refused(who=ANNA, channel="email", **told):
    return refusal(OfferTerms(offer_id="a", **told), who, NOW, channel, TIERS)


def test_without_conditions_anybody_who_consents():
    assert refused() is None
    assert refused(Who("new", consent=False)) == "no_consent"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"valid_from": datetime(2026, 6, 2)}, "not_yet_valid"),
        ({"valid_from": NOW}, None),
        ({"valid_to": NOW}, "expired"),
        ({"channels": ("sms",)}, "channel"),
        ({"channels": ("sms", "email")}, None),
        ({"min_tier": "silver"}, None),
        ({"min_tier": "gold"}, "tier"),
        ({"min_tier": "Friends"}, "tier"),
        ({"segments": ("lost",)}, "segment"),
        ({"segments": ("lost", "loyal")}, None),
        ({"stages": ("new",)}, "stage"),
        ({"owns": ("tea",)}, "product_not_owned"),
        ({"owns": ("tea", "coffee-machine")}, None),
        ({"occasion": "anniversary"}, "no_occasion"),
        ({"occasion": "birthday"}, None),
    ],
)
def test_each_condition(told, reason):
    assert refused(**told) == reason


def test_no_channel_fits_any():
    assert refused(channel=None, channels=("sms",)) is None


def test_a_tier_outside_the_list_is_reached_by_itself():
    assert refused(Who("loyal", tier="Friends"), min_tier="Friends") is None


def test_what_holds_for_all_is_told_first():
    assert refused(valid_to=NOW, segments=("lost",)) == "expired"
