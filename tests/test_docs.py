"""What is documented is what there is: settings, commands, endpoints, links, and the README's commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from patron.settings import PROJECT, Settings
from tests.command_line import command_tree, commands

DOCS = PROJECT / "docs"
PAGES = sorted([*PROJECT.glob("*.md"), *DOCS.glob("*.md"), *(PROJECT / "benchmarks").glob("*.md")])
LOCAL = PROJECT / "configs" / "local.toml"
DEFAULTS = {name: each.get_default(call_default_factory=True) for name, each in Settings.model_fields.items()}
ON_PURPOSE = {"clock": "data"}
"""Where local.toml differs from the default, and says why."""
MADE_BY_PLACE = {"configs"}
"""Settings whose default is a folder of this checkout."""


# Settings


def explained(text: str) -> dict[str, str]:
    """Key -> the comment above it, of TOML text whose optional keys are commented out as `# key = value`."""
    found, comment = {}, ""
    for line in text.splitlines():
        key = re.match(r"(?:# )?([a-z_]+) = ", line)
        if key:
            found[key[1]] = comment
        comment = f"{comment} {line[1:].strip()}".strip() if line.startswith("#") and not key else ""
    return found


def switched_on(text: str) -> dict[str, Any]:
    """The values of TOML text, those commented out too."""
    return tomllib.loads(re.sub(r"^# ([a-z_]+ = )", r"\1", text, flags=re.MULTILINE))


def test_the_reader_of_comments_sees_what_is_missing():
    assert explained("# Why.\na = 1\nb = 2\n\n# More,\n# and more.\n# c = 3\n") == {
        "a": "Why.",
        "b": "",
        "c": "More, and more.",
    }


@pytest.mark.parametrize("key", DEFAULTS)
def test_a_setting_stands_commented_in_the_local_file(key):
    assert len(explained(LOCAL.read_text(encoding="utf-8")).get(key, "")) > 10


def test_the_local_file_holds_the_defaults_and_nothing_else():
    values = switched_on(LOCAL.read_text(encoding="utf-8"))
    assert set(values) == set(DEFAULTS)
    for key in set(values) - MADE_BY_PLACE - {"churn_horizon_days"}:
        default = DEFAULTS[key]
        assert values[key] == ON_PURPOSE.get(key, str(default) if isinstance(default, Path) else default), key
    assert "churn_horizon_days" not in tomllib.loads(LOCAL.read_text(encoding="utf-8"))


def test_every_settings_file_is_accepted(monkeypatch):
    for path in (LOCAL, PROJECT / "configs" / "cluster.toml"):
        monkeypatch.setenv("PATRON_CONFIG", str(path))
        assert Settings().seed == DEFAULTS["seed"]


def test_the_cluster_file_holds_only_differences():
    values = tomllib.loads((PROJECT / "configs" / "cluster.toml").read_text(encoding="utf-8"))
    local = tomllib.loads(LOCAL.read_text(encoding="utf-8"))
    assert values
    assert [key for key, value in values.items() if value == local[key]] == []


def table_rows(page: Path) -> dict[str, list[str]]:
    """First cell -> the other cells, of every table row whose first cell is code."""
    rows = re.findall(r"^\| `([^`]+)` \|(.*)\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: [each.strip() for each in rest.split(" | ")] for name, rest in rows}


@pytest.mark.parametrize("key", DEFAULTS)
def test_a_setting_stands_in_the_docs_with_its_default(key):
    told, meaning = table_rows(DOCS / "configuration.md")[key]
    assert len(meaning) > 10
    default = DEFAULTS[key]
    if key not in MADE_BY_PLACE:
        text = str(default) if isinstance(default, Path) else default
        assert told == "unset" if default is None else tomllib.loads(f"x = {told.strip('`')}")["x"] == text


# Commands

COMMANDS = dict(commands())


def options(command: Any) -> list[Any]:
    """A command's own options; --help and --json are everybody's."""
    names = {"--help", "--json"}
    return [
        each for each in command.params if each.param_type_name == "option" and not names & set(each.opts)
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_itself_and_its_options(name):
    command = COMMANDS[name]
    assert len(command.help or "") > 10
    assert [each.opts for each in command.params if not getattr(each, "help", None)] == []
    assert any("--json" in each.opts for each in command.params)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_stands_in_the_docs_with_its_options(name):
    rows = table_rows(DOCS / "index.md")
    row = next(rows[each] for each in rows if re.sub(r" [A-Z\[].*", "", each) == name)
    assert {max(each.opts, key=len) for each in options(COMMANDS[name])} == set(
        re.findall(r"`(--[a-z-]+)`", row[0])
    )
    assert len(row[1]) > 10


def test_the_docs_name_no_command_that_is_not_there():
    told = [re.sub(r" [A-Z\[].*", "", each) for each in table_rows(DOCS / "index.md") if "patron " in each]
    assert sorted(told) == sorted(COMMANDS)


# Endpoints


def operations() -> list[str]:
    """METHOD path of everything that the service answers."""
    from serving.openapi import PAGES as OPEN
    from serving.operations import operations as listed
    from serving.service import ROUTES, service

    known = [*listed(service), *ROUTES]
    return [f"{each.method} {each.path}" for each in known] + [f"GET {path}" for path in OPEN]


def test_every_endpoint_stands_in_the_docs_and_no_other():
    told = re.findall(
        r"(?:^## |^\| `)((?:GET|POST|PUT|DELETE) /[^\s`]*)", (DOCS / "api.md").read_text(), re.MULTILINE
    )
    assert sorted(told) == sorted(operations())


# Links


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def headings(page: Path) -> set[str]:
    return {slug(each) for each in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)}


def broken(page: Path, text: str) -> list[str]:
    """Links of a page's text to files or headings that are not there."""
    text = re.sub(r"<!--.*?-->", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.DOTALL)
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if ":" in path:
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in headings(file)):
            found.append(target)
    return found


