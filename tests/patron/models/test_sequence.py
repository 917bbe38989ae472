from __future__ import annotations

from patron.models.sequence import Sequence, SequenceConfig
from tests import recommender_contract
from tests.recommender_contract import RecommenderContract

SMALL = {"factors": 8, "epochs": 6, "patience": 3, "max_length": 6}


class TestSequence(RecommenderContract):
    def unfitted(self):
        return Sequence(SequenceConfig(**SMALL))

    def test_the_artifact_is_data_without_objects_and_without_customers(self, tmp_path, monkeypatch):
        self.fitted().save(tmp_path)
        assert sorted(each.name for each in tmp_path.iterdir()) == [
            "arrays.npz",
            "config.json",
            "network.onnx",
        ]
        network = (tmp_path / "network.onnx").read_bytes()
        assert not any(f"c{i}".encode() in network for i in range(8))
        for name in ("arrays.npz", "config.json"):
            strings = recommender_contract.strings_of(tmp_path / name)
            assert strings.isdisjoint(f"c{i}" for i in range(8))


class TestSequenceOfTwoBlocks(TestSequence):
    def unfitted(self):
        return Sequence(SequenceConfig(**SMALL, blocks=2, heads=2, refit=False))
