"""Offer policies on data whose answer is known: randomised trials, bandit logs, a simulated shop.

    python benchmarks/offers.py --data ../shared/data/hillstrom.csv.gz
    python benchmarks/offers.py --data ../shared/data/open_bandit
    python benchmarks/offers.py --data simulated
    python benchmarks/offers.py --data ../shared/data/open_bandit --json found.json

The data tell what is measured: a file `hillstrom*` is the randomised e-mail campaign, a folder with `random`
and `bts` is the Open Bandit data, the word `simulated` a shop whose effects are known. Prints tables, then
every bar with what was reached. A missed bar is a result; exit code 1 says that the data are unknown.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

WIDTH = 170


def main() -> int:
    options = parsed()
    # Before numpy and LightGBM are loaded.
    os.environ.update({"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    name = section(options.data)
    if name is None:
        sys.stderr.write(f"{options.data} is none of the data sets that are known; see --help.\n")
        return 1
    measuring = importlib.import_module(f"offer_policies.{name}")
    document = measuring.measured(options.data)
    document["bars"] = list(measuring.bars(document))
    show(measuring, document)
    if options.json:
        options.json.write_text(json.dumps(document, indent=2, default=str), encoding="utf-8")
    return 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="a file or folder of one data set")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write everything measured here")
    return parser.parse_args()


def section(data: Path) -> str | None:
    """The module of `offer_policies` that measures this data set: `measured`, `bars`, `drawn`."""
    if (data / "random").is_dir() and (data / "bts").is_dir():
        return "open_bandit"
    if data.name.startswith("hillstrom"):
        return "hillstrom"
    if data.name == "simulated":
        return "simulated"
    return None


def show(measuring: ModuleType, document: dict[str, Any]) -> None:
    from customer_models.machine import told
    from rich.console import Console

    from patron import console

    out = Console(width=WIDTH, highlight=False)
    out.print(f"Machine: {told()}", markup=False)
    for each in measuring.drawn(document):
        out.print(each, **({"markup": False} if isinstance(each, str) else {}))
    rows = [[each["bar"], each["reached"], each["met"]] for each in document["bars"]]
    out.print(console.table("Bars", ["", "reached", "met"], rows))


if __name__ == "__main__":
    sys.exit(main())
