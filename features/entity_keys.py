"""An entity's key as Feast's online stores hold it (version 3), made without importing Feast."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from struct import pack

VERSION = 3
"""How Feast writes an entity's key."""

STRING, INT64 = 2, 4
"""Feast's numbers of value types."""

LONGEST = 511
"""Bytes that LMDB takes as a key; a longer one is stored under its digest."""


@functools.cache
def prefix(join_key: str) -> bytes:
    """What every key of an entity with one join key begins with."""
    name = join_key.encode()
    return pack("<III", 1, STRING, len(name)) + name


@functools.lru_cache(4096)
def head(join_key: str, length: int) -> bytes:
    """What stands before a text of so many bytes."""
    return prefix(join_key) + pack("<II", STRING, length)


def entity_key(join_key: str, value: str | int) -> bytes:
    """The key of one entity, byte for byte Feast's `serialize_entity_key`.

    Raises UnicodeEncodeError for text that is no Unicode, struct.error for an integer beyond 64 bits.
    """
    if isinstance(value, int):
        return prefix(join_key) + pack("<IIq", INT64, 8, value)
    text = value.encode()
    return head(join_key, len(text)) + text


def stored_key(key: bytes) -> bytes:
    """The key as LMDB can hold it."""
    return key if len(key) <= LONGEST else hashlib.blake2b(key, digest_size=64).digest()


def stored_keys(join_key: str, values: Iterable[str | int]) -> list[bytes]:
    """`stored_key` of many entities."""
    return [stored_key(entity_key(join_key, value)) for value in values]
