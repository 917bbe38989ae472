"""The demo runs the commands that it shows, and tells what they reported."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from patron import demo
from patron.errors import PatronError
from patron.settings import Settings, load_settings

REPORTS: dict[str, Any] = {
    "import complete-journey": {
        "tables": {
            "order_lines": {
                "read": 1200,
                "accepted": 1000,
                "duplicate": 150,
                "skipped": {"no quantity": 40},
                "quarantined": {"ordered_at lies in the future": 10},
            }
        }
    },
    "features build": {"rows": 4321, "cutoffs": ["2017-01-01", "2017-02-01"]},
    "features materialize": {"as_of": "2017-02-01T00:00:00+00:00"},
    "features check": {"values": 77, "differences": {}},
    "train all": {
        "models": [
            {
                "model": "patron-churn",
                "kind": "lightgbm",
                "baseline": "recency",
                "outcome": "promoted",
                "metrics": {"roc_auc": {"value": 0.8531, "low": 0.84, "high": 0.86}},
                "beside": {"recency": {"roc_auc": 0.7619}},
            }
        ]
    },
    "score --history 1": {
        "customers": 246,
        "path": "scores.parquet",
        "summary": {
            "movements": {
                "since": "2017-01-18",
                "segment": [
                    {"previous": "loyal", "current": "loyal", "customers": 200},
                    {"previous": "loyal", "current": "at_risk", "customers": 12},
                    {"previous": "none", "current": "new", "customers": 5},
                ],
            }
        },
    },
    "keys create demo --scope storefront --scope crm": {"key": "patron_made"},
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, mlruns=tmp_path / "mlruns")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that were run, in order; each answers what stands in REPORTS."""
    names: list[str] = []

    def run(settings: Settings, *arguments: str) -> Any:
        names.append(" ".join(arguments))
        return REPORTS[names[-1]]

    monkeypatch.setattr(demo, "run", run)
    return names


def test_it_runs_the_whole_line_in_order(settings: Settings, ran: list[str]) -> None:
    demo.demo(settings)
    assert ran == [
        *(" ".join(step) for step in demo.STEPS),
        "keys create demo --scope storefront --scope crm",
    ]


def test_a_second_key_is_not_made(settings: Settings, ran: list[str]) -> None:
    (settings.home / "keys.json").write_text('{"keys": []}')
    assert demo.demo(settings)["key"] is None


def test_the_summary_holds_rows_customers_and_each_metric_beside_its_baseline(
    settings: Settings, ran: list[str]
) -> None:
    out = Console(width=140, file=StringIO())
    demo.show(demo.demo(settings), out)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    for told in (
        "1,200",
        "1,000",
        "150",
        "40",
        "10",
        "246",
        "0.8531",
        "0.7619",
        "patron_made",
        "17 customers",
    ):
        assert told in text


def test_a_step_that_fails_ends_the_demo(settings: Settings) -> None:
    with pytest.raises(PatronError, match=r"patron import nowhere.*exit code 2"):
        demo.run(settings, "import", "nowhere")
