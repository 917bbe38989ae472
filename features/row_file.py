"""The LMDB file of packed rows: read by many processes while one writes, and found again after any loss.

One transaction sees one moment: of all views, and of the document that says what was loaded. A writer never
makes readers wait, and what it wrote appears at its commit, whole. Within a process a file is open once, as
LMDB demands, and it must not be used on both sides of a fork.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from patron.errors import FeatureError

if TYPE_CHECKING:
    import lmdb

STATE = b"_state"
"""The table with one document for each Feast project."""
SMALLEST_MAP = 64 << 20
"""Bytes of address space that a new file starts with; it doubles when it is full."""
TABLES = 128
READERS = 1024
"""Threads, of all processes, that may read at once."""
RETRY_SECONDS = 0.25
"""A file that could not be opened is not tried again before so long."""
GONE = "The online store is missing or damaged. Load it: patron features materialize"

Result = TypeVar("Result")
Item = tuple[bytes, bytes | memoryview]
Wanted = Sequence[tuple[bytes, Sequence[bytes]]]


class RowFile:
    """One LMDB file. Get it by `row_file(path)`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.using, self.writing = threading.Lock(), threading.Lock()
        self.env: lmdb.Environment | None = None
        self.tables: dict[bytes, Any] = {}
        self.states: dict[bytes, tuple[int, bytes | None]] = {}
        self.inode = self.size = 0
        self.writable = False
        self.not_before = 0.0

    def read(self, project: bytes, wanted: Wanted) -> tuple[bytes | None, list[list[bytes | None]]]:
        """(the project's document, the rows of each table's keys), all of one moment.

        wanted: (table, stored keys). Raises FeatureError while the file is missing, cut or damaged; a read
        after it is back finds it.
        """
        import lmdb

        with self.using:
            self.look()
            try:
                asked = [(self.known(table), keys) for table, keys in wanted]
                states = self.known(STATE)
                txn = self.begin()
                try:
                    return self.state(txn, states, project), [rows(txn, *each) for each in asked]
                finally:
                    txn.abort()
            except lmdb.Error as error:
                self.close()
                raise FeatureError(GONE) from error

    def look(self) -> None:
        """Open the file unless it is; open it again when another has taken its place.

        LMDB reads through a memory map, and touching a page that was cut off kills the process: so the size
        is looked at before every read. The file never shrinks by itself.
        """
        try:
            facts = self.path.stat()
        except OSError:
            raise FeatureError(GONE) from None
        if self.env is None or facts.st_ino != self.inode:
            self.reopen()
        elif facts.st_size < self.size:
            self.close()
            raise FeatureError(GONE)
        else:
            self.size = facts.st_size

    def reopen(self) -> None:
        if time.monotonic() < self.not_before:
            raise FeatureError(GONE)
        self.close()
        self.open(write=False)

    def begin(self) -> Any:
        """A transaction to read in; takes over the larger map that another process may have made."""
        import lmdb

        assert self.env is not None
        try:
            return self.env.begin()
        except lmdb.MapResizedError:
            self.env.set_mapsize(0)
            return self.env.begin()

    def state(self, txn: Any, table: Any, project: bytes) -> bytes | None:
        """The project's document; the very object read before, unless something was written since."""
        number = txn.id()
        seen, found = self.states.get(project, (-1, None))
        if seen != number:
            found = rows(txn, table, (project,))[0]
            self.states[project] = number, found
        return found

    def known(self, table: bytes) -> Any:
        """The handle of a table; None where there is none."""
        found = self.tables.get(table)
        return self.find(table) if found is None else found

    def find(self, table: bytes) -> Any:
        import lmdb

        assert self.env is not None
        try:
            found = self.tables[table] = self.env.open_db(table, create=False)
        except lmdb.NotFoundError:
            return None
        return found

    def open(self, write: bool) -> None:
        """Open the file, to write too or only to read. Raises FeatureError when not all of it is there."""
        import lmdb

        try:
            self.env = environment(self.path, write)
            facts = self.path.stat()
            if facts.st_size < (self.env.info()["last_pgno"] + 1) * self.env.stat()["psize"]:
                raise lmdb.CorruptedError("The file is cut short.")
        except (lmdb.Error, OSError) as error:
            self.shut()
            raise FeatureError(GONE) from error
        self.inode, self.size, self.writable = facts.st_ino, facts.st_size, write
        self.not_before = 0.0

    def close(self) -> None:
        """Let go of the file, unless this process is writing it: then raises FeatureError."""
        if not self.writing.acquire(blocking=False):
            raise FeatureError("The online store was replaced while it is being loaded.")
        try:
            self.shut()
        finally:
            self.writing.release()

    def shut(self) -> None:
        """Let go of the file, and do not try it again at once."""
        self.not_before = time.monotonic() + RETRY_SECONDS
        self.tables.clear()
        self.states.clear()
        if self.env is not None:
            self.env.close()
            self.env = None

    def write(self, tables: Sequence[bytes], change: Callable[[Writing], Result]) -> Result:
        """Run `change` in a transaction, which is on disk on return or has left no trace.

        tables: those it touches; they are made where missing. `change` may be run again, in a larger map.
        """
        import lmdb

        with self.writing:
            self.ready([STATE, *tables])
            assert self.env is not None
            while True:
                try:
                    with self.env.begin(write=True) as txn:
                        return change(Writing(txn, self.tables))
                except lmdb.MapFullError:
                    self.resize(2 * self.env.info()["map_size"])
                except lmdb.MapResizedError:
                    self.resize(0)

    def resize(self, size: int) -> None:
        with self.using:
            assert self.env is not None
            self.env.set_mapsize(size)

    def ready(self, tables: Sequence[bytes]) -> None:
        """The right file, open to write, with these tables. A damaged file makes way for a new one."""
        with self.using:
            if self.env is None or not self.writable or not same_file(self.path, self.inode, self.size):
                self.shut()
                self.path.parent.mkdir(parents=True, exist_ok=True)
                if damaged(self.path):
                    for each in (self.path, lock(self.path)):
                        each.unlink(missing_ok=True)
                self.open(write=True)
            assert self.env is not None
            self.env.reader_check()
            for table in tables:
                if self.known(table) is None:
                    self.tables[table] = self.env.open_db(table)


