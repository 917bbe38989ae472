from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from patron.errors import ArtifactError
from patron.models import sequence_data, sequence_network, sequence_onnx, sequence_training
from patron.models.base import CustomerHistory
from patron.models.sequence import TOLERANCE, Sequence, SequenceConfig, session
from patron.models.sequence_data import Sequences, batches, held_out, sequences, taste
from tests.purchases import checkerboard, once, purchases
from tests.recommender_contract import RecommenderContract, strings_of

SMALL = {"factors": 8, "epochs": 6, "patience": 3, "max_length": 6}


class TestSequence(RecommenderContract):
    def unfitted(self):
        return Sequence(SequenceConfig(**SMALL))

    def test_the_artifact_is_data_without_objects_and_without_customers(self, tmp_path):
        self.fitted().save(tmp_path)
        assert {each.name for each in tmp_path.iterdir()} == {"arrays.npz", "config.json", "network.onnx"}
        customers = [f"c{i}" for i in range(8)]
        network = (tmp_path / "network.onnx").read_bytes()
        assert not any(each.encode() in network for each in customers)
        for name in ("arrays.npz", "config.json"):
            assert strings_of(tmp_path / name).isdisjoint(customers)


class TestSequenceOfTwoBlocksWithoutRefit(TestSequence):
    def unfitted(self):
        return Sequence(SequenceConfig(**SMALL, blocks=2, heads=2, refit=False))


def circle(customers=80, size=8):
    """Customer i begins at product i and buys the next one around the circle, 3 to 5 in all."""
    return purchases(
        [(f"c{i}", f"p{(i + step) % size}", step) for i in range(customers) for step in range(3 + i % 3)]
    )


@pytest.fixture(scope="module")
def of_circle():
    model = Sequence(SequenceConfig(factors=16, epochs=30, learning_rate=0.01, dropout=0.1, batch_size=32))
    model.fit(circle())
    return model


def names(*places):
    return once(*(f"p{place % 8}" for place in places))


@pytest.mark.parametrize("start", range(8))
def test_what_always_comes_next_comes_first(of_circle, start):
    bought = names(start, start + 1, start + 2)
    scores = of_circle.scores(bought)
    assert of_circle.product_ids[np.argmax(scores)] == f"p{(start + 3) % 8}"
    assert scores.max() == 1
    assert set(of_circle.product_ids[scores == 0].tolist()) == set(bought.product_ids.tolist())


def test_the_most_recent_product_stands_last(of_circle):
    assert np.argmax(of_circle.scores(names(5, 2))) == 3
    assert np.argmax(of_circle.scores(names(2, 5))) == 6


def test_only_the_last_products_of_a_long_history_are_looked_at(of_circle):
    short = Sequence(of_circle.config.model_copy(update={"max_length": 2}))
    for name in ("product_ids", "item_vectors", "sold", "network"):
        setattr(short, name, getattr(of_circle, name))
    found, expected = short.scores(names(5, 1, 2)), of_circle.scores(names(1, 2))
    assert found[5] == 0
    np.testing.assert_array_equal(np.delete(found, 5), np.delete(expected, 5))


def test_products_that_nobody_known_bought_say_nothing():
    rows = [("a", "x", 1), ("a", "y", 2), ("b", "x", 1), ("b", "y", 2), (None, "w", 3)]
    model = Sequence(SequenceConfig(**SMALL))
    model.fit(purchases(rows, products=["v", "w", "x", "y"]))
    scores = model.scores(once("x"))
    assert (scores > 0).tolist() == [False, False, False, True]
    assert model.scores(CustomerHistory.empty()).tolist() == [0, 0, 0, 0]


