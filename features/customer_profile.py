"""Customer profile: what the customers table says today. It has no history, so nothing is trained on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.staging import Staged, whole_seconds
from features.view import FieldType, View

if TYPE_CHECKING:
    import ibis

FIELDS: dict[str, FieldType] = {
    "region": "String",
    "tier": "String",
    "birthday": "Int64",
    "signed_up_at": "Int64",
    "consent_recommend": "Bool",
    "consent_offers": "Bool",
    "consent_training": "Bool",
    "attributes": "String",
}


def snapshot(staged: Staged, cutoff: int) -> ibis.Table:
    """Customers who had signed up before the cutoff, or whose sign-up is not known."""
    signed_up = whole_seconds(staged.customers.signed_up_at)
    known = staged.customers.mutate(signed_up_at=signed_up)
    return known.filter(known.signed_up_at.isnull() | (known.signed_up_at < cutoff)).select(
        "customer_id",
        "region",
        "tier",
        "signed_up_at",
        "attributes",
        birthday=whole_seconds(known.birthday),
        consent_recommend=known.consent_recommend.fill_null(True),
        consent_offers=known.consent_offers.fill_null(True),
        consent_training=known.consent_training.fill_null(True),
    )


VIEW = View(
    name="customer_profile",
    entity="customer",
    fields=FIELDS,
    snapshot=snapshot,
    description="Region, tier, consents and attributes of a customer, as they are now.",
    historical=False,
)
