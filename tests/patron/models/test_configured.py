"""A model's class and config come from its TOML file, overrides on top."""

from __future__ import annotations

from pathlib import Path

import pytest

from patron.errors import ConfigurationError
from patron.models.base import configured, merged
from patron.models.blend import Blend, BlendConfig


def test_tables_are_merged_key_by_key() -> None:
    below = {"als": {"factors": 64, "alpha": 1.0}, "candidates": 200}
    assert merged(below, {"als": {"alpha": 9.0}}) == {"als": {"factors": 64, "alpha": 9.0}, "candidates": 200}


def test_an_override_keeps_its_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "recommender.toml"
    path.write_text('class = "patron.models.blend:Blend"\n[als]\nfactors = 8\n')
    found, config = configured(path, als={"alpha": 9.0})
    assert found is Blend
    assert isinstance(config, BlendConfig)
    assert (config.als.factors, config.als.alpha) == (8, 9.0)


def test_an_unknown_key_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "recommender.toml"
    path.write_text('class = "patron.models.blend:Blend"\nfactor = 8\n')
    with pytest.raises(ConfigurationError, match="factor"):
        configured(path)


def test_a_file_without_a_class_says_what_to_add(tmp_path: Path) -> None:
    path = tmp_path / "recommender.toml"
    path.write_text("candidates = 8\n")
    with pytest.raises(ConfigurationError, match=r"class = \"patron\.models"):
        configured(path)


def test_a_missing_file_names_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "churn.toml").touch()
    with pytest.raises(ConfigurationError, match="There are: churn"):
        configured(tmp_path / "recommender.toml")
