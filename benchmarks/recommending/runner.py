"""Runs contenders, each in a fresh process, and judges what they answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patron import console
from recommending import stored
from recommending.judging import Truth, found, judged, ndcg, truth
from recommending.splits import LEARNING, LEAVE_ONE_OUT, Fold
from training.bootstrap import Judgement

HERE = Path(__file__).resolve().parents[1]
DEPTH = 20
MOST_MINUTES = 30
"""For a process that fits and answers, besides what sequence models may take."""
Settings = dict[str, Any]
Lists = dict[str, NDArray[np.int64]]
"""Rankings by `panel-reading`."""
Answer = tuple[dict[str, Any], Lists]
"""(what was measured, rankings)."""


@dataclass(frozen=True)
class Contender:
    name: str
    path: str = ""
    """`module:Class`, as `recommending.child` wants it."""
    options: Settings = field(default_factory=dict)
    variants: tuple[Settings, ...] = ({},)
    """Settings in place of the contender's own; the validation panel chooses among them."""
    python: str = sys.executable
    learns: bool = False
    """It is handed panels with their answers, and says itself what it reached on them."""
    problem: str = ""
    """Why it cannot take part."""

    def varied(self, variants: list[Settings]) -> Contender:
        return replace(self, variants=tuple(variants))


@dataclass
class Outcome:
    """A contender under one reading, or why there is none."""

    name: str
    problem: str = ""
    settings: Settings = field(default_factory=dict)
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
    common: Settings
    """Options that every contender takes."""

    def folder(self, panel: str) -> Path:
        return self.scratch / self.folds[panel].name

    def prepare(self) -> None:
        for fold in {each.name: each for each in self.folds.values()}.values():
            stored.write(fold, self.scratch / fold.name, self.learning)

    @property
    def learning(self) -> dict[str, str]:
        """Panels whose answers may be learned from, and where they are."""
        return {name: str(self.folder(name)) for name in LEARNING[self.protocol] if name in self.folds}

    @property
    def once(self) -> bool:
        """One fit answers both panels."""
        return self.folds["validation"] is self.folds["test"]

    def truth(self, panel: str, reading: str) -> Truth:
        found = self.folds[panel].panels[panel]
        return truth(found, reading, keep_all=self.protocol == LEAVE_ONE_OUT)

    def run(self, contender: Contender) -> dict[str, Outcome]:
        """By reading, with the variant that did best on the validation panel."""
        try:
            if contender.problem:
                raise ChildFailed(contender.problem)
            return self.learned(contender) if contender.learns else self.judged(contender)
        except ChildFailed as error:
            return {name: Outcome(contender.name, problem=str(error)) for name in self.readings}

    def learned(self, contender: Contender) -> dict[str, Outcome]:
        """It chose among its variants by what it was handed; only the first is asked."""
        settings = contender.variants[0]
        facts, lists = self.child(contender, settings, ("test",), self.readings)
        told = facts["facts"].pop("readings")
        return {
            name: Outcome(
                contender.name,
                settings=settings,
                validation=max(told[name].pop("validation").values()),
                facts={
                    **facts,
                    "facts": {**facts["facts"], **told[name]},
                    "candidate_ceiling": found(lists[f"test-{name}-candidates"], self.truth("test", name)),
                },
                judgement=self.judgement(lists, name),
            )
            for name in self.readings
        }

    def judged(self, contender: Contender) -> dict[str, Outcome]:
        readings = self.readings
        panels = ("validation", "test") if self.once else ("validation",)
        tried = [self.child(contender, each, panels, readings) for each in contender.variants]
        reached = {name: [self.reached(lists, name) for _, lists in tried] for name in readings}
        best = {name: int(np.argmax(reached[name])) for name in readings}
        tested = dict(enumerate(tried))
        if not self.once:  # each chosen variant is fitted anew, once for all readings that chose it
            for place in set(best.values()):
                chosen = tuple(name for name in readings if best[name] == place)
                tested[place] = self.child(contender, contender.variants[place], ("test",), chosen)
        return {
            name: Outcome(
                contender.name,
                settings=contender.variants[best[name]],
                validation=reached[name][best[name]],
                facts=tested[best[name]][0],
                judgement=self.judgement(tested[best[name]][1], name),
            )
            for name in readings
        }

    def reached(self, lists: Lists, reading: str) -> float:
        return ndcg(lists[f"validation-{reading}"], self.truth("validation", reading))

    def judgement(self, lists: Lists, reading: str) -> Judgement:
        return judged(lists[f"test-{reading}"], self.truth("test", reading), self.folds["test"])

    def child(
        self,
        contender: Contender,
        variant: Settings,
        panels: tuple[str, ...],
        readings: tuple[str, ...],
        warm: Path | None = None,
    ) -> Answer:
        """Fit on the fold of the first panel, or of the test. Raises ChildFailed with what went wrong."""
        shown = " ".join(f"{key}={value}" for key, value in variant.items() if not isinstance(value, dict))
        console.note(f"{contender.name} {shown}: {' and '.join(panels) or 'speed'}".replace(" :", ":"))
        out = Path(tempfile.mkdtemp(dir=self.scratch)) / "out"
        job = {
            "contender": contender.path,
            "options": {**self.common, **contender.options, "threads": self.threads, "overrides": variant},
            "fold": str(self.folder((*panels, "test")[0])),
            "panels": panels,
            "readings": readings,
            "depth": DEPTH,
            "out": str(out),
            "warm": str(warm) if warm else None,
        }
        path = out.with_suffix(".job")
        path.write_text(json.dumps(job), encoding="utf-8")
        command = [contender.python, "-W", "ignore", "-m", "recommending.child", str(path)]
        limit = MOST_MINUTES + 3 * self.common["minutes"]
        try:
            ended = subprocess.run(
                command,
                env=environment(self.threads),
                cwd=out.parent,
                stdout=sys.stderr,
                timeout=60 * limit,
            )
        except subprocess.TimeoutExpired:
            raise ChildFailed(f"no answer within {limit:g} minutes") from None
        measured = out.with_suffix(".json")
        facts = json.loads(measured.read_text()) if measured.is_file() else {}
        if ended.returncode or "problem" in facts:
            raise ChildFailed(facts.get("problem", f"the process ended with {ended.returncode}"))
        return facts, stored.load(out.with_suffix(".npz"))


def environment(threads: int) -> dict[str, str]:
    """The same number of threads for every library."""
    pools = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    rayon = {"RAYON_NUM_THREADS": str(threads), "LK_NUM_THREADS": str(threads)}
    return {**os.environ, **pools, **rayon, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(HERE)}


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="patron-bench-") as folder:
        yield Path(folder)
