"""The engine that computes features: DuckDB in this process, bounded in memory and threads."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from patron.settings import Settings

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend


def connect(settings: Settings) -> Backend:
    """A fresh DuckDB that spills to `home/tmp` when `memory_limit` is reached."""
    import ibis

    # Ibis calls DuckDB by a deprecated name; Feast, once imported, has every deprecation printed.
    warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
    spill = settings.home / "tmp" / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    return ibis.duckdb.connect(
        threads=settings.threads,
        memory_limit=settings.memory_limit,
        temp_directory=str(spill),
    )
