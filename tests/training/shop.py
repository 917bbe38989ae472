"""A shop small enough to train on in seconds, with habits, people who leave, and offers that work."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from features.build import build
from features.store import apply, materialize
from patron.settings import PROJECT, Settings, load_settings
from tests.shops import random_shop, write_lake

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 400
POOR = {"trees": 1, "leaves": 2, "shrinkage": 1e9}
"""Parameters with which churn is predicted badly."""
OFFERS = ("coupon-a", "coupon-b", "points-a", "points-b")
SMALLER = {
    "churn": {"trees = 200": "trees = 40", "leaves = 8": "leaves = 4"},
    "lifetime-value": {"trees = 300": "trees = 40", "leaves = 8": "leaves = 4"},
    "offers": {
        '"patron-offers:plan",': '"patron-offers:plan", "trial",',
        ', "x_logistic", "dr_logistic", "t_trees", "x_trees", "dr_trees"': "",
    },
    "recommender": {"factors = 64": "factors = 8\niterations = 4"},
}


def tables(customers: int = 200, days: int = DAYS, seed: int = 7) -> dict[str, list[dict[str, Any]]]:
    shop = random_shop(customers=customers, products=40, days=days, seed=seed, start=START)
    shop["offers"] = [
        {"offer_id": each, "name": each, "kind": "coupon" if "coupon" in each else "points", "cost": 1}
        for each in OFFERS
    ]
    shop["exposures"] = exposures(shop["order_lines"], days, seed)
    return shop


def exposures(lines: list[dict[str, Any]], days: int, seed: int) -> list[dict[str, Any]]:
    """One offer or none at random to every customer each month from the third on; who buys often responds
    often, and buys as much without."""
    rng = np.random.default_rng(seed)
    counted: dict[str, set[str]] = {}
    for each in lines:
        if each["customer_id"]:
            counted.setdefault(each["customer_id"], set()).add(each["order_id"])
    usual = np.median([len(each) for each in counted.values()])
    found = []
    for day in range(90, days - 5, 30):
        for customer, orders in sorted(counted.items()):
            offer = str(rng.choice([*OFFERS, "none"]))
            responds = rng.random() < (0.6 if len(orders) > usual else 0.05)
            converted = bool(responds and offer != "none")
            found.append(
                {
                    "decision_id": f"d{len(found):05d}",
                    "customer_id": customer,
                    "offer_id": offer,
                    "shown_at": START + timedelta(days=day, hours=float(rng.uniform(0, 12))),
                    "propensity": 1 / (len(OFFERS) + 1),
                    "policy": "trial",
                    "arm": offer.split("-")[0],
                    "converted": converted,
                    "value": 20 if converted else None,
                }
            )
    return found


def settings_of(home: Path, **more: Any) -> Settings:
    wanted = {
        "home": home,
        "mlruns": home / "mlruns",
        "configs": home / "configs",
        "threads": 1,
        "memory_limit": "512MB",
        "clock": "data",
        "cutoff_step_days": 28,
        "churn_horizon_days": 28,
        "value_horizon_days": 56,
        "test_window_days": 28,
    }
    return load_settings(**{**wanted, **more})


def small_configs(home: Path) -> None:
    """The project's configs with few trees and short vectors, in `home/configs`."""
    shutil.copytree(PROJECT / "configs", home / "configs", dirs_exist_ok=True)
    for name, changes in SMALLER.items():
        path = home / "configs" / "models" / f"{name}.toml"
        text = path.read_text(encoding="utf-8")
        for before, after in changes.items():
            assert before in text, f"{path.name} no longer says {before}"
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")


def open_shop(home: Path, shop: dict[str, list[dict[str, Any]]] | None = None, **more: Any) -> Settings:
    """Write the lake, build features and load them: everything before training."""
    write_lake(home, **(shop or tables()))
    small_configs(home)
    settings = settings_of(home, **more)
    build(settings)
    apply(settings)
    materialize(settings)
    return settings


def copied(settings: Settings, home: Path, empty_store: Path) -> Settings:
    """The same lake and features under another home, with an MLflow store of its own and no models yet."""
    for part in ("lake", "features", "online", "configs"):
        shutil.copytree(settings.home / part, home / part)
    (home / "mlruns").mkdir()
    shutil.copy(empty_store, home / "mlruns" / "mlflow.db")
    return settings_of(home)
