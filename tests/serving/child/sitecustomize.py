"""Runs first in every process of the served project: what fitting needs cannot be imported, and whatever is
unpickled is written to the file that PATRON_TEST_AUDIT names."""

import importlib.abc
import os
import sys
from pathlib import Path

BLOCKED = {"torch", "implicit", "optuna", "mlflow"}


class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return


def audit(event, arguments):
    if event == "pickle.find_class":
        with Path(os.environ["PATRON_TEST_AUDIT"]).open("a") as file:
            file.write(f"{sys.argv} {arguments}\n")


if "PATRON_TEST_AUDIT" in os.environ:
    sys.meta_path.insert(0, Absent())
    sys.addaudithook(audit)
    with Path(os.environ["PATRON_TEST_AUDIT"] + ".started").open("a") as file:
        file.write(f"{os.getpid()}\n")
