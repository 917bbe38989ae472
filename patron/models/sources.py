"""The candidate sources that a blend may hold, and how each is configured."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator

from patron.models.als import ALS, ALSConfig
from patron.models.base import Config, Recommender
from patron.models.buy_again import BuyAgain, BuyAgainConfig
from patron.models.category_popularity import CategoryPopularity, CategoryPopularityConfig
from patron.models.content import Content, ContentConfig
from patron.models.ease import EASE, EASEConfig
from patron.models.item_item import ItemItem, ItemItemConfig
from patron.models.popularity import Popularity, PopularityConfig
from patron.models.regional_popularity import RegionalPopularity, RegionalPopularityConfig
from patron.models.sequence import Sequence, SequenceConfig
from patron.models.sequential_rules import SequentialRules, SequentialRulesConfig

SOURCES: dict[str, Any] = {
    "buy_again": BuyAgain,
    "item_item": ItemItem,
    "sequential_rules": SequentialRules,
    "als": ALS,
    "ease": EASE,
    "sequence": Sequence,
    "content": Content,
    "category_popularity": CategoryPopularity,
    "regional_popularity": RegionalPopularity,
    "popularity": Popularity,
    "together": ItemItem,
}
NEEDED = ("item_item", "together", "content", "popularity")
"""What similar products, baskets and last resorts are answered from."""
STRANGERS = "regional_popularity"
"""What is popular in the region of customers who bought nothing yet."""


class SourcesConfig(Config):
    sources: tuple[str, ...] = tuple(name for name in SOURCES if name != "sequence")
    """Those that are fitted and asked; the others' settings are not used."""
    buy_again: BuyAgainConfig = BuyAgainConfig()
    item_item: ItemItemConfig = ItemItemConfig()
    sequential_rules: SequentialRulesConfig = SequentialRulesConfig(window=3, min_customers=5)
    als: ALSConfig = ALSConfig()
    ease: EASEConfig = EASEConfig()
    sequence: SequenceConfig = SequenceConfig()
    content: ContentConfig = ContentConfig()
    category_popularity: CategoryPopularityConfig = CategoryPopularityConfig()
    regional_popularity: RegionalPopularityConfig = RegionalPopularityConfig()
    popularity: PopularityConfig = PopularityConfig()
    together: ItemItemConfig = ItemItemConfig(basket="order")

    @field_validator("sources")
    @classmethod
    def known(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [each for each in sources if each not in SOURCES]:
            raise ValueError(f"no source {', '.join(unknown)}. There are: {', '.join(SOURCES)}")
        if missing := [each for each in NEEDED if each not in sources]:
            raise ValueError(f"sources lack {', '.join(missing)}, which other answers are made of")
        return tuple(each for each in SOURCES if each in sources)

    def asked(self) -> tuple[str, ...]:
        """Sources that are weighted. What today's region or tier says cannot be judged at past cutoffs."""
        return tuple(each for each in self.sources if each != STRANGERS)

    def opened(self) -> dict[str, Recommender]:
        """An unfitted model a source, in the order of SOURCES."""
        return {name: SOURCES[name](getattr(self, name)) for name in self.sources}
