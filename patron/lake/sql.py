"""Writing values into SQL."""

from __future__ import annotations

from collections.abc import Iterable


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A string."""
    return "'" + value.replace("'", "''") + "'"


def literal(values: Iterable[str]) -> str:
    """A list of strings."""
    return "[" + ", ".join(text(each) for each in values) + "]"
