"""`patron` itself, as a shell meets it: quick to help, clear about mistakes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from patron.settings import PROJECT
from tests.command_line import commands, imported, patron

HEAVY = {
    "pandas", "numpy", "scipy", "pyarrow", "pandera", "feast", "ibis", "duckdb", "bentoml", "mlflow",
    "torch", "lightgbm", "sklearn", "implicit", "optuna", "shap", "matplotlib",
}  # fmt: skip
NAMES = [name for name, _ in commands()]


@pytest.fixture(scope="module")
def help_page():
    return patron("--help")


def test_help_names_every_command(help_page):
    assert help_page.returncode == 0
    assert {name.split()[1] for name in NAMES} <= set(help_page.stdout.split())


def test_help_imports_nothing_that_is_slow(help_page):
    assert {"patron", "features", "training", "serving", "typer"} <= imported(help_page)
    assert imported(help_page).isdisjoint(HEAVY)


def test_a_command_imports_what_it_needs_and_is_seen_to():
    """The list of imports is a true one: a command that reads settings needs this."""
    assert "pydantic_settings" in imported(patron("keys", "list"))


@pytest.mark.parametrize("name", [each for each in NAMES if each.count(" ") == 1])
def test_help_of_a_command_imports_nothing_that_is_slow(name):
    done = patron(*name.split()[1:], "--help")
    assert done.returncode == 0
    assert imported(done).isdisjoint(HEAVY)


def test_version():
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    assert patron("--version").stdout == declared["project"]["version"] + "\n"


@pytest.mark.parametrize("words", [["bogus"], ["features", "bogus"], ["serve", "--bogus"], ["train"]])
def test_wrong_usage_ends_with_2(words):
    done = patron(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_every_mistake_in_the_settings_is_told_at_once(tmp_path: Path):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('prot = 3000\nworkers = "many"\nclock = "sundial"\n')
    done = patron("keys", "list", PATRON_CONFIG=str(wrong), PATRON_PORT="0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    for each in ("prot", "workers", "clock", "port", str(wrong)):
        assert each in done.stderr


def test_a_settings_file_that_is_no_toml_is_told(tmp_path: Path):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("port = = 1\n")
    done = patron("keys", "list", PATRON_CONFIG=str(wrong))
    assert done.returncode == 2
    assert f"{wrong} cannot be read" in done.stderr


def test_a_settings_file_that_is_not_there_is_told():
    done = patron("keys", "list", PATRON_CONFIG="nowhere.toml")
    assert done.returncode == 2
    assert "PATRON_CONFIG names nowhere.toml, which is not a file." in done.stderr


def test_with_json_an_error_is_a_document():
    done = patron("keys", "list", "--json", PATRON_CONFIG="nowhere.toml")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "configuration"


def test_environment_wins_over_the_file(tmp_path: Path):
    """The file says where the keys are; the variable says otherwise."""
    config = tmp_path / "shop.toml"
    config.write_text(f'home = "{tmp_path}/file"\n')
    made = patron("keys", "create", "shop", "--scope", "crm", "--json", PATRON_CONFIG=str(config))
    assert made.returncode == 0
    seen = patron("keys", "list", "--json", PATRON_CONFIG=str(config))
    other = patron("keys", "list", "--json", PATRON_CONFIG=str(config), PATRON_HOME=str(tmp_path / "other"))
    assert len(json.loads(seen.stdout)) == 1
    assert json.loads(other.stdout) == []
