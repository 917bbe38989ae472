"""An import that is killed leaves the lake as it was, and the next one cleans up after it."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

from patron.errors import LakeError
from patron.lake.commit import only_writer
from patron.settings import PROJECT

FIRST = "1,ann,tea,2024-01-05 10:00:00,2,3.50"
SECOND = ("2,bob,cup,2024-01-06 11:00:00,1,7", "3,bob,cup,2024-01-06 11:00:00,abc,7")

KILLED = """
    import os, signal, sys
    from pathlib import Path
    import patron.files, patron.lake.commit, patron.lake.filling, patron.lake.importer
    from patron.settings import load_settings

    def die(*ignored, **named):
        os.kill(os.getpid(), signal.SIGKILL)

    moves = []
    move = patron.lake.commit.move

    def second_move(*paths):
        moves.append(paths)
        die() if len(moves) == 2 else move(*paths)

    def half_a_manifest(path, document):
        path.with_name(".manifest.json.half").write_text('{"lake_')
        die()

    home, configs, file, point = sys.argv[1:]
    if point == "while checking":
        patron.lake.filling.Filling.check = die
    elif point == "before the first file is moved":
        patron.lake.commit.move = die
    elif point == "between two files":
        patron.lake.commit.move = second_move
    elif point == "while the manifest is written":
        patron.lake.commit.publish_json = half_a_manifest
    patron.lake.importer.import_files(load_settings(home=home, configs=configs), "shop", [file])
"""


@pytest.mark.parametrize(
    "point",
    [
        "while checking",
        "before the first file is moved",
        "between two files",
        "while the manifest is written",
    ],
)
def test_killed(shop, point):
    shop.lines(FIRST)
    before, rows = shop.lake.hash(), shop.rows()
    manifest = (shop.settings.lake / "manifest.json").read_bytes()
    file = shop.orders(FIRST, *SECOND, name="later.csv")
    arguments = [str(shop.settings.home), str(shop.settings.configs), file, point]
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), *arguments], cwd=PROJECT, check=False
    )
    assert ended.returncode == -signal.SIGKILL

    assert (shop.settings.lake / "manifest.json").read_bytes() == manifest
    assert (shop.lake.hash(), shop.rows(), shop.quarantine()) == (before, rows, [])

    counts = shop.run(file)["tables"]["order_lines"]
    assert (counts["new"], counts["duplicate"]) == (1, 1)
    assert len(shop.quarantine()) == 1
    assert list((shop.settings.home / "tmp").iterdir()) == []
    listed = [*shop.lake.files("order_lines"), *(shop.settings.lake / "quarantine").rglob("*.parquet")]
    found = [path for path in shop.settings.lake.rglob("*") if path.is_file()]
    assert sorted(found) == sorted([*listed, shop.settings.lake / "manifest.json"])
    assert len(listed) == 3


def test_killed_at_any_moment(shop):
    """From outside, wherever it happens to be: what the lake holds is the state before or after."""
    shop.lines(FIRST)
    before = shop.lake.hash()
    file = shop.orders(FIRST, *SECOND, name="later.csv")
    arguments = [str(shop.settings.home), str(shop.settings.configs), file, "nowhere"]
    for delay in (0.7, 1.4, 2.1):
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(KILLED), *arguments], cwd=PROJECT)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        orders = [row["order_id"] for row in shop.rows()]
        assert orders == (["1"] if shop.lake.hash() == before else ["1", "2"])
    shop.run(file)
    assert [row["order_id"] for row in shop.rows()] == ["1", "2"]


def test_two_imports_do_not_run_at_once(shop):
    with (
        only_writer(shop.settings.home),
        pytest.raises(LakeError, match=r"Another import into .* is running"),
    ):
        shop.lines(FIRST)
    assert shop.lines(FIRST)["accepted"] == 1


def test_a_damaged_manifest_is_told(shop):
    shop.lines(FIRST)
    (shop.settings.lake / "manifest.json").write_text("{")
    with pytest.raises(LakeError, match=r"manifest\.json is damaged"):
        shop.lines(FIRST)
