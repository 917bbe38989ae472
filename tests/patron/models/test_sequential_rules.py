from __future__ import annotations

from patron.models.sequential_rules import SequentialRules
from tests.recommender_contract import RecommenderContract


class TestSequentialRules(RecommenderContract):
    def unfitted(self):
        return SequentialRules()
