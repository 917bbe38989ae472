"""The registered models as MLflow loads them: `mlflow.pyfunc.load_model("models:/patron-churn@champion")`.

MLflow keeps this file's text with the model and runs it on loading, so nothing is pickled. The input is a
DataFrame with a column for each feature of the manifest, under its bare name. The answer is an array of
churn probabilities, of expected values, of segments, of the greedy offer, or a list of the best ten product
ids, or of the ten that are most likely needed again.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from patron.models.base import history, open_model
from patron.offers.eligibility import outside


class RegisteredModel(PythonModel):
    def load_context(self, context: PythonModelContext) -> None:
        self.model, self.manifest = open_model(Path(context.artifacts["artifact"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> Any:
        rows = {name: model_input[name].to_numpy() for name in model_input.columns}
        return ANSWERS[self.manifest.name](self.model, rows, len(model_input))


def products(model: Any, rows: dict[str, Any], size: int) -> list[list[str]]:
    histories = [history(rows, position) for position in range(size)]
    return [[each.product_id for each in model.recommend(one, 10, explain=False)] for one in histories]


def values(model: Any, rows: dict[str, Any], size: int) -> Any:
    return model.predict(rows).expected_value


def offers(model: Any, rows: dict[str, Any], size: int) -> Any:
    """The arm of the highest expected margin, of the offers of the fit that are valid now."""
    now = pd.Timestamp.now("UTC").to_pydatetime()
    worth = model.worth(rows, [each for each in model.offers if outside(each, now, None) is None])
    return np.array([worth.names[model.best(worth, row)] for row in range(size)], dtype=object)


def needed(model: Any, rows: dict[str, Any], size: int) -> list[list[str]]:
    found = model.table(rows, 10)
    return [found.product_ids[found.customer == row].tolist() for row in range(size)]


ANSWERS = {
    "patron-recommender": products,
    "patron-churn": lambda model, rows, size: model.predict(rows),
    "patron-lifetime-value": values,
    "patron-portrait": lambda model, rows, size: model.segment(rows),
    "patron-replenishment": needed,
    "patron-offers": offers,
}

mlflow.models.set_model(RegisteredModel())