def test_scoring_needs_no_torch(of_circle, tmp_path):
    of_circle.save(tmp_path)
    code = (
        "import sys; from pathlib import Path; from patron.models.sequence import Sequence; "
        "from tests.purchases import once; "
        "model = Sequence.load(Path(sys.argv[1])); print(model.scores(once('p1', 'p2')).argmax()); "
        "assert not {'torch', 'onnx'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.strip() == "3", done.stderr


def test_torch_is_left_as_it_was():
    torch.manual_seed(5)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    Sequence(SequenceConfig(**SMALL)).fit(checkerboard(), threads=threads + 1)
    assert torch.rand(3).tolist() == expected.tolist()
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


# Sequences


def test_a_sequence_holds_first_purchases_in_their_order():
    rows = [("b", "z", 1), ("a", "y", 1), (None, "z", 1), ("a", "x", 2), ("a", "y", 3), ("a", "z", 3)]
    found = sequences(purchases(rows))
    assert found.product.tolist() == [1, 0, 2, 2]
    assert found.starts.tolist() == [0, 3, 4]
    assert found.owner.tolist() == [0, 0, 0, 1]


def of(*rows):
    """Sequences of rows of (product, time)."""
    flat = [each for row in rows for each in row]
    return Sequences(
        np.asarray([product for product, _ in flat], dtype=np.int64),
        np.asarray([at for _, at in flat], dtype=np.int64),
        np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
    )


def test_products_of_one_moment_are_shuffled_and_no_others():
    whole = of([(0, 1), *((each, 2) for each in range(1, 40)), (40, 3)], [(41, 1)])
    found = whole.shuffled(np.random.default_rng(1))
    assert found.product[[0, 40, 41]].tolist() == [0, 40, 41]
    assert sorted(found.product[1:40].tolist()) == list(range(1, 40))
    assert found.product[1:40].tolist() != list(range(1, 40))


def test_the_last_new_products_are_held_out_where_two_came_before():
    whole = of([(0, 1), (1, 2), (2, 3), (3, 3)], [(4, 1), (5, 2)], [(6, 1), (7, 1), (8, 1)], [])
    held = held_out(whole)
    assert whole.product[held].tolist() == [2, 3]
    assert whole.kept(~held).lengths.tolist() == [2, 2, 3, 0]
    assert not held_out(of()).any()


def test_rows_are_padded_before_and_cut_at_their_beginning():
    whole = of([(0, 1), (1, 2), (2, 3)], [(3, 1)])
    assert whole.padded(np.array([1, 0]), 2, padding=9).tolist() == [[9, 3], [1, 2]]


def test_tastes_have_the_cosines_of_shared_customers():
    whole = of(*[[(0, 1), (1, 2)]] * 5, *[[(2, 1), (3, 2)]] * 5, [(4, 1)])
    vectors = taste(whole, 6, 4, np.random.default_rng(1))
    cosines = vectors @ vectors.T
    np.testing.assert_allclose(np.diag(cosines), 1, rtol=1e-5)
    assert cosines[0, 1] > 0.99
    assert cosines[2, 3] > 0.99
    assert abs(cosines[0, 2]) < 0.1


def test_tastes_of_large_tables_are_those_of_the_whole_decomposition(monkeypatch):
    rng = np.random.default_rng(4)
    whole = of(*[[(each, 1) for each in rng.choice(30, 5, replace=False)] for _ in range(60)])
    whole = Sequences(whole.product % 10, whole.at, whole.starts)
    found = []
    for cells in (0, 10_000):
        monkeypatch.setattr(sequence_data, "DENSE_CELLS", cells)
        vectors = taste(whole, 10, 4, np.random.default_rng(1))
        found.append(vectors @ vectors.T)
    np.testing.assert_allclose(found[0], found[1], atol=0.02)


def test_batches_hold_each_row_of_two_products_once():
    lengths = np.random.default_rng(2).integers(0, 30, 1000)
    found = list(batches(lengths, 100, np.random.default_rng(3)))
    assert sorted(np.concatenate(found).tolist()) == np.flatnonzero(lengths >= 2).tolist()
    assert max(lengths[rows].sum() for rows in found) <= 100 + 30
    assert np.mean([lengths[rows].sum() for rows in found]) > 80
    assert np.mean([np.ptp(lengths[rows]) for rows in found]) < 5
    assert list(batches(lengths[:0], 100, np.random.default_rng(3))) == []
    assert [len(rows) for rows in batches(np.array([9, 9]), 4, np.random.default_rng(3))] == [1, 1]


# The network


def test_the_sum_of_negatives_and_its_gradients_are_those_of_the_plain_way():
    torch.manual_seed(1)
    rows, columns = torch.tensor([0, 2]), torch.tensor([1, 3])
    gradients = []
    for own in (True, False):
        vectors = torch.linspace(-2, 3, 20).reshape(5, 4).requires_grad_()
        negatives = torch.linspace(3, -1, 24).reshape(6, 4).sin().requires_grad_()
        if own:
            total = sequence_network.SumOfNegatives.apply(vectors, negatives, rows, columns)
        else:
            total = (vectors @ negatives.T).index_put((rows, columns), torch.tensor(-torch.inf)).logsumexp(1)
        (total * torch.arange(1, 6)).sum().backward()
        gradients.append((total.detach(), vectors.grad, negatives.grad))
    for mine, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, plain)


