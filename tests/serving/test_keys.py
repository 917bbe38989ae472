"""Keys: made once, stored as hashes, compared whole."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from patron.errors import UsageError
from serving import keys
from serving.keys import KeyFileError, KeyRing, create, read, revoke


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(keys, "RECHECK_SECONDS", 0.0)
    return tmp_path / "home" / "keys.json"


def test_a_key_has_256_bits_behind_its_prefix_and_is_stored_as_a_hash(path: Path) -> None:
    key, record = create(path, "shop", ["crm", "storefront"])
    prefix, lookup, secret = key.split("_")
    assert prefix == "patron" and lookup == record.lookup and len(bytes.fromhex(secret)) == 32
    assert secret not in path.read_text() and record.sha256 in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read(path) == (record,)


def test_the_ring_finds_live_keys_only(path: Path) -> None:
    ring = KeyRing(path)
    assert len(ring) == 0 and ring.find("") is None
    key, record = create(path, "shop", ["crm"])
    other, _ = create(path, "mail", ["crm"])
    assert ring.find(key) == record
    assert ring.find(key[:-1] + ("0" if key[-1] != "0" else "1")) is None
    assert ring.find(f"patron_{record.lookup}_{other.split('_')[2]}") is None
    assert ring.find(key + " ") is None and ring.find(key.upper()) is None
    assert revoke(path, record.lookup) == record
    assert ring.find(key) is None and ring.find(other) is not None


def test_two_live_keys_a_client_for_rotation(path: Path) -> None:
    first = create(path, "shop", ["crm"])[1]
    create(path, "shop", ["crm"])
    with pytest.raises(UsageError, match=f"patron keys revoke {first.lookup}"):
        create(path, "shop", ["crm"])
    revoke(path, first.lookup)
    create(path, "shop", ["crm"])


def test_a_look_up_that_is_not_there_is_said(path: Path) -> None:
    with pytest.raises(UsageError, match="patron keys list"):
        revoke(path, "00000000")


@pytest.mark.parametrize("name", ["", "a b", "-a", "x" * 65])
def test_names_are_plain(path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        create(path, name, ["crm"])


def test_a_damaged_file_is_said_and_not_overwritten(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("{}}")
    with pytest.raises(KeyFileError):
        create(path, "shop", ["crm"])
    assert path.read_text() == "{}}"
