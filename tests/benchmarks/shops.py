"""Events of a handful of lines."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from recommending.data import events, read

from patron.models.base import DAY


def timeless(*lines):
    """Of lines 'customer product product ...', without times."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.txt"
        path.write_text("\n".join(lines), encoding="utf-8")
        return read(str(path))


def shop(*rows):
    """Of rows (customer or None, product, day); one order a row."""
    frame = pd.DataFrame(rows, columns=["customer", "product", "at"])
    frame["order"] = [f"o{place}" for place in range(len(frame))]
    frame["at"] *= DAY
    frame["price"] = np.float64(1)
    return events("tiny", frame, pd.DataFrame({"title": []}), "")
