"""Peers of the service, prepared from the same home: Feast on Redis, a booster's text, an MLflow model."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from patron import console
from patron.artifacts import champion
from storefront.home import Home, environment
from storefront.processes import Server, free_port

FACTORS = 64
BATCH = 20_000
SEED = 3
REDIS_MISSING = "no redis-server; get it: apt-get install redis-server"
CLIENT_MISSING = "no Redis client beside Feast; get it: pip install 'patron[redis]'"
VECTOR_VIEW = "customer_vector"


def folder(home: Home) -> Path:
    return home.folder / "peers"


def redis_problem() -> str:
    """Why Feast cannot be run on Redis here; empty where it can."""
    from importlib.util import find_spec

    if shutil.which("redis-server") is None:
        return REDIS_MISSING
    return "" if find_spec("redis") else CLIENT_MISSING


def redis(home: Home, cores: set[int], port: int) -> Server:
    """Redis on what was saved when it was loaded; it writes nothing by itself."""
    where = folder(home) / "redis"
    where.mkdir(parents=True, exist_ok=True)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    return Server("redis", [*command, "--dir", str(where)], port, where, cores=cores)


def write_config(home: Home, port: int) -> None:
    """feature_store.yaml on this run's Redis."""
    where = folder(home)
    where.mkdir(parents=True, exist_ok=True)
    (where / "feature_store.yaml").write_text(
        "project: shop\n"
        "provider: local\n"
        f"registry: {where / 'registry.db'}\n"
        "offline_store:\n  type: duckdb\n"
        f'online_store:\n  type: redis\n  connection_string: "127.0.0.1:{port}"\n'
        "entity_key_serialization_version: 3\n",
        encoding="utf-8",
    )


@contextmanager
def running_redis(home: Home, cores: set[int]) -> Iterator[Server]:
    """Redis that holds what the peers read; loaded where it was not."""
    port = free_port()
    with redis(home, cores, port) as server:
        if not wait_loaded(port):
            home.forget(("redis",))
        write_config(home, port)
        with home.step("redis", loaded_from(home)) as told:
            if told is not None:
                told["rows"] = load(home, port)
        yield server


def used(home: Home) -> list[str]:
    """Names of the views that the peers read."""
    from features.views import split

    return list(split([*references(home), *recommender_references(home)]))


def loaded_from(home: Home) -> str:
    """What Redis was loaded from: the newest snapshots, told by their hashes."""
    from features import build

    day = f"{build.built_cutoffs(home.settings)[-1]:%Y-%m-%d}"
    known = build.index(home.settings)["views"]
    return f"{ {name: known[name][day]['hash'] for name in used(home)} } {FACTORS}"


def wait_loaded(port: int) -> bool:
    """Wait until Redis has read its file; whether there was one."""
    from redis import Redis
    from redis.backoff import ConstantBackoff
    from redis.exceptions import BusyLoadingError
    from redis.retry import Retry

    again = Retry(ConstantBackoff(0.2), 300)
    with Redis("127.0.0.1", port, retry=again, retry_on_error=[BusyLoadingError]) as it:
        return bool(it.dbsize())


def references(home: Home) -> list[str]:
    """What Patron's churn model reads."""
    return sorted(champion(home.settings.models, "patron-churn").manifest.features)


def recommender_references(home: Home) -> list[str]:
    """What Patron's recommendations read of a customer in the feature store."""
    from patron.models.base import HISTORY, PROFILE

    return [*HISTORY, *PROFILE]


def load(home: Home, port: int) -> dict[str, int]:
    """The newest snapshots, and a vector a customer, into Redis by Feast; then saved to its file."""
    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.types import Array, Float32
    from redis import Redis

    from features import build
    from features.store import entities, feast_view
    from features.views import named

    store = FeatureStore(repo_path=str(folder(home)))
    with Redis("127.0.0.1", port) as plain:
        plain.flushall()
    cutoff = build.built_cutoffs(home.settings)[-1]
    names = used(home)
    views = [feast_view(home.settings, named(name)) for name in names]
    vector = FeatureView(
        name=VECTOR_VIEW,
        entities=[Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)],
        schema=[Field(name="vector", dtype=Array(Float32))],
        source=FileSource(
            name="vectors", path=str(folder(home) / "vectors.parquet"), timestamp_field="event_timestamp"
        ),
    )
    store.apply([entities()["customer"], *views, vector])
    rows = {}
    for name in names:
        console.note(f"  {name} into Redis")
        part = pd.read_parquet(build.folder(home.settings, name, cutoff) / "part.parquet")
        rows[name] = written(store, name, part)
    console.note(f"  {VECTOR_VIEW} into Redis")
    rows[VECTOR_VIEW] = written(store, VECTOR_VIEW, customer_vectors(part["customer_id"], cutoff))
    with Redis("127.0.0.1", port, socket_timeout=300) as plain:
        plain.save()
    return rows


