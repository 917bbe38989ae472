"""Rules that a shop states in a TOML file of its own: `configs/segments.toml`, `configs/tiers.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from patron.errors import ConfigurationError
from patron.models.base import Config

Form = TypeVar("Form", bound=Config)


def rules_of(path: Path, form: type[Form], **more: Any) -> Form:
    """What a file says, as `form`; the form's defaults where there is no file. `more` wins over both.

    Raises ConfigurationError that names the file and lists every mistake.
    """
    import tomllib

    try:
        told = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return form(**{**told, **more})
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    except ValidationError as error:
        raise ConfigurationError("\n".join([f"{path} is wrong:", *mistakes(error)])) from None


def mistakes(error: ValidationError) -> list[str]:
    """A line for each."""
    found = []
    for each in error.errors():
        where = ".".join(str(part) for part in each["loc"])
        found.append(f"  {where}: {each['msg']}" if where else f"  {each['msg']}")
    return found
