"""The peers' own services: FastAPI, Feast and a booster, written as one would on a first day.

Run by uvicorn with PEER_FOLDER naming what `peers` prepared. Nothing of Patron is imported.

churn            features of the customers by get_online_features, booster.predict
recommendations  a vector of the customer by get_online_features, its products with all vectors, the best ones
                 by argpartition. With PEER_RANKER also the features that Patron's recommender reads, and
                 booster.predict of its ranker on the best hundred.

No sessions, filters, diversity, reasons, fallbacks, keys or records.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from fastapi import FastAPI
from feast import FeatureStore
from pydantic import BaseModel

FOLDER = Path(os.environ["PEER_FOLDER"])
RANKED = 100
VECTOR = "customer_vector:vector"


class Customers(BaseModel):
    customer_ids: list[str]


class Visit(BaseModel):
    customer_id: str
    limit: int = 10


app = FastAPI()
facts = json.loads((FOLDER / "peers.json").read_text(encoding="utf-8"))
store = FeatureStore(repo_path=str(FOLDER))
churn = lightgbm.Booster(model_file=str(FOLDER / "churn.txt")) if facts["churn"] else None
ranker = lightgbm.Booster(model_file=str(FOLDER / "ranker.txt")) if os.environ.get("PEER_RANKER") else None
vectors = np.load(FOLDER / "vectors.npy")
products = np.array(facts["products"])
names = [each.partition(":")[2] for each in facts["references"]]
columns = churn.feature_name() if churn else []


def features(references: list[str], customers: list[str]) -> dict[str, list[Any]]:
    rows = [{"customer_id": each} for each in customers]
    found: dict[str, list[Any]] = store.get_online_features(features=references, entity_rows=rows).to_dict()
    return found


# `async def`: in a thread of FastAPI's pool each answer costs more, and there is nothing to wait for in turn.
@app.post("/churn")
async def scores(body: Customers) -> dict[str, Any]:
    found = features(facts["references"], body.customer_ids)
    missing = [None] * len(body.customer_ids)
    # What Patron derives from the features before its booster sees them is left missing here.
    rows = np.array([found.get(each, missing) for each in columns], dtype=np.float64).T
    return {"churn_probabilities": churn.predict(rows, num_threads=1).tolist()}


@app.post("/recommendations")
async def recommendations(body: Visit) -> dict[str, Any]:
    wanted = [VECTOR, *facts["recommender_references"]] if ranker else [VECTOR]
    vector = features(wanted, [body.customer_id])["vector"][0]
    values = vectors @ np.asarray(vector, dtype=np.float32)
    kept = RANKED if ranker else body.limit
    best = np.argpartition(-values, kept)[:kept]
    order = ranked(values[best]) if ranker else values[best]
    best = best[np.argsort(-order)][: body.limit]
    return {"items": [{"product_id": str(products[each]), "score": float(values[each])} for each in best]}


def ranked(values: np.ndarray) -> np.ndarray:
    """The ranker's scores; of its inputs a plain service has the product's score, the others stay missing."""
    rows = np.full((len(values), ranker.num_feature()), np.nan, dtype=np.float32)
    rows[:, 0] = values
    return ranker.predict(rows, num_threads=1)
