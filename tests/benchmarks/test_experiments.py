"""The benchmark of experiments runs, and its equal arms are equal."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from experimenting.report import measured, show
from experimenting.shops import simulated
from experimenting.trials import arms_of, looked_at
from rich.console import Console


def test_it_measures_and_tells_what_it_promises(tmp_path: Path) -> None:
    found = measured(argparse.Namespace(tests=2, days=3, units=600, data=tmp_path))
    assert [each["shop"] for each in found["equal_arms"]] == ["simulated, revenue"]
    out = io.StringIO()
    show(found, Console(file=out, width=150))
    assert out.getvalue().count("equal arms, simulated, revenue") == 1


def test_a_great_effect_is_found_and_its_size_covered() -> None:
    shop, arm = simulated(np.random.default_rng(0), 4000), arms_of("salt", 4000)
    assert abs(arm.mean() - 0.5) < 0.04
    found = looked_at(shop, arm, 5, effect=1.0)
    assert found.found is not None and found.once
    assert not found.missed
    assert looked_at(shop, arm, 5).found is None
