"""The OpenAPI document and what the service really does, held against each other by generated requests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from patron.settings import Settings
from serving.batch import score_all
from serving.keys import create
from serving.score_history import moments
from tests.serving.server import Running

EXAMPLES = 60


@pytest.fixture(scope="module")
def every_key(shop: Settings) -> str:
    """A key of a shop whose customers were scored: before, some endpoints rightly answer 503."""
    if not moments(shop):
        score_all(shop)
    return create(shop.home / "keys.json", "schema", ["storefront", "crm", "admin"])[0]


def test_no_generated_request_fails_or_is_answered_otherwise_than_documented(
    service: Running, every_key: str, tmp_path: Path
) -> None:
    """All checks of schemathesis: status codes, content types, schemas, and what must be refused."""
    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/docs.json"),
            *("--checks", "all", "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color"),
            *("-H", f"X-API-Key: {every_key}"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    told = "\n".join(line[:300] for line in found.stdout.splitlines()[-80:])
    assert found.returncode == 0, told + found.stderr[-2000:]
    assert "passed" in found.stdout and service.log.read_text().count("Traceback") == 0
