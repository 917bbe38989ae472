"""Where a benchmark runs, and what its processes are given."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
BUSY = 0.5
"""Load a core before anything was started; above, others were at work."""


def environment(threads: int = 1) -> dict[str, str]:
    """The same number of threads for every library, and this project's packages."""
    paths = os.pathsep.join((str(HERE), str(HERE.parent)))
    pools = dict.fromkeys(POOLS, str(threads))
    return {**os.environ, **pools, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": paths}


def told() -> str:
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    kind = f"{platform.machine()}, {cores} CPUs, Python {platform.python_version()}"
    return f"{kind}, load {load:.1f}{', others were at work' if load > BUSY * cores else ''}"


def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
