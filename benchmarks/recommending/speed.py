"""How long Patron's fits take beside a peer's of the same settings: alternating, each warmed up, medians."""

from __future__ import annotations

import argparse
from typing import Any

from recommending.runner import Runner


def measured(runner: Runner, options: argparse.Namespace) -> list[dict[str, Any]]:
    return []
