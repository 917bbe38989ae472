"""Runs contenders, each in a fresh process, and judges what they answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patron import console
from recommending import stored
from recommending.judging import Truth, judged, ndcg, truth
from recommending.splits import LEAVE_ONE_OUT, Fold
from training.bootstrap import Judgement

HERE = Path(__file__).resolve().parents[1]
DEPTH = 20


@dataclass(frozen=True)
class Contender:
    name: str
    path: str
    """`module:Class`, as `recommending.child` wants it."""
    options: dict[str, Any] = field(default_factory=dict)
    variants: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    """Settings over the contender's own; the validation panel chooses among them."""
    python: str = sys.executable


@dataclass
class Outcome:
    """A contender under one reading, or why there is none."""

    name: str
    problem: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    validation: float = float("nan")
    facts: dict[str, Any] = field(default_factory=dict)
    judgement: Judgement | None = None


class ChildFailed(Exception):
    """A contender's process ended with an error."""


@dataclass(frozen=True)
class Runner:
    """One data set under one protocol. `folds`: which fold answers which panel."""

    folds: dict[str, Fold]
    protocol: str
    readings: tuple[str, ...]
    scratch: Path
    threads: int
    common: dict[str, Any]

    def folder(self, panel: str) -> Path:
        return self.scratch / self.folds[panel].name

    def prepare(self) -> None:
        for fold in {each.name: each for each in self.folds.values()}.values():
            stored.write(fold, self.scratch / fold.name)

    @property
    def once(self) -> bool:
        """One fit answers both panels."""
        return self.folds["validation"] is self.folds["test"]

    def truth(self, panel: str, reading: str) -> Truth:
        return truth(self.folds[panel].panels[panel], reading, keep_all=self.protocol == LEAVE_ONE_OUT)

    def run(self, contender: Contender) -> list[Outcome]:
        """One outcome a reading, with the variant that did best on the validation panel."""
        try:
            tried = [self.tried(contender, variant) for variant in contender.variants]
            return [self.best(contender, reading, tried) for reading in self.readings]
        except ChildFailed as error:
            return [Outcome(contender.name, problem=str(error)) for _ in self.readings]

    def tried(self, contender: Contender, variant: dict[str, Any]) -> tuple[dict[str, Any], Any, Any]:
        panels = ["validation", "test"] if self.once else ["validation"]
        facts, lists = self.child(contender, variant, "validation", panels)
        return variant, facts, lists

    def best(self, contender: Contender, reading: str, tried: list[Any]) -> Outcome:
        true = self.truth("validation", reading)
        reached = [ndcg(lists[f"validation-{reading}"], true) for _, _, lists in tried]
        variant, facts, lists = tried[int(np.argmax(reached))]
        if not self.once:
            facts, lists = self.child(contender, variant, "test", ["test"], [reading])
        judgement = judged(lists[f"test-{reading}"], self.truth("test", reading), self.folds["test"])
        return Outcome(contender.name, "", variant, max(reached), facts, judgement)

    def child(
        self,
        contender: Contender,
        variant: dict[str, Any],
        fold: str,
        panels: list[str],
        readings: list[str] | None = None,
        warm: Path | None = None,
    ) -> tuple[dict[str, Any], dict[str, NDArray[np.int64]]]:
        """Raises ChildFailed with the last line of what the process said."""
        console.note(f"{contender.name} {variant or ''}: fitting for {' and '.join(panels) or 'speed'}")
        out = Path(tempfile.mkdtemp(dir=self.scratch)) / "out"
        job = {
            "contender": contender.path,
            "options": {**self.common, **contender.options, "threads": self.threads, "overrides": variant},
            "fold": str(self.folder(fold)),
            "panels": panels,
            "readings": readings or list(self.readings),
            "depth": DEPTH,
            "out": str(out),
            "warm": str(warm) if warm else None,
        }
        command = [contender.python, "-m", "recommending.child", str(out.with_suffix(".job"))]
        Path(command[-1]).write_text(json.dumps(job), encoding="utf-8")
        ended = subprocess.run(
            command,
            env=environment(self.threads),
            cwd=out.parent,
            stderr=subprocess.PIPE,
            stdout=sys.stderr,
            text=True,
        )
        if ended.returncode:
            lines = ended.stderr.strip().splitlines()
            console.note("\n".join(lines[-12:]))
            raise ChildFailed(lines[-1] if lines else f"the process ended with {ended.returncode}")
        return json.loads(out.with_suffix(".json").read_text()), stored.load(out.with_suffix(".npz"))


def environment(threads: int) -> dict[str, str]:
    """The same number of threads for every library."""
    pools = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return {**os.environ, **pools, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(HERE)}


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="patron-bench-") as folder:
        yield Path(folder)
