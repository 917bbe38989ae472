"""The offers of the moment: file, lake and updates, each effective as soon as it is there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from patron.errors import PatronError
from patron.events.flush import flush
from patron.events.log import EventLog
from patron.settings import Settings, load_settings
from serving.live_offers import LiveOffers
from tests.shops import write_lake


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "configs").mkdir()
    write_lake(tmp_path, offers=[{"offer_id": "coupon", "kind": "coupon", "cost": 2, "budget": 10}])
    return load_settings(home=tmp_path, configs=tmp_path / "configs", threads=1, memory_limit="512MB")


@pytest.fixture
def log(settings: Settings) -> EventLog:
    return EventLog(settings.events)


def write(settings: Settings, text: str) -> None:
    """Change the file, and its time, which may stand still within a clock's tick."""
    path = settings.configs / "offers.toml"
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(before + 1, before + 1))


def test_each_source_wins_over_the_one_before(settings: Settings, log: EventLog) -> None:
    live = LiveOffers(settings, log)
    assert [(each.offer_id, each.cost) for each in live.catalogue().offers] == [("coupon", 2)]
    write(settings, "[offers.coupon]\nrest_days = 5\ncost = 9\n[offers.gift]\ncost = 1\n")
    found = live.catalogue()
    assert (found.by_id["coupon"].rest_days, found.by_id["coupon"].cost) == (5, 2) and "gift" in found.by_id
    log.update("offers", "coupon", {"cost": 3.5, "budget": None})
    assert live.catalogue().by_id["coupon"].cost == 3.5 and live.catalogue().by_id["coupon"].budget is None
    log.close()


def test_nothing_is_read_again_while_nothing_changes(settings: Settings, log: EventLog) -> None:
    live = LiveOffers(settings, log)
    first = live.catalogue({"coupon": "spring"})
    assert (
        live.catalogue({"coupon": "spring"}) is live.catalogue() is first
        and first.by_id["coupon"].arm == "spring"
    )
    log.update("products", "p1", {"price": 1.0})
    assert live.catalogue({"coupon": "spring"}) is first
    assert live.catalogue({"coupon": "winter"}).by_id["coupon"].arm == "winter"
    log.close()


def test_an_update_that_lies_in_the_lake_gives_way_to_a_later_import(
    settings: Settings, log: EventLog
) -> None:
    live = LiveOffers(settings, log)
    log.update("offers", "coupon", {"cost": 3.5})
    flush(settings, log)
    assert live.catalogue().by_id["coupon"].cost == 3.5
    manifest = settings.lake / "manifest.json"
    reached = json.loads(manifest.read_text(encoding="utf-8"))["event_log"]
    write_lake(settings.home, offers=[{"offer_id": "coupon", "kind": "coupon", "cost": 4}])
    imported = json.loads(manifest.read_text(encoding="utf-8")) | {"event_log": reached}
    manifest.write_text(json.dumps(imported), encoding="utf-8")
    assert live.catalogue().by_id["coupon"].cost == 4
    log.update("offers", "coupon", {"cost": 5})
    assert live.catalogue().by_id["coupon"].cost == 5
    log.close()


def test_what_cannot_be_read_leaves_what_was(settings: Settings, log: EventLog) -> None:
    live = LiveOffers(settings, log)
    first = live.catalogue()
    write(settings, "[offers.coupon]\nkind = 'no such kind'\n[offers.coupon]\n")
    assert live.catalogue() is first
    with pytest.raises(PatronError):
        LiveOffers(settings, log).catalogue()
    log.close()
