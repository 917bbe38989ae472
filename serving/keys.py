"""API keys: 256 random bits behind a look-up prefix, stored as SHA-256, with scopes.

A key reads `patron_<8 characters>_<64 hex digits>`. `keys.json` (mode 600) holds the prefix, the hash of the
whole key, the client's name and its scopes. A scope implies no other: an admin key that must also read scores
is created with both. A client may have two live keys, so that it can change over without a gap.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from patron.errors import PatronError, UsageError
from patron.files import sync

Scope = Literal["storefront", "crm", "admin"]
SCOPES: tuple[Scope, ...] = ("storefront", "crm", "admin")
LIVE_KEYS = 2
RECHECK_SECONDS = 1.0
FORM = re.compile(r"patron_([0-9a-z]{8})_[0-9a-f]{64}")
CLIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class KeyFileError(PatronError):
    code = "keys"


class Key(BaseModel):
    """One live key, as it is stored: nothing in it opens anything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lookup: str
    client: str
    scopes: frozenset[Scope]
    sha256: str
    created_at: datetime


class KeyFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[Key, ...] = ()


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def read(path: Path) -> tuple[Key, ...]:
    """The live keys. Raises KeyFileError when the file is damaged."""
    try:
        return KeyFile.model_validate_json(path.read_bytes()).keys
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError):
        raise KeyFileError(f"{path} is no readable key file. Restore it, or make new keys.") from None


def write(path: Path, keys: Sequence[Key]) -> None:
    """Put the file in place at once, readable by its owner only."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(KeyFile(keys=tuple(keys)).model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one command at a time change the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def create(path: Path, client: str, scopes: Sequence[Scope]) -> tuple[str, Key]:
    """Make a key for `client` and store its hash: (the key itself, which is never shown again, its record).

    Raises UsageError for a malformed name, no scope, or a client that has two live keys already.
    """
    if not CLIENT.fullmatch(client):
        raise UsageError("A client's name is 1 to 64 letters, digits, dots, dashes or underscores.")
    if not scopes:
        raise UsageError(f"Give the key at least one scope: {', '.join(SCOPES)}")
    with locked(path):
        keys = read(path)
        mine = [each.lookup for each in keys if each.client == client]
        if len(mine) >= LIVE_KEYS:
            raise UsageError(
                f"{client} has {len(mine)} live keys: {', '.join(mine)}. "
                f"Revoke one: patron keys revoke {mine[0]}"
            )
        lookup = unused({each.lookup for each in keys})
        key = f"patron_{lookup}_{secrets.token_hex(32)}"
        record = Key(
            lookup=lookup,
            client=client,
            scopes=frozenset(scopes),
            sha256=hashed(key),
            created_at=datetime.now(UTC).replace(microsecond=0),
        )
        write(path, [*keys, record])
    return key, record


def unused(taken: set[str]) -> str:
    while (lookup := secrets.token_hex(4)) in taken:
        pass
    return lookup


def revoke(path: Path, lookup: str) -> Key:
    """Remove a key; running services refuse it within a second. Raises UsageError when there is none such."""
    with locked(path):
        keys = read(path)
        found = [each for each in keys if each.lookup == lookup]
        if not found:
            raise UsageError(f"No live key '{lookup}'. See them: patron keys list")
        write(path, [each for each in keys if each.lookup != lookup])
    return found[0]


class KeyRing:
    """The live keys, as requests meet them. The file is looked at again at most once a second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: dict[str, Key] = {}
        self._stamp: tuple[int, ...] | None = None
        self._next_check = 0.0

    def __len__(self) -> int:
        self._refresh()
        return len(self._keys)

    def find(self, presented: str) -> Key | None:
        """The record behind a presented key, or None. Takes as long for a wrong key as for a right one."""
        self._refresh()
        form = FORM.fullmatch(presented)
        record = self._keys.get(form.group(1)) if form else None
        expected = record.sha256 if record else hashed("")
        return record if hmac.compare_digest(hashed(presented), expected) else None

    def _refresh(self) -> None:
        if time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + RECHECK_SECONDS
        stamp = self._look()
        if stamp != self._stamp:
            self._keys = self._read()
            self._stamp = stamp

    def _look(self) -> tuple[int, ...] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _read(self) -> dict[str, Key]:
        """A damaged file opens nothing."""
        try:
            return {each.lookup: each for each in read(self.path)}
        except KeyFileError:
            import logging

            logging.getLogger(__name__).error("The key file is damaged: every key is refused.")
            return {}
