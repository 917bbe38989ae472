"""Environments of the peers that cannot live beside Patron: .venv-peers, made from peers.txt, and others that
have a name: .venv-peers-customers, from peers-customers.txt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from patron import console

HERE = Path(__file__).resolve().parents[1]
ALL = ("", "customers")


def ready(name: str = "") -> tuple[str | None, str]:
    """(its Python, "") or (None, why there is none). Made where it is not there or its pins have changed."""
    called = f"peers-{name}" if name else "peers"
    folder, pins = HERE / f".venv-{called}", HERE / f"{called}.txt"
    python, made = folder / "bin" / "python", folder / ".ready"
    if made.is_file() and made.read_text(encoding="utf-8") == pins.read_text(encoding="utf-8"):
        return str(python), ""
    console.note(f"Making {folder} from {pins.name}: some minutes, once")
    shutil.rmtree(folder, ignore_errors=True)
    quiet = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "-r", str(pins)],
    ):
        try:
            ended = subprocess.run(command, env=quiet, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
        except OSError as error:
            return None, str(error)
        if ended.returncode:
            lines = ended.stderr.strip().splitlines()
            return None, lines[-1] if lines else f"{command[0]} ended with {ended.returncode}"
    made.write_text(pins.read_text(encoding="utf-8"), encoding="utf-8")
    return str(python), ""


if __name__ == "__main__":
    answers = [ready(each) for each in ALL]
    for found, problem in answers:
        console.note(problem or f"Ready: {found}")
    sys.exit(0 if all(found for found, _ in answers) else 1)
