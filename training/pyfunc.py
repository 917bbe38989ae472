"""The registered models as MLflow loads them: `mlflow.pyfunc.load_model("models:/patron-churn@champion")`.

MLflow keeps this file's text with the model and runs it on loading, so nothing is pickled. The input is a
DataFrame with a column for each feature of the manifest, under its bare name; the output is a column of
churn probabilities or expected values, or of lists of product ids.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel, PythonModelContext

from patron.models.base import open_model


class RegisteredModel(PythonModel):
    def load_context(self, context: PythonModelContext) -> None:
        self.model, self.manifest = open_model(Path(context.artifacts["artifact"]))

    def predict(self, context, model_input, params=None):  # MLflow reads hints as schemas
        rows = {name: model_input[name].to_numpy() for name in model_input.columns}
        model: Any = self.model
        if hasattr(model, "recommend"):
            from patron.models.base import history

            histories = [history(rows, position) for position in range(len(model_input))]
            return [
                [each.product_id for each in model.recommend(one, 10, explain=False)] for one in histories
            ]
        if hasattr(model, "predict") and hasattr(model, "value_tiers"):
            return np.asarray(model.predict(rows, model.horizon_days).expected_value)
        return np.asarray(model.predict(rows))


mlflow.models.set_model(RegisteredModel())
