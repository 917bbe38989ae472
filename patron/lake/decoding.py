"""Bytes of a shop's file as UTF-8, with mistakes told by byte and offset."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from patron.errors import DataError
from patron.lake.mapping import SourceFile

CHUNK = 1 << 20
GZIP = b"\x1f\x8b"
BOM = "\ufeff"


class Decoded(io.RawIOBase):
    """A readable stream of UTF-8 over a stream in another encoding, the byte order mark taken off.

    `name` and `setting` are what an error speaks of. Raises DataError at the first byte that cannot be.
    """

    def __init__(self, raw: BinaryIO, encoding: str, name: str, setting: str) -> None:
        self._raw, self._encoding, self._name, self._setting = raw, encoding, name, setting
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._consumed = 0
        self._ready = b""
        self._first = True
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            self._ready = self._next()
        part = self._ready[: len(buffer)]
        self._ready = self._ready[len(part) :]
        buffer[: len(part)] = part
        return len(part)

    def _next(self) -> bytes:
        pending = len(self._decoder.getstate()[0])
        try:
            chunk = self._raw.read(CHUNK)
            self._ended = not chunk
            text = self._decoder.decode(chunk, final=self._ended)
        except UnicodeDecodeError as error:
            raise self._undecodable(error, self._consumed - pending) from None
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{self._name} is a damaged gzip file: {error}. Fetch it again.") from None
        self._consumed += len(chunk)
        if self._first and text:
            text, self._first = text.removeprefix(BOM), False
        return text.encode("utf-8", errors="replace")

    def _undecodable(self, error: UnicodeDecodeError, before: int) -> DataError:
        byte = error.object[error.start] if error.start < len(error.object) else 0
        return DataError(
            f"{self._name} is not {self._encoding}: byte 0x{byte:02x} at offset {before + error.start:,} "
            f"cannot be decoded. Set `encoding` under {self._setting} in the mapping, "
            'such as encoding = "cp1252"'
        )


@contextmanager
def opened_bytes(path: Path, advance: Callable[[int], None]) -> Iterator[BinaryIO]:
    """A file's bytes, decompressed when it is gzip. `advance` is told how many bytes were read from disk.

    Raises DataError when the name says gzip and the content does not.
    """
    with io.BufferedReader(Counted(path, advance), CHUNK) as file:
        magic = file.peek(2)[:2]
        if magic == GZIP:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast(BinaryIO, unpacked)
        elif path.suffix == ".gz":
            raise DataError(
                f"{path.name} is not gzip: it begins with bytes {magic.hex(' ')}. Rename it, or compress it."
            )
        else:
            yield cast(BinaryIO, file)


class Counted(io.FileIO):
    """A file that tells how far it was read."""

    def __init__(self, path: Path, advance: Callable[[int], None]) -> None:
        super().__init__(path)
        self._advance = advance

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        read = super().readinto(buffer)
        self._advance(read or 0)
        return read or 0


@contextmanager
def opened_text(
    path: Path, key: str, spec: SourceFile, advance: Callable[[int], None] = lambda read: None
) -> Iterator[io.BufferedReader]:
    """The file as UTF-8 bytes, whatever it is written in."""
    with opened_bytes(path, advance) as raw:
        decoded = Decoded(raw, spec.encoding, path.name, f"[files.{key}]")
        with io.BufferedReader(decoded, CHUNK) as stream:
            yield cast(io.BufferedReader, stream)
