"""Benchmarks are scripts: what they are made of is found from their own folder."""

from __future__ import annotations

import sys

from patron.settings import PROJECT

sys.path.insert(0, str(PROJECT / "benchmarks"))
