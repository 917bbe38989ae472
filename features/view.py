"""What a feature view is: named fields of one entity, and the expression that computes them at a cutoff."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from features.staging import Staged

if TYPE_CHECKING:
    from ibis import Table

WINDOWS = (7, 30, 90, 365)
"""Days before the cutoff that windowed features look back."""

DAY = 86_400

TABLES = ("order_lines", "products", "customers")
"""Lake tables that a view is made of unless it says otherwise."""

SHARED = ("affinity.py", "customer_activity.py", "lists.py", "local_time.py", "staging.py", "view.py")
"""Files that the expressions of several views use."""

FieldType = Literal["Int64", "Float64", "String", "Bool", "Array(String)", "Array(Int64)", "Array(Float64)"]


@dataclass(frozen=True)
class View:
    """One feature view; its file holds the fields and the snapshot expression.

    `snapshot(staged, cutoff)` gives one row an entity, with the join key and the fields, from rows whose
    time is strictly before `cutoff` (epoch seconds). `historical` is False where the source has no times, so
    that only the newest cutoff may be built and nothing may be trained on it.
    """

    name: str
    entity: Literal["customer", "product"]
    fields: dict[str, FieldType]
    snapshot: Callable[[Staged, int], Table]
    description: str
    historical: bool = True
    recent: bool = False
    """True where only the last windows are learned from: older cutoffs are built when asked for."""
    lapses: bool = False
    """True where an entity may be without a row after it had one: an older row does not stand in for it."""
    tables: tuple[str, ...] = TABLES
    """Lake tables that it is made of: others may change without its being built again."""
    local: bool = False
    """True where it reads days and hours as the shop's clock shows them."""

    @property
    def key(self) -> str:
        return f"{self.entity}_id"

    @property
    def references(self) -> dict[str, str]:
        """Feast reference -> type, for every field."""
        return {f"{self.name}:{field}": kind for field, kind in self.fields.items()}

    @property
    def code_hash(self) -> str:
        """Hash of the view's file and of those it is made from: a changed expression is built again."""
        room = Path(__file__).parent
        files = [inspect.getsourcefile(self.snapshot), *(room / each for each in SHARED)]
        code = [Path(each).read_bytes() for each in files if each]
        return hashlib.sha256(b"".join([self.name.encode(), *code])).hexdigest()
