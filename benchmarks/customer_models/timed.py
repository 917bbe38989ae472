"""Fits of one library, timed in a process of its own: `python -m customer_models.timed MODULE DATA WEEKS
REPEATS OUT`.

The module has `VERSION`, `FITS` {model: function of the data's columns} and `told(model, fitted, data,
weeks)` -> (parameters, expected purchases or None). It may be a peer's, in an environment without Patron.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def main(module: str, data: str, weeks: str, repeats: str, out: str) -> int:
    try:
        library = importlib.import_module(module)
        columns = dict(np.load(data))
        found: dict[str, Any] = {"version": library.VERSION, "fits": {}}
        for name, fit in library.FITS.items():
            found["fits"][name] = measured(library, name, fit, columns, float(weeks), int(repeats))
    except Exception as error:
        found = {"problem": told(error)}
    Path(out).write_text(json.dumps(found), encoding="utf-8")
    return 0


def measured(
    library: Any, name: str, fit: Callable[..., Any], columns: dict[str, Any], weeks: float, repeats: int
) -> dict[str, Any]:
    """One fit to warm up, then the seconds of each, of all threads and processes and by the clock."""
    try:
        fitted = fit(columns)
        cpu, wall = [], []
        for _ in range(repeats):
            began = processor(), time.perf_counter()
            fitted = fit(columns)
            cpu.append(processor() - began[0])
            wall.append(time.perf_counter() - began[1])
        parameters, expected = library.told(name, fitted, columns, weeks)
    except Exception as error:
        return {"problem": told(error)}
    given = None if expected is None else np.asarray(expected, dtype=float).tolist()
    numbers = {key: float(value) for key, value in parameters.items()}
    return {"parameters": numbers, "expected": given, "cpu": cpu, "wall": wall}


def processor() -> float:
    """Seconds of this process, finer than the kernel's ticks, and of those that it waited for."""
    ended = os.times()
    return time.process_time() + ended.children_user + ended.children_system


def told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