def rows(txn: Any, table: Any, keys: Sequence[bytes]) -> list[bytes | None]:
    """The rows of some keys; None for those that are not there."""
    return [None] * len(keys) if table is None else [txn.get(key, None, table) for key in keys]


class Writing:
    """What may be done within one transaction."""

    def __init__(self, txn: Any, tables: dict[bytes, Any]) -> None:
        self.txn, self.tables = txn, dict(tables)

    def get(self, table: bytes, key: bytes) -> bytes | None:
        found: bytes | None = self.txn.get(key, None, self.tables[table])
        return found

    def put(self, table: bytes, items: Sequence[Item], append: bool = False) -> None:
        """Write rows over what is there. append: they are sorted, and beyond the last key of the table."""
        self.txn.cursor(self.tables[table]).putmulti(items, append=append)

    def delete(self, table: bytes, key: bytes) -> bool:
        """Whether there was one."""
        return bool(self.txn.delete(key, db=self.tables[table]))

    def clear(self, table: bytes) -> None:
        self.txn.drop(self.tables[table], delete=False)

    def items(self, table: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every (key, row), by ascending key."""
        return iter(self.txn.cursor(self.tables[table]))


FILES: weakref.WeakValueDictionary[Path, RowFile] = weakref.WeakValueDictionary()
FINDING = threading.Lock()


def row_file(path: Path) -> RowFile:
    """The file at `path`, the same for all of this process."""
    with FINDING:
        found = FILES.get(path.absolute())
        if found is None:
            found = FILES[path.absolute()] = RowFile(path.absolute())
        return found


def environment(path: Path, write: bool) -> Any:
    import lmdb

    size = path.stat().st_size if path.is_file() else 0
    return lmdb.open(
        str(path),
        subdir=False,
        readonly=not write,
        create=write,
        map_size=max(SMALLEST_MAP, 2 * size),
        max_dbs=TABLES,
        max_readers=READERS,
    )


def lock(path: Path) -> Path:
    """LMDB's lock file."""
    return path.with_name(f"{path.name}-lock")


def same_file(path: Path, inode: int, size: int) -> bool:
    """Whether the file is still the one that was opened, and none of it was cut off."""
    try:
        facts = path.stat()
    except OSError:
        return False
    return facts.st_ino == inode and facts.st_size >= size


def damaged(path: Path) -> bool:
    """Whether there is a file that LMDB cannot read, or not all of one."""
    import lmdb

    if not path.is_file():
        return False
    try:
        with environment(path, write=False) as env:
            return bool(path.stat().st_size < (env.info()["last_pgno"] + 1) * env.stat()["psize"])
    except (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError):
        return True
    except lmdb.Error:
        return path.stat().st_size == 0
