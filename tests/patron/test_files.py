"""Files appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from patron.files import publish_folder, publish_json, publish_text


def test_a_text_replaces_the_one_before(tmp_path: Path) -> None:
    publish_text(tmp_path / "deep" / "file.txt", "one")
    publish_text(tmp_path / "deep" / "file.txt", "two")
    assert (tmp_path / "deep" / "file.txt").read_text() == "two"
    assert [each.name for each in (tmp_path / "deep").iterdir()] == ["file.txt"]


def test_json_is_readable(tmp_path: Path) -> None:
    publish_json(tmp_path / "file.json", {"path": tmp_path})
    assert str(tmp_path) in (tmp_path / "file.json").read_text()


def test_a_folder_replaces_the_one_before(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with publish_folder(tmp_path / "folder") as aside:
            (aside / name).write_text(name)
    assert [each.name for each in (tmp_path / "folder").iterdir()] == ["two"]
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_failed_leaves_the_one_before(tmp_path: Path) -> None:
    with publish_folder(tmp_path / "folder") as aside:
        (aside / "one").write_text("one")
    with pytest.raises(RuntimeError), publish_folder(tmp_path / "folder") as aside:
        (aside / "half").write_text("")
        raise RuntimeError
    assert [each.name for each in (tmp_path / "folder").iterdir()] == ["one"]
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]
