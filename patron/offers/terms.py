"""What an offer is, to whom it may be made, and how often anybody may be contacted."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from patron.events.validation import LARGEST
from patron.lake.contract import OFFER_KINDS
from patron.models.base import Config

NONE = "none"
"""The arm that shows nothing: leaving somebody alone is a decision too."""

ON_CONVERSION = frozenset({"coupon", "percent_off", "free_shipping", "upgrade", "points"})
"""Kinds that cost something only when a customer takes them up; the others cost as much at every showing."""

OCCASIONS = ("birthday", "anniversary", "replenishment", "overdue", "ticket_closed")
"""What a care message may wait for."""

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

Amount = Annotated[float, Field(ge=0, lt=LARGEST, allow_inf_nan=False)]
Days = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Hour = Annotated[int, Field(ge=0, le=23)]


class OfferTerms(Config):
    """One offer. Its terms are the same for everyone who is eligible: there are no personal prices."""

    offer_id: str = Field(min_length=1)
    name: str = ""
    kind: Literal[OFFER_KINDS] = "coupon"  # type: ignore[valid-type]
    group: str = ""
    """Offers of a group (a campaign type) lend each other evidence: an effect is learned for each group.
    Empty: the kind."""
    cost: Amount = 0.0
    """Of one conversion for kinds in `ON_CONVERSION`, of one showing for others; in the shop's currency."""
    product_ids: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    """Empty: any."""
    min_tier: str | None = None
    """The lowest customer tier that may see it."""
    segments: tuple[str, ...] = ()
    """Empty: any."""
    stages: tuple[str, ...] = ()
    """Lifecycle stages. Empty: any."""
    owns: tuple[str, ...] = ()
    """Products of which the customer must have bought one. Empty: none needed."""
    occasion: Literal[OCCASIONS] | None = None  # type: ignore[valid-type]
    """Made only on this occasion. None: at any time."""
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    """Shown before this moment only."""
    budget: Amount | None = None
    """The most that may be spent on it in all. None: no limit."""
    daily_cap: Amount | None = None
    """Showings a day. None: no limit."""
    per_customer: Annotated[int, Field(ge=1)] | None = None
    """Showings to one customer, ever. None: no limit."""
    rest_days: Days = 0.0
    """Before the same customer may see it again."""
    declined_days: Days = 30.0
    """Before a customer who declined it may see it again."""
    excludes: tuple[str, ...] = ()
    """Offers or groups that a customer must not have seen within `exclude_days`."""
    exclude_days: Days = 7.0
    hold_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 72.0
    """How long a shown offer of a kind in `ON_CONVERSION` may be taken up: its cost is held so long."""

    @field_validator("offer_id")
    @classmethod
    def not_none(cls, name: str) -> str:
        if name == NONE:
            raise ValueError(f"'{NONE}' is what showing nothing is called; name the offer otherwise")
        return name

    @field_validator("valid_from", "valid_to")
    @classmethod
    def in_utc(cls, moment: datetime | None) -> datetime | None:
        """A moment without a time zone is taken as UTC."""
        return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment

    @property
    def arm(self) -> str:
        """The treatment that its effect is learned under."""
        return self.group or self.kind

    @property
    def costs_on_conversion(self) -> bool:
        return self.kind in ON_CONVERSION


class ChannelRules(Config):
    """How often a customer may be contacted through one channel."""

    most: Annotated[int, Field(ge=0)] | None = None
    """Contacts within `days`, at most. None: no limit."""
    days: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 7.0
    rest_hours: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Between two contacts."""


class ContactRules(Config):
    """When and how often anybody is contacted. Showing nothing is no contact."""

    time_zone: str = "UTC"
    """Of days, quiet days and quiet hours."""
    any_channel: ChannelRules = ChannelRules()
    """Over all channels together."""
    channels: dict[str, ChannelRules] = Field(default_factory=dict)
    quiet_weekdays: tuple[Literal[WEEKDAYS], ...] = ()  # type: ignore[valid-type]
    quiet_dates: tuple[date, ...] = ()
    quiet_hours: tuple[Hour, Hour] | None = None
    """From the first hour to before the second, over midnight where the second is smaller."""

    @field_validator("time_zone")
    @classmethod
    def known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"there is no time zone '{name}'; name one such as 'Europe/London'") from None
        return name

    @model_validator(mode="after")
    def not_always_quiet(self) -> Self:
        if set(self.quiet_weekdays) == set(WEEKDAYS):
            raise ValueError("quiet_weekdays names every day: nobody would ever be contacted")
        return self

    def rules_of(self, channel: str | None) -> tuple[ChannelRules, ...]:
        """All that a contact through this channel must keep to; None: a channel without rules of its own."""
        own = self.channels.get(channel) if channel is not None else None
        return (self.any_channel,) if own is None else (self.any_channel, own)

    def quiet(self, now: datetime) -> str | None:
        """Why nobody is contacted now: `quiet_day`, `quiet_hour`; None where it is no quiet time."""
        local = now.astimezone(ZoneInfo(self.time_zone))
        if WEEKDAYS[local.weekday()] in self.quiet_weekdays or local.date() in self.quiet_dates:
            return "quiet_day"
        return "quiet_hour" if self._is_quiet(local.hour) else None

    def _is_quiet(self, hour: int) -> bool:
        if self.quiet_hours is None:
            return False
        start, end = self.quiet_hours
        return start <= hour < end if start <= end else hour >= start or hour < end

    def day(self, now: datetime) -> tuple[datetime, datetime]:
        """The moments between which the local day of `now` lies, the end left out, in UTC."""
        zone = ZoneInfo(self.time_zone)
        first = now.astimezone(zone).date()
        start, end = (
            datetime.combine(each, datetime.min.time(), zone) for each in (first, first + timedelta(days=1))
        )
        return start.astimezone(UTC), end.astimezone(UTC)
