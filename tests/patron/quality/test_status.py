"""The stored reports: reused, told in the status, drawn for people; and the command's exit codes."""

from __future__ import annotations

import json
from io import StringIO

from rich.console import Console

from patron.quality import report, status
from patron.quality.report import current, quality
from patron.quality.show import page, show
from patron.status import show as show_all
from patron.status import status as whole
from tests.command_line import patron

DRIFT = {
    "max_psi": 0.4,
    "alarms": ["spend: median 1 -> 2 (PSI 0.400, usual up to 0.100)"],
    "scores": [],
    "features": [
        {"name": "spend", "psi": 0.4, "threshold": 0.1, "against": "fit", "change": "median 1 -> 2"}
    ],
}


def drawn(draw, found):
    out = StringIO()
    draw(found, Console(file=out, width=140))
    return out.getvalue()


def test_nothing_was_checked_yet(home):
    found = status.status(home())
    assert found == {"sources": None, "drift": None}
    assert "never checked: patron quality" in drawn(status.show, found)


def test_the_status_tells_alarms_and_age(home, lines):
    settings = home(order_lines=lines, products=[{"product_id": "p"}, {"product_id": "p"}])
    quality(settings)
    status.keep_drift(settings, {"patron-churn": DRIFT, "patron-offers": None})
    found = status.status(settings)
    assert found["sources"]["of_this_lake"] is True
    assert found["sources"]["age_days"] == 0
    assert found["drift"]["max_psi"] == {"patron-churn": 0.4}
    text = drawn(status.show, found)
    assert "Quality: 1 alarm, looked at" in text
    assert "Alarm: patron-churn: spend: median 1 -> 2" in text


def test_a_report_of_another_lake_is_said_to_be_old(home, lines):
    quality(home(order_lines=lines))
    found = status.status(home(order_lines=lines[:-1]))
    assert found["sources"]["of_this_lake"] is False
    assert "of an older lake: run patron quality" in drawn(status.show, found)


def test_the_stored_report_is_reused_for_the_same_lake(home, lines):
    settings = home(order_lines=lines)
    first = current(settings)
    assert current(settings)["computed_at"] == first["computed_at"]
    settings = home(order_lines=lines[:-1])
    assert current(settings)["lake"] != first["lake"]
    assert report.stored(settings)["tables"]["order_lines"]["rows"] == len(lines) - 1


def test_the_whole_status_has_a_place_for_it(home, lines):
    settings = home(order_lines=lines)
    found = whole(settings)
    assert found["quality"] == {"sources": None, "drift": None}
    found["lake"]["sources"] = []
    assert "Drift: not known: patron score" in drawn(show_all, found)


def test_the_report_is_drawn_and_written(home, lines):
    found = quality(home(order_lines=lines))
    text = drawn(show, found)
    assert "order_lines.customer_id" in text
    assert "No alarm." in text
    written = page(found, DRIFT)
    assert "| order_lines | " in written
    assert "- **spend: median 1 -> 2 (PSI 0.400, usual up to 0.100)**" in written
    assert "| spend | 0.4000 | 0.1000 | fit | median 1 -> 2 |" in written


def test_the_command_says_no_only_when_asked(home, lines):
    settings = home(order_lines=lines, products=[{"product_id": "p"}, {"product_id": "p"}])
    place = {"PATRON_HOME": str(settings.home)}
    done = patron("quality", "--json", **place)
    assert done.returncode == 0, done.stderr
    assert [each["check"] for each in json.loads(done.stdout)["alarms"]] == ["duplicates"]
    assert patron("quality", "--strict", **place).returncode == 3
