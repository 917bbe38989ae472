"""A tiny shop for every test of the lake."""

from __future__ import annotations

from pathlib import Path

import pytest

from patron.settings import load_settings
from tests.lake_shop import MAPPING, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    settings = load_settings(home=tmp_path / "var", configs=tmp_path / "configs")
    (settings.configs / "imports").mkdir(parents=True)
    shop = Shop(settings, tmp_path)
    shop.mapping(MAPPING)
    return shop
