"""Settings: environment over file over default, typed, frozen, all mistakes reported together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from patron.errors import ConfigurationError

PROJECT = Path(__file__).resolve().parent.parent
SIMPLER_RUNGS = 4
"""Ways to answer a page below the personal one, each with a time of its own."""


class Settings(BaseSettings):
    """What one deployment may choose. Every key stands, commented, in `configs/local.toml`."""

    model_config = SettingsConfigDict(env_prefix="PATRON_", extra="forbid", frozen=True)

    home: Path = Path("var")
    """Where everything that Patron writes lives, MLflow's store apart."""
    mlruns: Path = Path("mlruns")
    """MLflow's store: `mlflow.db` and `artifacts/`."""
    configs: Path = PROJECT / "configs"
    """Where `imports/` and `models/` are found."""
    clock: Literal["wall", "data"] = "wall"
    """What 'now' is: the real time, or the moment of the last features (for historical data)."""
    seed: int = 20170101
    """Seed of every fit, split and bootstrap."""
    threads: int = Field(default=2, ge=1, le=256)
    """Threads that fitting and feature queries may use. Serving uses one a worker."""
    memory_limit: str = Field(default="4GB", pattern=r"^\d+(\.\d+)?\s?(MB|GB|TB)$")
    """What DuckDB may hold in memory before it spills to disk."""
    cutoff_step_days: int = Field(default=14, ge=1)
    """Distance between the moments at which features are computed."""
    max_cutoffs: int = Field(default=26, ge=1)
    """How many of those moments, counted back from the last order, at most."""
    time_zone: str = "import"
    """The shop's own, in which hours and weekdays are told. `import`: as the mapping of its orders says."""
    churn_horizon_days: int | None = Field(default=None, ge=1)
    """No order within so many days is churn. Unset: from the shop's own inter-purchase times."""
    value_horizon_days: int = Field(default=90, ge=1)
    """The horizon that lifetime value is trained and judged on."""
    test_window_days: int = Field(default=28, ge=1)
    """The last window, on which recommendations are judged."""
    online_store: str = Field(default="lmdb", pattern=r"^(lmdb|sqlite|rediss?://[^/\s]+(/\d+)?)$")
    """Where the service reads features from: lmdb or sqlite (files under `home`), or redis://host:port/db."""
    host: str = "127.0.0.1"
    """Address that the service listens on."""
    port: int = Field(default=3000, ge=1, le=65535)
    """Port that the service listens on."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes that answer."""
    request_timeout_seconds: float = Field(default=2.0, gt=0)
    """After this long a request is answered with 503."""
    personal_budget_seconds: float = Field(default=0.4, gt=0)
    """How long the personal answer of a page may take before a simpler one is given."""
    fallback_budget_seconds: float = Field(default=0.1, gt=0)
    """The same for each of the simpler ones."""
    reload_seconds: float = Field(default=2.0, ge=0)
    """How often the service looks for a newer champion, and takes it over; 0: only when it starts."""
    max_body_bytes: int = Field(default=262_144, ge=1024)
    """A larger request is refused with 413."""
    cors_origins: list[str] = Field(default_factory=list)
    """Web origins whose pages may call the service from a browser."""
    flush_minutes: float = Field(default=15.0, ge=0)
    """How often the service moves events into the lake; 0: never, `patron events flush` does it."""
    event_log_days: int = Field(default=35, ge=1)
    """How long events stay in the log after they were moved: live features look back 30 days."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe message that is logged."""

    @field_validator("time_zone")
    @classmethod
    def known_zone(cls, name: str) -> str:
        if name != "import" and name not in available_timezones():
            raise ValueError("no time zone of that name. Give one such as Europe/Berlin, or import")
        return name

    @model_validator(mode="after")
    def in_time(self) -> Self:
        """All rungs of a page must fit into the time that a request has."""
        needed = self.personal_budget_seconds + SIMPLER_RUNGS * self.fallback_budget_seconds
        if needed > self.request_timeout_seconds:
            raise ValueError(
                f"personal_budget_seconds + {SIMPLER_RUNGS} * fallback_budget_seconds are {needed:g} s, "
                "more than request_timeout_seconds: no time is left for the last rungs of a page"
            )
        return self

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    @property
    def features(self) -> Path:
        return self.home / "features"

    @property
    def online(self) -> Path:
        return self.home / "online"

    @property
    def events(self) -> Path:
        return self.home / "events"

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def reports(self) -> Path:
        return self.home / "reports"

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.mlruns.resolve()}/mlflow.db"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())


def config_file() -> Path:
    """The settings file: `PATRON_CONFIG`, or `configs/local.toml` of the project.

    Raises ConfigurationError when PATRON_CONFIG names no file.
    """
    named = os.environ.get("PATRON_CONFIG")
    if named and not Path(named).is_file():
        raise ConfigurationError(f"PATRON_CONFIG names {named}, which is not a file.")
    return Path(named) if named else PROJECT / "configs" / "local.toml"


def load_settings(**overrides: Any) -> Settings:
    """Settings as this process should use them; `overrides` win over everything (options, tests).

    Raises ConfigurationError that lists every mistake at once.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in each['loc'])}: {each['msg']} (found {each['input']!r})"
            for each in error.errors()
        ]
        where = f"{config_file()} or PATRON_... variables"
        raise ConfigurationError("\n".join([f"Settings are wrong in {where}:", *lines])) from None
    except ValueError as error:  # tomllib.TOMLDecodeError among them
        raise ConfigurationError(f"{config_file()} cannot be read: {error}") from None
