"""The file of packed rows through everything that can happen to it while a service reads it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from features import row_file as module
from features.row_file import RowFile, Writing, row_file
from patron.errors import FeatureError

ROOT = Path(__file__).parents[2]
TABLE = b"shop.view"


def fill(path: Path, rows: int, value: bytes) -> None:
    """Write as another process does: `rows` rows that all hold the same value, and it as the document."""
    code = f"""
        from pathlib import Path
        from features.row_file import STATE, row_file
        def change(writing):
            writing.clear({TABLE!r})
            writing.put({TABLE!r}, [(b"%06d" % each, {value!r}) for each in range({rows})])
            writing.put(STATE, [(b"shop", {value[:8]!r})])
        row_file(Path({str(path)!r})).write([{TABLE!r}], change)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, check=True, timeout=60)


def read(file: RowFile, *keys: bytes) -> list[bytes | None]:
    return file.read(b"shop", [(TABLE, keys)])[1][0]


def read_when_back(file: RowFile, key: bytes) -> bytes | None:
    """What a service that asks again and again gets first."""
    end = time.monotonic() + 5
    while True:
        try:
            return read(file, key)[0]
        except FeatureError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    found = tmp_path / "online" / "rows.mdb"
    fill(found, 100, b"old")
    yield found


def test_rows_and_document_are_read_together(path: Path) -> None:
    state, rows = row_file(path).read(b"shop", [(TABLE, [b"000001", b"none"]), (b"no.table", [b"k"])])
    assert (state, rows) == (b"old", [[b"old", None], [None]])


def test_a_file_is_open_once_in_a_process(path: Path) -> None:
    assert row_file(path) is row_file(path.parent / "." / path.name)


def test_a_file_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="patron features materialize"):
        read(row_file(tmp_path / "rows.mdb"), b"k")


def test_what_another_process_wrote_is_read_at_once(path: Path) -> None:
    file = row_file(path)
    assert read(file, b"000001") == [b"old"]
    fill(path, 100, b"new")
    assert read(file, b"000001") == [b"new"]


def test_a_file_that_outgrew_its_map_is_read_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALLEST_MAP", 1 << 20)
    file = row_file(path)
    assert read(file, b"000001") == [b"old"]
    fill(path, 20_000, b"new" * 2000)
    assert path.stat().st_size > 100 << 20
    assert read(file, b"019999") == [b"new" * 2000]


def test_a_write_that_outgrows_the_map_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALLEST_MAP", 1 << 20)
    file, runs = row_file(tmp_path / "rows.mdb"), []

    def change(writing: Writing) -> None:
        runs.append(1)
        writing.put(TABLE, [(b"%04d" % each, b"x" * 4000) for each in range(1000)])

    file.write([TABLE], change)
    assert len(runs) > 1
    assert read(file, b"0999") == [b"x" * 4000]


def test_a_write_that_fails_leaves_no_trace(path: Path) -> None:
    file = row_file(path)

    def change(writing: Writing) -> None:
        writing.clear(TABLE)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        file.write([TABLE], change)
    assert read(file, b"000001") == [b"old"]


def test_a_removed_folder_is_found_again_when_it_is_back(path: Path) -> None:
    file = row_file(path)
    assert read(file, b"000001") == [b"old"]
    shutil.rmtree(path.parent)
    with pytest.raises(FeatureError):
        read(file, b"000001")
    fill(path, 100, b"new")
    assert read_when_back(file, b"000001") == b"new"


def test_a_folder_that_was_moved_away_and_back_is_read_on(path: Path) -> None:
    file, aside = row_file(path), path.parent.with_name("aside")
    assert read(file, b"000001") == [b"old"]
    path.parent.rename(aside)
    with pytest.raises(FeatureError):
        read(file, b"000001")
    aside.rename(path.parent)
    assert read_when_back(file, b"000001") == b"old"


def test_a_replaced_file_is_read_instead(path: Path, tmp_path: Path) -> None:
    file, other = row_file(path), tmp_path / "other.mdb"
    assert read(file, b"000001") == [b"old"]
    fill(other, 5, b"new")
    other.replace(path)
    assert read_when_back(file, b"000001") == b"new"
    assert read(file, b"000050") == [None]


@pytest.mark.parametrize("size", [0, 100, 8192])
def test_a_file_cut_short_is_refused_until_it_is_whole(path: Path, size: int) -> None:
    file, whole = row_file(path), path.read_bytes()
    assert read(file, b"000001") == [b"old"]
    with path.open("r+b") as opened:
        opened.truncate(size)
    for _ in range(3):
        with pytest.raises(FeatureError):
            read(file, b"000001")
    path.write_bytes(whole)
    assert read_when_back(file, b"000001") == b"old"


@pytest.mark.parametrize("content", [b"", b"nonsense" * 2000])
def test_a_load_puts_a_damaged_file_right(path: Path, content: bytes) -> None:
    file = row_file(path)
    assert read(file, b"000001") == [b"old"]
    path.write_bytes(content)
    with pytest.raises(FeatureError):
        read(file, b"000001")
    fill(path, 100, b"new")
    assert read_when_back(file, b"000001") == b"new"


def test_readers_see_all_of_the_old_or_all_of_the_new_and_never_wait(path: Path) -> None:
    """While this process loads slowly, a reader in another thread goes on reading what was there."""
    file, keys = row_file(path), [b"%06d" % each for each in range(100)]
    seen: list[tuple[bytes | None, set[bytes | None]]] = []
    loading, done = threading.Event(), threading.Event()

    def change(writing: Writing) -> None:
        writing.clear(TABLE)
        writing.put(TABLE, [(each, b"new") for each in keys[:50]])
        loading.set()
        assert done.wait(10)
        writing.put(TABLE, [(each, b"new") for each in keys[50:]])
        writing.put(module.STATE, [(b"shop", b"new")])

    writer = threading.Thread(target=file.write, args=([TABLE], change))
    writer.start()
    assert loading.wait(10)
    for _ in range(20):
        state, rows = file.read(b"shop", [(TABLE, keys)])
        seen.append((state, set(rows[0])))
    done.set()
    writer.join()
    state, rows = file.read(b"shop", [(TABLE, keys)])
    assert seen == [(b"old", {b"old"})] * 20
    assert (state, set(rows[0])) == (b"new", {b"new"})
