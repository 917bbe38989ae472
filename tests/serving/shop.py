"""A small shop with real features and real models, promoted as training would: what the service answers from.

Beside random customers it has some who can be told by name:
- ann buys tea (p00) with a cup (p01) every ten days until the end, and agreed to everything
- bob bought once, on the first day
- cleo does as ann, and wants no offers
- dan does as ann, and wants no personal recommendations
- eve signed up and bought nothing
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from features.build import build
from features.offline import snapshot
from features.store import materialize
from patron.artifacts import install, seal
from patron.models.base import Interactions, Model, class_path
from patron.models.blend import Blend, BlendConfig
from patron.models.catalogue import Catalogue
from patron.models.churn import Churn, ChurnConfig
from patron.models.lifetime_value import LifetimeValue, LifetimeValueConfig
from patron.models.offer_config import OfferPolicyConfig
from patron.models.offer_log import OfferLog
from patron.models.offers import OfferPolicy
from patron.models.portrait import Portrait, PortraitConfig
from patron.models.segments import Segments, SegmentsConfig
from patron.offers.catalogue import shop_catalogue
from patron.settings import Settings, load_settings
from tests.shops import line, random_shop, write_lake
from training.replenishment import ReplenishmentJob

START = datetime(2024, 1, 1, tzinfo=UTC)
END = START + timedelta(days=200)
CUTOFFS = [END - timedelta(days=each) for each in (120, 90, 60, 30, 0)]
HORIZON = 30


OFFERS: list[dict[str, Any]] = [
    {"offer_id": "coupon", "kind": "coupon", "cost": 0.5},
    {
        "offer_id": "gold-gift",
        "kind": "early_access",
        "cost": 9,
        "min_tier": "gold",
        "channels": ["email"],
    },
    {"offer_id": "over", "kind": "coupon", "valid_to": END - timedelta(days=1)},
]


def tables() -> dict[str, list[dict[str, Any]]]:
    shop = random_shop(customers=80, products=30, days=199, start=START)
    for day in range(0, 199, 10):
        for name in ("ann", "cleo", "dan"):
            at = START + timedelta(days=day, hours=9)
            shop["order_lines"] += [line(name, "p00", at, 2), line(name, "p01", at)]
    shop["order_lines"] += [
        line("bob", "p02", START + timedelta(hours=1)),
        line("ann", "p02", END - timedelta(hours=9)),
    ]
    shop["customers"] += [
        {"customer_id": "ann", "region": "north", "tier": "gold", "attributes": '{"newsletter": true}'},
        {"customer_id": "cleo", "consent_offers": False},
        {"customer_id": "dan", "consent_recommend": False},
        {"customer_id": "eve", "region": "south", "tier": "basic"},
    ]
    shop["offers"] = OFFERS
    for each in shop["products"][:3]:
        each["brand"] = "Leaf"
    return shop


def settings_of(home: Path, **more: Any) -> Settings:
    return load_settings(
        home=home, mlruns=home / "mlruns", threads=1, memory_limit="512MB", clock="data", **more
    )


def open_shop(home: Path) -> Settings:
    """Write the lake, build and load features, fit and promote the models."""
    shop = tables()
    write_lake(home, **shop)
    settings = settings_of(home)
    build(settings, CUTOFFS)
    materialize(settings)
    for name, model in models(settings, shop):
        promote(settings, name, model)
    return settings


def models(settings: Settings, shop: dict[str, list[dict[str, Any]]]) -> list[tuple[str, Model]]:
    return [
        ("patron-churn", churn(settings, shop)),
        ("patron-lifetime-value", value(settings, shop)),
        ("patron-recommender", recommender(shop)),
        ("patron-portrait", portrait(settings)),
        ("patron-replenishment", replenishment(settings)),
        ("patron-offers", offers(settings)),
    ]


def promote(settings: Settings, name: str, model: Model, version: str = "1") -> None:
    """Save, seal and install, as training does."""
    folder = settings.home / "runs" / name / version
    folder.mkdir(parents=True)
    model.save(folder)
    seal(
        folder,
        name=name,
        model=class_path(model),
        version=f"run-{version}",
        trained_at=END,
        cutoff=END,
        data_hash="test",
        features=getattr(model, "references", {}),
        parameters={},
    )
    install(folder, settings.models, version)


def after(shop: dict[str, Any], ids: list[str], cutoff: datetime) -> tuple[Any, Any]:
    """(revenue, orders) of each customer within the horizon after the cutoff."""
    found = {each: (0.0, set()) for each in ids}
    for each in shop["order_lines"]:
        inside = cutoff <= each["ordered_at"] < cutoff + timedelta(days=HORIZON)
        if inside and each["customer_id"] in found:
            spent, orders = found[each["customer_id"]]
            found[each["customer_id"]] = (
                spent + each["quantity"] * each["unit_price"],
                orders | {each["order_id"]},
            )
    return np.array([found[each][0] for each in ids]), np.array([len(found[each][1]) for each in ids])


def labelled(settings: Settings, shop: dict[str, Any], model: Any, cutoff: datetime) -> tuple[Any, Any, Any]:
    rows = snapshot(settings, list(model.references), cutoff)
    return rows.columns, *after(shop, rows.ids, cutoff)


def churn(settings: Settings, shop: dict[str, Any]) -> Churn:
    model = Churn(ChurnConfig(kind="logistic"))
    rows, _, orders = labelled(settings, shop, model, CUTOFFS[1])
    model.fit(rows, orders == 0, HORIZON, seed=1)
    rows, _, orders = labelled(settings, shop, model, CUTOFFS[2])
    return model.calibrate(rows, orders == 0)


def value(settings: Settings, shop: dict[str, Any]) -> LifetimeValue:
    model = LifetimeValue(LifetimeValueConfig(kind="btyd"))
    rows, revenue, orders = labelled(settings, shop, model, CUTOFFS[1])
    model.fit(rows, revenue, orders, HORIZON, seed=1)
    rows, revenue, _ = labelled(settings, shop, model, CUTOFFS[2])
    return model.calibrate(rows, revenue)


def offers(settings: Settings) -> OfferPolicy:
    """A coupon that doubles orders, and others that nobody was shown yet."""
    segments = Segments(SegmentsConfig(horizon_days=HORIZON))
    segments.fit(snapshot(settings, list(segments.references), END).columns)
    policy = OfferPolicy(OfferPolicyConfig(epsilon=0.2, thompson=0, left_alone=0, least_exposures=100))
    rows = snapshot(settings, list(policy.references), END).columns
    ordered = np.concatenate([np.arange(200) < 200 * rate for rate in (0.4, 0.2)]).astype(float)
    shown = np.repeat(["coupon", "none"], 200)
    log = OfferLog(
        rows={name: np.resize(values, 400) for name, values in rows.items()},
        offer_id=shown,
        propensity=np.full(400, 0.5),
        converted=np.where(shown == "coupon", ordered, 0.0),
        value=50 * ordered,
        ordered=ordered,
        margin=15 * ordered,
        randomised=np.ones(400, dtype=bool),
    )
    return policy.fit(log, shop_catalogue(settings).offers, segments)


def portrait(settings: Settings) -> Portrait:
    model = Portrait(PortraitConfig(segments=SegmentsConfig(horizon_days=HORIZON)))
    return model.fit(snapshot(settings, list(model.learned_from), END).columns, seed=1)


def replenishment(settings: Settings) -> Model:
    return ReplenishmentJob(settings).fit("hazard", shipped=True)


def recommender(shop: dict[str, Any]) -> Blend:
    lines = sorted(
        (each for each in shop["order_lines"] if each["quantity"] > 0), key=lambda each: each["ordered_at"]
    )
    names = sorted({each["product_id"] for each in lines})
    people = sorted({each["customer_id"] for each in lines} - {None})
    orders = sorted({each["order_id"] for each in lines})
    codes = {
        name: {each: code for code, each in enumerate(values)}
        for name, values in {"product": names, "customer": people, "order": orders}.items()
    }
    blend = Blend(BlendConfig())
    blend.fit(
        Interactions(
            customer=np.array([codes["customer"].get(each["customer_id"], -1) for each in lines]),
            order=np.array([codes["order"][each["order_id"]] for each in lines]),
            product=np.array([codes["product"][each["product_id"]] for each in lines]),
            at=np.array([int(each["ordered_at"].timestamp()) for each in lines]),
            product_ids=np.array(names),
            as_of=int(END.timestamp()),
        ),
        catalogue(shop["products"]),
    )
    return blend


def catalogue(products: list[dict[str, Any]]) -> Catalogue:
    size = len(products)
    return Catalogue(
        product_ids=np.array([each["product_id"] for each in products]),
        titles=np.array([each["title"] for each in products]),
        categories=np.array([each["category"] for each in products]),
        brands=np.array([each.get("brand", "") for each in products]),
        prices=np.array([each["price"] for each in products]),
        costs=np.full(size, np.nan),
        in_stock=np.ones(size, dtype=bool),
        visible=np.ones(size, dtype=bool),
    )
