"""Experiments: equal arms looked at daily, true effects, lost units, and what an assignment costs.

    python benchmarks/experiments.py                      # 200 tests of each kind, a minute or two
    python benchmarks/experiments.py --tests 1000 --json experiments.json

Arms are drawn by Patron's own hash under a new salt each time, outcomes come in day by day, and every day is
looked at. Beside a simulated shop, whose effect is known, stand equal arms of real customers whose files are
found: Hillstrom's without an e-mail, and Online Retail's.
Exit code 1 when a bar was missed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main() -> int:
    options = parsed()
    # Before numpy is loaded.
    os.environ.update({"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
    from experimenting.report import run

    return run(options)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--tests", type=int, default=200, help="tests of each kind")
    add("--days", type=int, default=28, help="looks of a test, one a day")
    add("--units", type=int, default=5600, help="customers of a test of the simulated shop")
    add("--data", type=Path, help="folder of the real data; default PATRON_TEST_DATA, else ../shared/data")
    add("--json", type=Path, metavar="PATH", help="also write everything measured here")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
