"""One model in a process of its own: fit, measure, answer. `python -m recommending.child job.json`

The job names a contender `module:Class`, made with its options, that has

    fit(lines, folder)              learn from a fold: its purchases as arrays, the rest in its folder
    answers(past, readings, depth)  {reading: positions (customers, depth), best first, -1 for an empty place}
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from recommending import stored

STATUS = Path("/proc/self/status")


def main(job: dict[str, Any]) -> int:
    """0, or 1 with what went wrong as `problem` beside the answers' place."""
    try:
        work(job)
    except BaseException as error:  # a peer's panic is no Exception
        traceback.print_exc()
        problem = {"problem": f"{type(error).__name__}: {error}".splitlines()[0]}
        Path(job["out"]).with_suffix(".json").write_text(json.dumps(problem), encoding="utf-8")
        return 1
    return 0


def work(job: dict[str, Any]) -> None:
    module, _, name = job["contender"].partition(":")
    contender = getattr(importlib.import_module(module), name)(**job["options"])
    folder, out = Path(job["fold"]), Path(job["out"])
    lines = stored.load(folder / "fit.npz")
    if job.get("warm"):
        warm = Path(job["warm"])
        contender.fit(stored.load(warm / "fit.npz"), warm)
    forget_peak()
    before = resident()
    started = time.perf_counter()
    contender.fit(lines, folder)
    facts = {"fit_seconds": time.perf_counter() - started, "memory_mb": max(peak() - before, 0) / 2**20}
    started, lists = time.perf_counter(), {}
    for panel in job["panels"]:
        past = stored.past(folder, panel)
        found = contender.answers(past, job["readings"], job["depth"])
        lists |= {f"{panel}-{reading}": each for reading, each in found.items()}
    facts["answer_seconds"] = time.perf_counter() - started
    facts["facts"] = getattr(contender, "facts", {})
    stored.save(out.with_suffix(".npz"), **lists)
    out.with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")


def peak() -> int:
    """Bytes. Linux's own counter: getrusage may still hold the peak of the process that started this one."""
    return kilobytes("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit()


def resident() -> int:
    return kilobytes("VmRSS") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit()


def unit() -> int:
    return 1 if sys.platform == "darwin" else 1024


def kilobytes(name: str) -> int:
    """A line of this process's status in bytes; 0 where there is none."""
    if not STATUS.is_file():
        return 0
    found = [line for line in STATUS.read_text().splitlines() if line.startswith(name + ":")]
    return int(found[0].split()[1]) * 1024 if found else 0


def forget_peak() -> None:
    """From here on the peak is that of fitting."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
