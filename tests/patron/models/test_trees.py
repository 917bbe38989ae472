"""Trees without LightGBM's package answer what LightGBM answers: scores to the last bit, reasons to 1e-12."""

from __future__ import annotations

import copy
import subprocess
import sys
import threading
from functools import cache

import lightgbm
import numpy as np
import pytest

from patron.errors import ArtifactError
from patron.models.native_trees import CONTRIBUTIONS, NativeTrees
from patron.models.tree_shap import AT_ONCE, ShapTable
from patron.models.trees import MANY, Trees, TreesConfig

INPUTS = 6


def table(rows: int, seed: int) -> np.ndarray:
    """Inputs with gaps, zeros, infinities and values on the thresholds."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, INPUTS)).round(1)
    values[rng.random(values.shape) < 0.15] = np.nan
    values[rng.random(values.shape) < 0.02] = np.inf
    values[rng.random(values.shape) < 0.02] = -np.inf
    return values


@cache
def fitted(leaves: int = 8, trees: int = 40) -> Trees:
    inputs = table(800, 1)
    known = np.nan_to_num(inputs, posinf=3, neginf=-3)
    outcome = (known[:, 0] + known[:, 1] * known[:, 2] > 0).astype(np.float64)
    names = tuple(f"input_{each}" for each in range(INPUTS))
    config = TreesConfig(leaves=leaves, trees=trees, feature_fraction=0.8)
    return Trees.fit(names, inputs, outcome, config, seed=1, threads=1, objective="binary")


@pytest.mark.parametrize("leaves", [2, 8, 31])
def test_scores_and_reasons_are_lightgbms(leaves: int) -> None:
    trees, rows = fitted(leaves), table(300, 2)
    booster = lightgbm.Booster(model_str=trees.text)
    scores = booster.predict(rows, raw_score=True, num_threads=1)
    reasons = booster.predict(rows, pred_contrib=True, num_threads=1)[:, :-1]
    assert (trees.shap is None) == (leaves > 8)
    np.testing.assert_array_equal(trees.raw(rows), scores)
    np.testing.assert_array_equal([trees.raw(row[None])[0] for row in rows], scores)
    np.testing.assert_array_equal([trees.explained(row)[0] for row in rows], scores)
    np.testing.assert_allclose(trees.contributions(rows), reasons, atol=1e-12)
    np.testing.assert_array_equal([trees.explained(row)[1] for row in rows], trees.contributions(rows))


def test_float32_rows_are_read_as_they_are() -> None:
    trees, rows = fitted(), table(50, 3).astype(np.float32)
    scores = lightgbm.Booster(model_str=trees.text).predict(rows, raw_score=True, num_threads=1)
    np.testing.assert_array_equal(trees.raw(rows), scores)
    np.testing.assert_array_equal(trees.raw(rows[:1]), scores[:1])


def test_many_rows_are_told_the_same_as_one() -> None:
    trees, rows = fitted(), table(MANY + AT_ONCE, 8)
    np.testing.assert_array_equal(trees.raw(rows), trees.native.predict(rows))
    found = trees.contributions(rows)
    for place in (0, 1, len(rows) - 1):
        np.testing.assert_array_equal(found[place], trees.explained(rows[place])[1])
    np.testing.assert_allclose(found[:50], trees.native.predict(rows[:50], CONTRIBUTIONS)[:, :-1], atol=1e-12)


def test_no_rows_have_no_scores() -> None:
    assert fitted().raw(np.zeros((0, INPUTS))).shape == (0,)
    assert fitted().contributions(np.zeros((0, INPUTS))).shape == (0, INPUTS)


def test_threads_do_not_share_buffers() -> None:
    trees, rows = fitted().ready(), table(400, 4)
    expected = trees.raw(rows).tolist()
    wrong: list[int] = []

    def ask(offset: int) -> None:
        order = np.roll(np.arange(len(rows)), offset)
        wrong.extend(each for each in order if trees.native.one(rows[each].tolist()) != expected[each])

    threads = [threading.Thread(target=ask, args=(37 * each,)) for each in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []


def test_a_copy_answers_the_same() -> None:
    rows = table(5, 5)
    np.testing.assert_array_equal(copy.deepcopy(fitted()).raw(rows), fitted().raw(rows))


def test_what_is_no_model_or_no_row_is_refused() -> None:
    with pytest.raises(ArtifactError):
        NativeTrees("nonsense", INPUTS)
    with pytest.raises(ArtifactError, match="6 inputs"):
        fitted().raw(np.zeros((2, 5)))


def test_trees_that_cannot_be_tabled_are_asked_of_lightgbm() -> None:
    rng = np.random.default_rng(6)
    inputs = np.column_stack([rng.integers(0, 5, 500), rng.normal(size=500)])
    data = lightgbm.Dataset(inputs, (inputs[:, 0] % 2) + inputs[:, 1], categorical_feature=[0])
    parameters = {"objective": "regression", "num_leaves": 8, "verbosity": -1, "num_threads": 1}
    text = lightgbm.train(parameters, data, 5).model_to_string()
    assert ShapTable.of(text, 2) is None
    trees = Trees(text)
    expected = trees.native.predict(inputs[:20], CONTRIBUTIONS)[:, :-1]
    np.testing.assert_array_equal(trees.contributions(inputs[:20]), expected)
    np.testing.assert_array_equal(trees.explained(inputs[0])[1], expected[0])


def test_predicting_imports_neither_lightgbm_nor_pandas(tmp_path) -> None:
    fitted().save(tmp_path / "trees.txt")
    code = (
        "import sys; import numpy as np; from pathlib import Path; from patron.models.trees import Trees;"
        f"Trees.load(Path({str(tmp_path / 'trees.txt')!r})).explained(np.zeros({INPUTS}));"
        "print([each for each in ('lightgbm', 'pandas', 'sklearn') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