def test_broken_links_are_seen():
    page = DOCS / "index.md"
    text = "[a](models.md#the-gate) [b](nowhere.md) [c](#commands) [d](#nowhere) [e](https://example.com)"
    assert broken(page, text) == ["nowhere.md", "#nowhere"]


@pytest.mark.parametrize("page", PAGES, ids=lambda each: str(each.relative_to(PROJECT)))
def test_links_resolve(page):
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_every_page_is_linked_from_the_first():
    linked = {
        each.partition("#")[0] for each in re.findall(r"\]\(([^)]+)\)", (DOCS / "index.md").read_text())
    }
    assert {each.name for each in DOCS.glob("*.md")} - {"index.md"} <= linked


# Commands in the text


def shell_lines(page: Path) -> list[str]:
    """Lines of a page's shell blocks (fenced as sh, or indented) that call make or patron."""
    text = page.read_text(encoding="utf-8")
    fenced = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
    indented = re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)
    inline = re.findall(r"`((?:make|patron) [^`]+)`", text)
    lines = [re.sub(r"^(?:[A-Z_]+=\S+ )+", "", each) for each in (*fenced, *indented, *inline)]
    return [each for each in lines if each.startswith(("make ", "patron "))]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def wrong(line: str) -> str | None:
    """Why a line of shell would not run, or None."""
    program, *words = shlex.split(line.replace("...", ""), comments=True)
    if program == "make":
        return next(
            (f"no target {each}" for each in words if "=" not in each and each not in targets()), None
        )
    command = command_tree()
    while words and not words[0].startswith("-") and hasattr(command, "commands"):
        if words[0] not in command.commands:
            return f"no command {words[0]}"
        command = command.commands[words.pop(0)]
    known = {opt for each in command.params for opt in each.opts} | {"--help", "-h"}
    return next((f"no option {each}" for each in words if each.startswith("-") and each not in known), None)


def test_wrong_commands_are_seen():
    assert wrong("make coffee") == "no target coffee"
    assert wrong("patron brew") == "no command brew"
    assert wrong("patron features brew") == "no command brew"
    assert wrong("patron train all --fast") == "no option --fast"
    assert wrong("patron features build --cutoffs 2011-09-10  # a date") is None


@pytest.mark.parametrize("page", PAGES, ids=lambda each: str(each.relative_to(PROJECT)))
def test_commands_in_the_text_exist(page):
    assert [(each, why) for each in shell_lines(page) if (why := wrong(each))] == []


def test_the_readme_tells_how_to_begin():
    lines = shell_lines(PROJECT / "README.md")
    assert {"make demo", "make serve"} <= set(lines)


def test_every_target_is_explained_and_told():
    made = subprocess.run(["make", "-s", "help"], cwd=PROJECT, capture_output=True, text=True, check=True)
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    for each in targets():
        assert f"make {each}\t" in made.stdout
        assert f"make {each}" in readme


# The lock and the notebooks


def test_every_dependency_is_locked():
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*declared["dependencies"], *(e for x in declared["optional-dependencies"].values() for e in x)]
    names = {re.split(r"[\[<>=!~ ]", each)[0].lower().replace("_", "-") for each in wanted}
    lines = (PROJECT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [each for each in lines if not each.startswith("#")]
    assert [each for each in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", each)] == []
    assert names <= {each.partition("==")[0].lower().replace("_", "-") for each in pins}


@pytest.mark.parametrize("path", sorted((PROJECT / "notebooks").glob("*.ipynb")), ids=lambda each: each.name)
def test_a_notebook_imports_and_calls_and_keeps_no_output(path):
    import json

    cells = [
        each for each in json.loads(path.read_text(encoding="utf-8"))["cells"] if each["cell_type"] == "code"
    ]
    assert cells
    for cell in cells:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        source = "".join(cell["source"])
        assert not re.search(r"^\s*(def|class|for|while|if) ", source, re.MULTILINE)
        compile(source, path.name, "exec")
