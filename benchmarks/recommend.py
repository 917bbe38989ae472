"""Patron's recommenders beside named peers: same purchases, customers and metrics, one table a reading.

    python benchmarks/recommend.py --data ../shared/data/amazon_beauty.txt --protocol leave-one-out
    python benchmarks/recommend.py --data complete-journey --protocol global --models als ease "implicit ALS"

Every model is fitted in a process of its own. Settings are chosen on the validation panel alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

PROTOCOLS = ("leave-one-out", "global", "speed")


def main() -> int:
    options = parsed()
    from recommending.benchmark import run

    return run(options)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", help="a data set's file, or complete-journey; without it, each that is found"
    )
    parser.add_argument("--protocol", choices=PROTOCOLS, help="default: what the data set has times for")
    parser.add_argument(
        "--models", nargs="+", metavar="NAME", help="only these; an unknown name lists them all"
    )
    parser.add_argument("--reference", help="the candidate that others are compared to; default: the best of "
                        "Patron's single ones on the validation panel")  # fmt: skip
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="for each fit of a sequence model, ours or a peer"
    )
    parser.add_argument("--repeats", type=int, default=3, help="rounds of the speed section; 0: none")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write everything measured here")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
