"""One odd shop with features at many cutoffs, built once; tests only read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from patron.settings import Settings
from tests.features.brute_force import Shop
from tests.features.snapshots import START, built, odd_shop


@dataclass(frozen=True)
class Built:
    settings: Settings
    shop: Shop
    cutoffs: list[datetime]
    customers: list[str]


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    rng = np.random.default_rng(3)
    home: Path = tmp_path_factory.mktemp("odd-shop")
    cutoffs = [START + timedelta(days=int(each)) for each in sorted(rng.choice(435, 16, replace=False) + 5)]
    tables = odd_shop()
    settings = built(home, cutoffs, **tables)
    names = {each["customer_id"] for each in tables["order_lines"]} - {None}
    yield Built(settings, Shop(**tables), cutoffs, sorted(names | {"never-seen"}))
