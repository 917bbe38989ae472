"""Customer models: fits beside published ones and peers, backtests, scoring by the hundred thousand.

    python benchmarks/customers.py                                     # everything
    python benchmarks/customers.py --only cdnow
    python benchmarks/customers.py --only scoring --home var/bench-serve
    python benchmarks/customers.py --only backtest --backtest-home /tmp/online-retail

Sections: cdnow (buy-till-you-die fits on CDNOW), scoring (every customer of a generated shop, beside a plain
pandas + LightGBM loop), backtest (Online Retail, churn and value at several test cutoffs), parity (batch rows
and the answers of the service, offline and online features). Prints tables, then every bar with what was
reached. Exit code 1 when something that was asked for did not run; a missed bar is a result.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

SECTIONS = ("cdnow", "scoring", "backtest", "parity")
QUICK = {"customers": 400, "products": 300, "rounds": 1, "sampled": 100}


def main() -> int:
    options = parsed()
    # Before numpy and LightGBM are loaded.
    os.environ.update({"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
    from customer_models.benchmark import run

    return run(options)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    add("--data", type=Path, help="folder of CDNOW and Online Retail; default PATRON_TEST_DATA")
    add("--home", type=Path, default=Path("var/bench-serve"), help="the generated shop's: made once and kept")
    add(
        "--backtest-home",
        type=Path,
        help="Online Retail's: made once and kept; default: made anew and thrown away",
    )
    add("--as-it-is", action="store_true", help="use --home as it stands; make nothing")
    add("--customers", type=int, default=100_000)
    add("--products", type=int, default=50_000)
    add("--sampled", type=int, default=1000, help="customers whose batch rows and answers are compared")
    add("--tests", type=int, default=4, help="test cutoffs of a backtest")
    add("--rounds", type=int, default=3, help="in turn with the peers")
    add("--no-peers", dest="peers", action="store_false", help="Patron alone")
    add("--quick", action="store_true", help="a tiny shop: does it run?")
    add("--json", type=Path, metavar="PATH", help="also write everything measured here")
    options = parser.parse_args()
    if options.quick:
        parser.set_defaults(**QUICK)
        options = parser.parse_args()
    return options


if __name__ == "__main__":
    sys.exit(main())