def test_against_all_products_the_loss_is_the_plain_cross_entropy():
    config = SequenceConfig(**{**SMALL, "dropout": 0.0})
    torch.manual_seed(2)
    network = sequence_network.Network(torch.randn(9, 8), config)
    padded = torch.tensor([[9, 1, 2, 3], [4, 5, 6, 7]])
    inputs = padded[:, :-1]
    vectors = functional.normalize(network(inputs, network.products(inputs)), dim=-1)
    logits = vectors @ functional.normalize(network.products.weight[:-1], dim=-1).T / config.temperature
    counted = inputs != 9
    expected = functional.cross_entropy(logits[counted], padded[:, 1:][counted])
    found = sequence_network.loss(network, padded, torch.arange(9), config.temperature)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("shape", [{"blocks": 1}, {"blocks": 3, "heads": 4, "hidden": 12}])
def test_the_exported_network_answers_as_the_fitted_one(shape):
    config = SequenceConfig(**SMALL, **shape)
    torch.manual_seed(3)
    network = sequence_network.Network(torch.randn(20, 8), config).eval()
    with torch.no_grad():
        for each in network.parameters():
            each.add_(torch.randn_like(each) * 0.3)
    weights = {name: each.numpy() for name, each in network.state_dict().items()}
    run = session(sequence_onnx.exported(weights, config)).run
    for length in range(1, config.max_length + 1):
        products = torch.randint(0, 20, (3, length))
        with torch.no_grad():
            embedded = network.products(products)
            expected = network(products, embedded)[:, -1:]
        found = run(None, {"products": embedded.numpy()})[0]
        np.testing.assert_allclose(found, expected.numpy(), atol=TOLERANCE)


def test_padding_changes_no_answer():
    network = sequence_network.Network(torch.randn(9, 8), SequenceConfig(**SMALL, blocks=2)).eval()
    with torch.no_grad():
        alone, padded = torch.tensor([[1, 2]]), torch.tensor([[9, 9, 9, 1, 2]])
        answers = [network(each, network.products(each))[:, -1] for each in (alone, padded)]
    torch.testing.assert_close(*answers)


def test_an_export_that_answers_otherwise_is_refused(monkeypatch):
    faithful = sequence_onnx.exported

    def wrong(weights, config):
        return faithful({**weights, "norm.bias": weights["norm.bias"] + np.float32(0.01)}, config)

    monkeypatch.setattr(sequence_onnx, "exported", wrong)
    with pytest.raises(ArtifactError, match="apart from the fitted one"):
        Sequence(SequenceConfig(**SMALL)).fit(checkerboard())


# Fitting


class Killed(Exception):
    pass


def killed_after(epochs):
    left = [epochs]

    def advance(_):
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    return advance


LONG = SequenceConfig(**{**SMALL, "epochs": 4, "patience": 9})


