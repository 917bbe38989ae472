"""The home of the generated shop that scoring and parity use."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from storefront.home import Home

from customer_models.machine import HERE, environment
from patron import console
from patron.errors import PatronError

MODELS = ("churn", "lifetime-value", "portrait", "replenishment", "offers")


class NotMade(PatronError):
    """The home lacks what a section needs."""


def home(options: argparse.Namespace) -> Home:
    """The home, with what it lacks made by a process of its own. Raises NotMade."""
    found = Home(options.home, options.customers, options.products)
    if options.as_it_is:
        return found
    console.note(f"Making what {options.home} lacks; with 100,000 customers that takes half an hour, once")
    size = [str(options.customers), str(options.products)]
    command = [sys.executable, "-m", "storefront.home", str(found.folder), *size, *MODELS]
    more = {**environment(), "PATRON_CONFIG": os.environ["PATRON_CONFIG"]}
    if subprocess.run(command, cwd=HERE, env=more, stdout=sys.stderr).returncode:
        raise NotMade(f"The home {options.home} could not be made; what is made of it stays.")
    return found
