"""A trained home of the shop: lake, features, online store and champions, each made once and kept.

`python -m storefront.home FOLDER CUSTOMERS PRODUCTS [MODEL ...]` makes what is missing, in a process that
ends with it; where models are named, of the models only those.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from patron import console
from patron.artifacts import NAMES
from patron.files import publish_json
from patron.settings import PROJECT, Settings, load_settings
from storefront.shop import Size, shop

STEP_DAYS = 28
HORIZON_DAYS = 56
VALUE_HORIZON_DAYS = 84
CUTOFFS = 10
"""The newest one and those before it, a step apart: enough to fit, calibrate and test every model."""
PANEL = 2500
"""Customers of each window that the recommender learns from and is judged on."""
OVERRIDES: dict[str, dict[str, Any]] = {
    "churn": {"trees": 300},
    "recommender": {"als": {"iterations": 8}},
}
"""Settings in place of those of configs/models/."""


TRAINED = ("churn", "lifetime-value", "portrait", "replenishment", "offers", "recommender")

MODELS = (
    f"by Patron's own training jobs, at {CUTOFFS} cutoffs {STEP_DAYS} days apart; less than what ships: the "
    f"recommender learns from {PANEL:,} customers of each window, and ALS from 8 iterations instead of 16"
)


def settings_of(folder: Path, **more: Any) -> Settings:
    """The settings that everything in the home runs with, whatever configs/local.toml says."""
    os.environ.update(environment(folder))
    return load_settings(**more)


def environment(folder: Path) -> dict[str, str]:
    return {"PATRON_CONFIG": str(config_file(folder))}


def config_file(folder: Path) -> Path:
    """A settings file of the home's own."""
    path = folder / "patron.toml"
    text = "\n".join(
        [
            f'home = "{folder / "var"}"',
            f'mlruns = "{folder / "mlruns"}"',
            f'configs = "{PROJECT / "configs"}"',
            'clock = "wall"',
            "threads = 1",
            f"cutoff_step_days = {STEP_DAYS}",
            f"max_cutoffs = {CUTOFFS}",
            f"churn_horizon_days = {HORIZON_DAYS}",
            f"value_horizon_days = {VALUE_HORIZON_DAYS}",
            f"test_window_days = {STEP_DAYS}",
            "",
        ]
    )
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path


class Home:
    """The folder, and what of it is made: {step: {"of": what it was made from, "seconds": ...}}."""

    def __init__(self, folder: Path, customers: int, products: int) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.made_path = self.folder / "made.json"
        self.size = Size(customers, products, until=self._until())
        self.settings = settings_of(self.folder)

    def _until(self) -> datetime:
        """The shop is open: its orders end where the day began on which the home was made."""
        kept = self.made.get("lake", {}).get("until")
        if kept:
            return datetime.fromisoformat(kept)
        return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    @property
    def made(self) -> dict[str, Any]:
        if not self.made_path.is_file():
            return {}
        found: dict[str, Any] = json.loads(self.made_path.read_text(encoding="utf-8"))
        return found

    @contextmanager
    def step(self, name: str, of: str) -> Iterator[dict[str, Any] | None]:
        """None where it was made of the same before; else where to put what is to be told of it."""
        if self.made.get(name, {}).get("of") == of:
            yield None
            return
        console.note(f"{self.folder.name}: making {name}")
        told: dict[str, Any] = {}
        started = time.perf_counter()
        yield told
        entry = {"of": of, "seconds": round(time.perf_counter() - started, 1), **told}
        publish_json(self.made_path, {**self.made, name: entry})
        console.note(f"{self.folder.name}: {name} took {entry['seconds']:,.0f} s")

    def make(self, models: Sequence[str] = ()) -> None:
        """Whatever is missing, or was made by other code."""
        self.make_lake()
        self.make_features()
        for short in models or TRAINED:
            self.make_model(short)
        self.make_online()

    def make_lake(self) -> None:
        with self.step("lake", f"{self.size} {code(Path(__file__).parent, 'shop.py', 'lake.py')}") as told:
            if told is not None:
                from storefront.lake import write

                told |= {"until": self.size.until.isoformat(), "rows": write(self.settings, shop(self.size))}

    def make_features(self) -> None:
        with self.step("features", f"{self.lake} {code(PROJECT / 'features', '*.py')}") as told:
            if told is not None:
                from features.build import build
                from features.store import apply

                told["rows"] = build(self.settings, advance=lambda what, _: console.note(f"  {what}"))["rows"]
                apply(self.settings)

    def make_online(self) -> None:
        with self.step("online", f"{self.made['features']['of']}") as told:
            if told is not None:
                from features.store import materialize

                told["rows"] = materialize(self.settings)["rows"]

    def make_model(self, short: str) -> None:
        """Trained, judged and promoted as `patron train` does. A champion stays until it is removed."""
        of = f"{self.lake} {OVERRIDES.get(short, {})} {PANEL}"
        with self.step(f"patron-{short}", of) as told:
            if told is not None:
                told |= train(self.settings, short)

    @property
    def lake(self) -> str:
        """What everything was learned from."""
        return str(self.made["lake"]["of"])

    def forget(self, names: tuple[str, ...] = NAMES) -> None:
        """Let the next `make` train these again."""
        kept = {name: each for name, each in self.made.items() if name not in names}
        publish_json(self.made_path, kept)


def train(settings: Settings, short: str) -> dict[str, Any]:
    from training.run import train as run

    outcome = run(opened(settings, short), lambda what: console.note(f"  {what}"))
    return {key: outcome[key] for key in ("outcome", "kind", "version", "gate")}


def opened(settings: Settings, short: str) -> Any:
    """The job; the recommender's learns from a sample of each window's customers."""
    overrides = OVERRIDES.get(short, {})
    if short != "recommender":
        from training.jobs import open_job

        return open_job(settings, short, overrides)
    from training.purchases import Basket
    from training.recommender import RecommenderJob

    class Sampled(RecommenderJob):
        """The recommender's job on a sample of the customers of each window."""

        def basket(self, cutoff: datetime, product_ids: Any) -> Basket:
            return sample(super().basket(cutoff, product_ids), PANEL, settings.seed)

    return Sampled(settings, overrides)


def sample(basket: Any, count: int, seed: int) -> Any:
    """The basket of `count` customers, drawn by the seed, in their order."""
    import numpy as np

    size = len(basket.customers)
    rows = np.sort(np.random.default_rng(seed).permutation(size)[:count]).tolist()
    pick: Callable[[list[Any]], list[Any]] = lambda each: [each[row] for row in rows]  # noqa: E731
    return type(basket)(pick(basket.customers), pick(basket.bought), pick(basket.before))


def code(folder: Path, *patterns: str) -> str:
    """Hash of the files of a folder that match."""
    found = sorted(path for pattern in patterns for path in folder.glob(pattern))
    return hashlib.sha256(b"".join(path.read_bytes() for path in found)).hexdigest()[:16]


def main() -> int:
    folder, customers, products, *models = sys.argv[1:]
    Home(Path(folder), int(customers), int(products)).make(models)
    return 0


if __name__ == "__main__":
    sys.exit(main())
