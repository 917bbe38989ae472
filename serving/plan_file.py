"""`patron plan`: the file of a day, one row for each customer to contact.

A plan holds nothing; booked, each row is a decision in the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patron.errors import PatronError, UsageError
from patron.models.offers import OfferPolicy
from patron.settings import Settings
from serving.batch import FORMATS, built, writer
from serving.best_offers import references
from serving.bootstrap import Served, open_models
from serving.occasions import REFERENCES
from serving.plan import Plan
from serving.plan_days import clock, days_of, moment, today
from serving.planned import Contacts
from serving.score_columns import CHURN, OFFERS, REPLENISHMENT

if TYPE_CHECKING:
    import pyarrow as pa

MODELS = (OFFERS, CHURN, REPLENISHMENT)


def schema() -> pa.Schema:
    """Names and types of all columns, in their order in the file."""
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    return pa.schema(
        {
            "date": pa.date32(),
            **dict.fromkeys(
                ("customer_id", "offer_id", "name", "kind", "channel", "occasion", "reason"), text
            ),
            **dict.fromkeys(("product_id", "title"), text),
            **dict.fromkeys(("expected_margin", "expected_uplift", "cost"), number),
            **dict.fromkeys(("segment", "decision_id"), text),
            "features_as_of": pa.timestamp("us", "UTC"),
        }
    )


def day_plan(
    settings: Settings,
    to: Path | None = None,
    day: date | None = None,
    channels: Sequence[str] = (),
    budget: float | None = None,
    book: bool = False,
) -> dict[str, Any]:
    """Write the plan of a day, today by default, into a Parquet or CSV file that appears whole or not at all.

    channels: the first is preferred; by default those of the rules of contact. budget: of the day, over all
    offers. book: make every row a decision in the ledger; asked again on the same day, what was booked stays.
    Returns {"path", "date", "quiet", "rows", "booked", "offers", "channels", "left_alone", "cost",
    "expected_margin", "missing", "features_as_of"}. Raises UsageError for another suffix or a day that cannot
    be booked, NoChampion without a policy, FeatureError without a snapshot.
    """
    path = to or settings.reports / "plan.parquet"
    if path.suffix not in FORMATS:
        raise UsageError(f"{path.name} has no suffix of {', '.join(FORMATS)}; it says how to write the file.")
    with Contacts(settings) as contacts:
        plan, models = opened(settings, contacts, day, channels)
        quiet = plan.catalogue.quiet(plan.now)
        present = today(plan.catalogue.contacts, clock(settings, plan.rows))
        if plan.day < present:
            raise UsageError(f"{plan.day} is over: today is {present}. Plan today or a day ahead.")
        if book and plan.day != present:
            raise UsageError("Only the plan of today can be booked: leave --date out, or --book.")
        with contacts.booking() if book else nullcontext():
            acts = [] if quiet else plan.acts(budget)
            acts = plan.booked(acts, models[OFFERS]) if book and not quiet else plan.sent(acts)
            with writer(path, schema()) as write:
                write({name: [each[name] for each in acts] for name in schema().names})
    return document(path, plan, acts, quiet, models, book)


def document(
    path: Path,
    plan: Plan,
    acts: Sequence[Mapping[str, Any]],
    quiet: str | None,
    models: Mapping[str, Served],
    book: bool,
) -> dict[str, Any]:
    """What the command tells."""
    margins = [each["expected_margin"] for each in acts if each["expected_margin"] is not None]
    return {
        "path": str(path),
        "date": plan.day.isoformat(),
        "quiet": quiet,
        "rows": len(acts),
        "booked": book,
        "offers": dict(Counter(each["offer_id"] for each in acts).most_common()),
        "channels": dict(Counter(each["channel"] for each in acts).most_common()),
        "left_alone": {code: count for code, count in plan.counts.items() if count},
        "cost": float(sum(each["cost"] for each in acts)),
        "expected_margin": float(sum(margins)),
        "missing": [name for name in MODELS if name not in models],
        "features_as_of": plan.rows.as_of,
    }


def opened(
    settings: Settings, contacts: Contacts, day: date | None, channels: Sequence[str]
) -> tuple[Plan, Mapping[str, Served]]:
    """The plan of a day, nothing decided yet, and the models that are promoted."""
    from features.offline import latest, newest_cutoff

    offered, missing = built(settings, newest_cutoff(settings)), dict[str, PatronError]()
    models = open_models(settings, offered, missing, MODELS)
    if OFFERS not in models:
        raise missing[OFFERS]
    policy: OfferPolicy = models[OFFERS].model
    catalogue = contacts.catalogue({each.offer_id: each.arm for each in policy.offers})
    wanted = [*REFERENCES, *policy.references, *references(catalogue.offers)]
    for served in models.values():
        wanted += served.model.references
    rows = latest(settings, [each for each in dict.fromkeys(wanted) if each in offered])
    now = moment(catalogue.contacts, day, clock(settings, rows))
    calendar = days_of(settings, models, catalogue.contacts, now)
    through = list(channels) or list(catalogue.contacts.channels) or ["email"]
    return Plan(settings, rows, policy, catalogue, calendar, now, through, contacts), models
