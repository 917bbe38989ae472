"""The offers of a shop: `configs/offers.toml`, the lake's table, and what was changed since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from patron.errors import ConfigurationError, DataError
from patron.lake.tables import Lake
from patron.models.base import Config
from patron.models.rule_files import mistakes, rules_of
from patron.offers.terms import ContactRules, OfferTerms
from patron.settings import Settings

TIERS = ("bronze", "silver", "gold", "platinum")


class CatalogueRules(Config):
    """What `configs/offers.toml` may set."""

    tiers: tuple[str, ...] = TIERS
    """Customer tiers, the lowest first: an offer's min_tier is read by them."""
    contacts: ContactRules = ContactRules()
    kinds: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Kind -> terms of every offer of that kind that does not say otherwise."""
    offers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Offer id -> its terms, or those that the lake's table has no column for."""


@dataclass(frozen=True)
class Catalogue:
    """All offers by id, in the order of their ids, and the rules of contact."""

    offers: tuple[OfferTerms, ...] = ()
    contacts: ContactRules = field(default_factory=ContactRules)
    tiers: tuple[str, ...] = TIERS

    @classmethod
    def load(
        cls,
        path: Path,
        lake_rows: Iterable[Mapping[str, Any]] = (),
        updates: Mapping[str, Mapping[str, Any]] | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> Catalogue:
        """Lay the lake's rows over what the file says, and `updates` (offer id -> fields) over both.

        groups: offer -> group of those that name none. Raises ConfigurationError for a wrong file, DataError
        where the terms of an offer cannot be.
        """
        rules = rules_of(path, CatalogueRules)
        found = {name: dict(told) for name, told in rules.offers.items()}
        for row in lake_rows:
            found.setdefault(row["offer_id"], {}).update(stated(row))
        for name, body in (updates or {}).items():
            found.setdefault(name, {}).update(body)
        for name, group in (groups or {}).items():
            if name in found and not found[name].get("group"):
                found[name]["group"] = group
        return cls(
            tuple(terms(name, told, rules.kinds) for name, told in sorted(found.items())),
            rules.contacts,
            rules.tiers,
        )

    @cached_property
    def by_id(self) -> dict[str, OfferTerms]:
        return {each.offer_id: each for each in self.offers}

    def of(self, offer_id: str) -> OfferTerms | None:
        """The terms of an offer, None for one that is not in the catalogue."""
        return self.by_id.get(offer_id)

    def quiet(self, now: datetime) -> str | None:
        """Why nobody is contacted now, or None."""
        return self.contacts.quiet(now)


def shop_catalogue(settings: Settings, groups: Mapping[str, str] | None = None) -> Catalogue:
    """The catalogue as of the last import or flush: the settings' file and the lake's table."""
    import pyarrow.parquet as pq

    lake = Lake(settings.lake)
    rows = [row for path in lake.files("offers") for row in pq.read_table(path).to_pylist()]
    return Catalogue.load(settings.configs / "offers.toml", rows, groups=groups)


def stated(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of the lake says, in the terms of an offer; what it leaves open is left out."""
    return {name: row[name] for name in OfferTerms.model_fields if row.get(name) is not None}


def terms(name: str, told: Mapping[str, Any], kinds: Mapping[str, Mapping[str, Any]]) -> OfferTerms:
    """One offer, with the defaults of its kind. Raises DataError that lists every mistake."""
    known = {key: value for key, value in told.items() if value is not None}
    kind = known.get("kind", OfferTerms.model_fields["kind"].default)
    try:
        return OfferTerms(**{**kinds.get(kind, {}), **known, "offer_id": name})
    except ValidationError as error:
        raise DataError("\n".join([f"Offer '{name}' is wrong:", *mistakes(error)])) from None


def check(path: Path) -> CatalogueRules:
    """The rules of a file, every offer in it tried. Raises ConfigurationError."""
    rules = rules_of(path, CatalogueRules)
    try:
        for name, told in rules.offers.items():
            terms(name, told, rules.kinds)
    except DataError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    return rules