def written(store: Any, view: str, frame: Any) -> int:
    for start in range(0, len(frame), BATCH):
        store.write_to_online_store(view, df=frame.iloc[start : start + BATCH])
    return len(frame)


def customer_vectors(customers: Any, cutoff: datetime) -> Any:
    """Drawn by a seed: what a product of numbers costs does not hang on them."""
    import pandas as pd

    values = np.random.default_rng(SEED).standard_normal((len(customers), FACTORS), dtype=np.float32)
    return pd.DataFrame({"customer_id": customers, "vector": list(values), "event_timestamp": cutoff})


def prepare(home: Home, products: list[str]) -> None:
    """The files that the peers' services read beside Redis."""
    where = folder(home)
    where.mkdir(parents=True, exist_ok=True)
    texts = {"churn": "patron-churn/trees.txt", "ranker": "patron-recommender/ranker.txt"}
    found = {}
    for name, path in texts.items():
        model, _, file = path.partition("/")
        text = champion(home.settings.models, model).folder / file
        found[name] = text.is_file()
        if found[name]:
            shutil.copyfile(text, where / f"{name}.txt")
    vectors = np.random.default_rng(SEED + 1).standard_normal((len(products), FACTORS), dtype=np.float32)
    np.save(where / "vectors.npy", vectors)
    facts = {
        **found,
        "products": products,
        "references": references(home),
        "recommender_references": recommender_references(home),
    }
    (where / "peers.json").write_text(json.dumps(facts), encoding="utf-8")


def has(home: Home, name: str) -> bool:
    """Whether a champion's trees were there to copy: `churn` or `ranker`."""
    facts = json.loads((folder(home) / "peers.json").read_text(encoding="utf-8"))
    return bool(facts[name])


def fastapi(home: Home, name: str, cores: set[int], **environment: str) -> Server:
    """The service of `peer_apps` on one uvicorn worker."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "storefront.peer_apps:app", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    more = {"PEER_FOLDER": str(folder(home)), "PYTHONPATH": str(Path(__file__).parents[1]), **environment}
    return Server(name, command, port, home.folder / "logs", ready="/docs", cores=cores, environment=more)


def feast_serve(home: Home, name: str, cores: set[int]) -> Server:
    """Feast's own server, which only reads features. It would replace its worker every thousand requests."""
    port = free_port()
    command = [sys.executable, "-c", "from feast.cli.cli import cli; cli()"]
    command += ["--chdir", str(folder(home)), "serve"]
    command += ["--port", str(port), "--workers", "1", "--no-access-log", "--max-requests", "0"]
    return Server(name, command, port, home.folder / "logs", ready="/health", cores=cores)


def mlflow_serve(home: Home, name: str, cores: set[int]) -> Server:
    """MLflow's own server on the churn booster; it reads no features, they come with the request."""
    port, model = free_port(), folder(home) / "mlflow-model"
    with home.step("mlflow", home.made["patron-churn"]["of"]) as told:
        if told is not None:
            save_mlflow(home, model)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(model)]
    command += ["--env-manager", "local", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    return Server(name, command, port, home.folder / "logs", ready="/ping", cores=cores)


def save_mlflow(home: Home, model: Path) -> None:
    import lightgbm
    import mlflow.lightgbm

    shutil.rmtree(model, ignore_errors=True)
    booster = lightgbm.Booster(model_file=str(folder(home) / "churn.txt"))
    mlflow.lightgbm.save_model(booster, str(model), pip_requirements=["lightgbm"])


def patron(home: Home, name: str, cores: set[int]) -> Server:
    """The service as `patron serve` starts it, with one worker."""
    port = free_port()
    command = [sys.executable, "-m", "patron", "serve", "--port", str(port), "--workers", "1"]
    more = {**environment(home.folder), "PYTHONPATH": str(Path(__file__).parents[2])}
    return Server(name, command, port, home.folder / "logs", ready="/readyz", cores=cores, environment=more)
