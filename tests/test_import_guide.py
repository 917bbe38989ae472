"""The worked example of docs/import.md gives what it says."""

from __future__ import annotations

import json
import re

from patron.lake.importer import import_files
from patron.settings import PROJECT, load_settings


def example(name: str) -> str:
    guide = (PROJECT / "docs" / "import.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- tested: {re.escape(name)} -->\n```\w+\n(.*?)```", guide, re.DOTALL)
    assert found, f"docs/import.md has no example '{name}'"
    return found.group(1)


def test_the_example_is_true(tmp_path):
    settings = load_settings(home=tmp_path / "var", configs=tmp_path)
    (tmp_path / "imports").mkdir()
    (tmp_path / "imports" / "corner-shop.toml").write_text(example("corner-shop.toml"), encoding="utf-8")
    (tmp_path / "orders.csv").write_text(example("orders.csv"), encoding="cp1252")
    report = import_files(settings, "corner-shop", [str(tmp_path / "orders.csv")])
    assert report["tables"]["order_lines"] == json.loads(example("accounting"))
    again = import_files(settings, "corner-shop", [str(tmp_path / "orders.csv")])
    assert [counts["accepted"] for counts in again["tables"].values()] == [0, 0]