@pytest.mark.parametrize("epochs", [1, 3, 4, 5])
def test_a_fit_that_was_killed_goes_on_to_the_same_result(tmp_path, epochs):
    whole, resumed, expected, seen = Sequence(LONG), Sequence(LONG), [], []
    whole.fit(circle(), seed=4, advance=expected.append)
    with pytest.raises(Killed):
        resumed.fit(circle(), seed=4, checkpoint=tmp_path, advance=killed_after(epochs))
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.npz"]
    resumed.fit(circle(), seed=4, checkpoint=tmp_path, advance=seen.append)
    np.testing.assert_array_equal(resumed.item_vectors, whole.item_vectors)
    assert resumed.network == whole.network
    assert [timeless(each) for each in seen] == [timeless(each) for each in expected[epochs:]]


def timeless(progress):
    return replace(progress, seconds=0.0)


def test_the_checkpoint_of_another_fit_is_overwritten(tmp_path):
    seen = []
    Sequence(LONG).fit(circle(), seed=4, checkpoint=tmp_path)
    Sequence(LONG).fit(circle(), seed=5, checkpoint=tmp_path, advance=seen.append)
    assert seen[0].epoch == 1


def test_early_stopping_ends_the_search_and_the_refit_repeats_its_best(monkeypatch):
    told, seen = iter([0.1, 0.3, 0.2, 0.2, 0.9]), []
    monkeypatch.setattr(sequence_training, "validated", lambda *_: next(told))
    Sequence(LONG.model_copy(update={"epochs": 9, "patience": 2})).fit(circle(), advance=seen.append)
    assert [(each.phase, each.epoch) for each in seen] == [
        ("search", 1), ("search", 2), ("search", 3), ("search", 4), ("refit", 1), ("refit", 2),
    ]  # fmt: skip
    assert seen[-1].seconds > seen[0].seconds
    assert seen[-1].ndcg is None


def test_without_refit_the_best_network_found_is_kept(monkeypatch):
    config = LONG.model_copy(update={"refit": False})
    models = []
    for told in ([0.2, 0.1, 0.1, 0.1], [0.2]):
        monkeypatch.setattr(sequence_training, "validated", lambda *_, left=iter(told): next(left))
        models.append(Sequence(config.model_copy(update={"epochs": len(told)})))
        models[-1].fit(circle())
    np.testing.assert_array_equal(models[0].item_vectors, models[1].item_vectors)


def test_the_time_budget_ends_a_fit_with_a_working_model():
    model, seen = Sequence(LONG.model_copy(update={"time_budget_seconds": 1e-9})), []
    model.fit(circle(), advance=seen.append)
    assert [(each.phase, each.epoch) for each in seen] == [("search", 1), ("refit", 1)]
    assert model.scores(once("p1")).max() == 1


def test_the_ndcg_of_early_stopping_is_over_what_was_not_bought():
    angles = torch.arange(12) * 0.1
    start = torch.stack([angles.cos(), angles.sin()], dim=1)
    network = sequence_network.Network(start, SequenceConfig(**{**SMALL, "factors": 2}))
    network.norm = torch.nn.Identity()  # the last product's own vector remains
    with torch.no_grad():
        network.positions.zero_()
    kept, later = of([(0, 1), (1, 2)], [(2, 1), (3, 2)]), of([(3, 3), (5, 3)], [])
    # After products 0 and 1 come 2, 3, 4, 5 and so on.
    found = sequence_training.validated(network, kept, later, seed=0, max_length=6)
    assert found == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3)))


def test_factors_are_a_multiple_of_heads():
    with pytest.raises(ValueError, match="multiple of heads"):
        SequenceConfig(factors=10, heads=4)


def test_the_config_file_holds_the_defaults():
    from patron.models.base import configured

    path = Path(__file__).parents[3] / "configs" / "models" / "sequence.toml"
    assert configured(path) == (Sequence, SequenceConfig())
