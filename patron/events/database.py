"""The event log's file: SQLite in WAL mode, and its one way of writing, which shares an fsync among many.

A commit waits for the disk. Threads that want to write at the same time line up; the first becomes the leader
and commits what all of them brought, in one transaction. Processes take turns by SQLite's own lock.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from patron.errors import EventLogError

T = TypeVar("T")
BUSY_MILLISECONDS = 5000
LOOK_SECONDS = 0.0005
CHECKPOINT_PAGES = 4000
"""Pages of 4 KB in the WAL before the next commit moves them into the file."""
READ_CACHE_KILOBYTES = 16_384


class Task(Generic[T]):
    """What one thread wants written, and what came of it."""

    def __init__(self, work: Callable[[Any], T]) -> None:
        self.work = work
        self.done = False
        self.error: BaseException | None = None
        self.result: T | None = None


class Database:
    """One file, opened when first needed. Any number of threads and processes may read and write it.

    schema: what a new file is made of, with a table `meta`. synchronous: `full` waits for the disk at every
    commit; with `normal` a crash of the machine, though none of the process, may lose the last ones.
    """

    def __init__(self, path: Path, schema: str, synchronous: str = "full") -> None:
        self.path, self.schema, self.synchronous = path, schema, synchronous
        self._line: deque[Task[Any]] = deque()
        self._leading = threading.Lock()
        self._writer: Any = None
        self._local = threading.local()
        self._readers: list[Any] = []

    def write(self, work: Callable[[Any], T]) -> T:
        """Do `work(connection)` in a transaction; its result, once on disk.

        What it raises undoes its own changes alone and is raised here. Raises EventLogError when nothing can
        be written.
        """
        task = Task(work)
        self._line.append(task)
        with self._leading:
            if not task.done:
                self._commit([self._line.popleft() for _ in range(len(self._line))])
        if task.error is not None:
            raise task.error
        return task.result  # type: ignore[return-value]

    def _commit(self, tasks: Sequence[Task[Any]]) -> None:
        """Write what all of them brought. Every task is done afterwards, one way or the other."""
        import apsw

        try:
            connection = self._open_writer()
            connection.execute("begin immediate")
            try:
                for task in tasks:
                    attempt(connection, task)
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
        except BaseException as error:
            for task in tasks:
                task.error = not_written(self.path)
                task.error.__cause__ = error
            if not isinstance(error, (apsw.Error, OSError)):
                raise
        finally:
            for task in tasks:
                task.done = True

    def reader(self) -> Any:
        """This thread's connection for reading, or None while there is no log yet."""
        connection = getattr(self._local, "connection", None)
        if connection is None and self.path.is_file():
            connection = self._open_reader()
        return connection

    def _open_reader(self) -> Any:
        import apsw

        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        if not made(connection):
            connection.close()
            return None
        # else SQLite plans a query anew whenever its limit is bound, which costs more than the query
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        connection.pragma("query_only", True)
        connection.pragma("cache_size", -READ_CACHE_KILOBYTES)
        self._local.connection = connection
        self._readers.append(connection)
        return connection

    def _open_writer(self) -> Any:
        import apsw

        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with alone(self.path.with_suffix(".lock")):
                connection = apsw.Connection(str(self.path))
                connection.set_busy_handler(patient)
                connection.pragma("journal_mode", "wal")
                connection.pragma("synchronous", self.synchronous)
                connection.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
                if not made(connection):
                    with connection:
                        self.make(connection)
                        connection.execute("insert into meta values ('log_id', ?)", (str(uuid.uuid4()),))
                self.renew(connection)
            self._writer = connection
        return self._writer

    def make(self, connection: Any) -> None:
        """Make what the file consists of, within a transaction, where it has no table `meta` yet."""
        connection.execute(self.schema)

    def renew(self, connection: Any) -> None:
        """Bring a file that an older version made up to date, before anything is written."""

    def close(self) -> None:
        """Close every connection; the next use opens them again. No other thread may be using it."""
        with self._leading:
            for connection in (*self._readers, self._writer):
                if connection is not None:
                    connection.close()
            self._readers, self._writer, self._local = [], None, threading.local()


def attempt(connection: Any, task: Task[Any]) -> None:
    """Do one task's work. An error of its own is kept for it; one of the disk stops all."""
    import apsw

    connection.execute("savepoint task")
    try:
        task.result = task.work(connection)
    except (apsw.FullError, apsw.IOError, apsw.CorruptError, apsw.BusyError):
        raise
    except Exception as error:
        task.error = error
        connection.execute("rollback to task")
    connection.execute("release task")


def patient(looks: int) -> bool:
    """Whether to look again for an end of another process' commit; SQLite's own waits grow to 100 ms."""
    time.sleep(LOOK_SECONDS)
    return looks * LOOK_SECONDS * 1000 < BUSY_MILLISECONDS


def made(connection: Any) -> bool:
    return bool(connection.execute("select count(*) from sqlite_schema where name = 'meta'").get)


def not_written(path: Path) -> EventLogError:
    return EventLogError(
        f"The event log {path} cannot be written. Look whether its disk is full and its folder is writable."
    )


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock of a file that exists for nothing else, waiting for it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
