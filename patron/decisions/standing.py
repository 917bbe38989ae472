"""How offers stand, for who looks at a home: what was decided, and what every offer has spent and holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from patron.decisions import reading
from patron.decisions.schema import FILE, DecisionFile

COUNTS = "select count(*), coalesce(sum(arm <> 'none'), 0), coalesce(sum(settled = 0), 0) from decisions"


def standing(folder: Path) -> dict[str, Any] | None:
    """{"made", "with_offer", "unsettled", "offers": offer -> its account}; None where nothing was decided.

    Nothing is changed: what events told since the last decision is not in it yet.
    """
    file = DecisionFile(folder / FILE)
    try:
        connection = file.reader()
        if connection is None:
            return None
        made, shown, unsettled = connection.execute(COUNTS).get
        accounts = reading.accounts(connection)
        return {"made": made, "with_offer": shown, "unsettled": unsettled, "offers": accounts}
    finally:
        file.close()
