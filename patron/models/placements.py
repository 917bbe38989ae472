"""Where a shop shows products, and which sources have a say there before any weight is fitted."""

from __future__ import annotations

Weights = dict[str, float]

HOME = "home"

PLACEMENTS: dict[str, Weights] = {
    HOME: {"buy_again": 0.6, "als": 0.15, "popularity": 0.1, "item_item": 0.1, "together": 0.05},
    "product": {"context_item_item": 0.5, "context_together": 0.3, "als": 0.1, "popularity": 0.1},
    "cart": {"context_together": 0.6, "context_item_item": 0.2, "als": 0.1, "popularity": 0.1},
    "buy_again": {"buy_again": 1.0},
}
"""Weights where a config names none. `context_together` is `together` asked about the page or the basket."""
SESSION_WEIGHTS: Weights = {
    "session_sequential_rules": 0.3,
    "session_item_item": 0.3,
    "session_sequence": 0.3,
    "session_content": 0.1,
    "session_als": 0.1,
}
"""Who speaks for what a visitor does now. Not fitted: the public data sets hold no views."""
