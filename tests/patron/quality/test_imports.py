"""What imports report of themselves."""

from __future__ import annotations

import json

from patron.quality.imports import TOO_MANY, imports


def report(folder, day, read=1000, duplicate=0, mapping="shop", **quarantined):
    left_out = sum(quarantined.values())
    counts = {
        "read": read,
        "accepted": read - duplicate - left_out,
        "duplicate": duplicate,
        "quarantined": quarantined,
        "skipped": {"test order": 0},
    }
    number = f"202401{day:02d}T000000-00000000"
    document = {"mapping": mapping, "import_id": number, "tables": {"order_lines": counts}}
    (folder / f"import-{number}.json").write_text(json.dumps(document))


def test_no_import_no_word(tmp_path):
    assert imports(tmp_path / "reports") == {}


def test_counts_are_added_up(tmp_path):
    report(tmp_path, 1, duplicate=10, negative=2)
    report(tmp_path, 2, read=500, negative=1, late=3)
    found = imports(tmp_path)["order_lines"]
    assert (found["imports"], found["read"], found["duplicate"], found["quarantined"]) == (2, 1500, 10, 6)
    assert found["reasons"] == {"negative": 3, "late": 3}
    assert found["last"]["at"] == "2024-01-02T00:00:00+00:00"
    assert found["alarm"] is False


def test_a_first_import_may_lose_one_row_in_twenty(tmp_path):
    report(tmp_path, 1, wrong=50)
    assert (imports(tmp_path)["order_lines"]["usual"], imports(tmp_path)["order_lines"]["alarm"]) == (
        TOO_MANY,
        False,
    )
    report(tmp_path, 2, wrong=51)
    assert imports(tmp_path)["order_lines"]["alarm"] is True


def test_later_ones_are_judged_by_those_before(tmp_path):
    for day in range(1, 8):
        report(tmp_path, day, wrong=2)
    report(tmp_path, 8, wrong=3)
    assert imports(tmp_path)["order_lines"]["alarm"] is False
    report(tmp_path, 9, wrong=20)
    assert imports(tmp_path)["order_lines"]["alarm"] is True


def test_another_mapping_is_another_thing(tmp_path):
    for day in range(1, 8):
        report(tmp_path, day, mapping="messy", wrong=400)
    report(tmp_path, 8, wrong=100)
    assert imports(tmp_path)["order_lines"]["alarm"] is True
