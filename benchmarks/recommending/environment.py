"""The environment of the peers that cannot live beside Patron: .venv-peers, made from peers.txt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from patron import console

HERE = Path(__file__).resolve().parents[1]
FOLDER = HERE / ".venv-peers"
PINS = HERE / "peers.txt"
READY = FOLDER / ".ready"


def ready() -> tuple[str | None, str]:
    """(its Python, "") or (None, why there is none). Made where it is not there or its pins have changed."""
    python = FOLDER / "bin" / "python"
    if READY.is_file() and READY.read_text(encoding="utf-8") == PINS.read_text(encoding="utf-8"):
        return str(python), ""
    console.note(f"Making {FOLDER} from {PINS.name}: some minutes, once")
    shutil.rmtree(FOLDER, ignore_errors=True)
    quiet = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for command in (
        [sys.executable, "-m", "venv", str(FOLDER)],
        [str(python), "-m", "pip", "install", "-r", str(PINS)],
    ):
        try:
            ended = subprocess.run(command, env=quiet, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
        except OSError as error:
            return None, str(error)
        if ended.returncode:
            lines = ended.stderr.strip().splitlines()
            return None, lines[-1] if lines else f"{command[0]} ended with {ended.returncode}"
    READY.write_text(PINS.read_text(encoding="utf-8"), encoding="utf-8")
    return str(python), ""


if __name__ == "__main__":
    found, problem = ready()
    console.note(problem or f"Ready: {found}")
    sys.exit(0 if found else 1)
