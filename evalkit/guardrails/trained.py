"""A trained guardrail: does a row of steps break a policy that is given in words? Stages, from cheap to dear.

`names`: every role of the policy is a quoted name, so that which steps play it needs no network; `linear`: the linear
model is sure; `encoder`: the network compares policy and steps. All but `linear` end in the same programs
(verdict.py). Loads a model folder when first asked; trains nothing.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from evalkit import content
from evalkit.core.errors import ContentError, UsageError
from evalkit.core.types import Decision, Evidence, Model, digest
from evalkit.guardrails import linear, verdict
from evalkit.guardrails.calibrated import Platt
from evalkit.guardrails.encoder import Encoder
from evalkit.guardrails.looks import opened
from evalkit.guardrails.names import named, overruled
from evalkit.guardrails.programs import BEYOND, KNOWN
from evalkit.guardrails.texts import clauses, read_step

RECORD = "training.json"
READING = 4
"""Goes up with every change of how texts are read (texts, fields, measures, looks, programs, verdict) that can move a
score: it is in each version."""
Recipe = Literal["linear", "encoder"]
Stage = Literal["names", "linear", "encoder"]
Pair = tuple[str, Sequence[str]]
T = TypeVar("T")
THREADS = 8
"""Most pairs that are judged at a time."""
NEIGHBOURS = 8
"""Pairs that one thread takes in a row: what stands beside each other often shares texts, which are then read once."""


class Record(Model):
    """training.json: what a model folder is, and everything that made it."""

    name: str
    recipe: Recipe
    threshold: float = Field(ge=0, le=1)
    """From this probability on it says violation."""
    thresholds: dict[str, float] = Field(default_factory=dict)
    """Rate of false alarms on the calibration rows to the threshold that keeps it: "0.01", "0.05"."""
    calibration: Platt = Platt()
    linear_calibration: Platt = Platt()
    sure: tuple[float, float] | None = None
    """The linear stage decides where its probability is at most the first, or at least the second."""
    names: bool = True
    """Whether the stage `names` is used."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Recipe, data, splits, what was measured, versions, machine."""
    files: dict[str, str] = Field(default_factory=dict)
    """File to sha256."""


@dataclass(frozen=True)
class Judged:
    """One answer."""

    probability: float
    """That the policy is broken, calibrated."""
    onset: int | None
    """The first step by which it says so; None where none does, or only the end."""
    stage: Stage
    unread: bool = False
    """A line of the policy is, as it was read, one that steps cannot show (programs.BEYOND): not in the answer."""


class Guardrail:
    """A model folder at work. Thread-safe; one per process is enough (loading.py)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = read_record(folder)
        self.name = self.record.name
        made = [READING, self.record.files, self.record.threshold, self.record.sure]
        if "fitted" in self.record.training:  # to cases of somebody's own (engine/guardfit.py)
            made.append(self.record.calibration.model_dump())
        self.version = self.fingerprint = digest(made)
        self.threshold = self.record.threshold
        self.stages: Counter[str] = Counter()
        """How many answers each stage gave."""
        self._counting, self._loading = threading.Lock(), threading.RLock()
        self._linear: linear.Linear | None = None
        self._encoder: Encoder | None = None

    def score(self, policy: str, steps: Sequence[str]) -> float:
        """Probability that the steps, all there are, break the policy."""
        return self.judge(policy, steps).probability

    def score_so_far(self, policy: str, steps: Sequence[str]) -> float:
        """Probability that the steps have broken the policy already, whatever may follow."""
        return self.judge(policy, steps, ended=False).probability

    def scores(self, pairs: Sequence[Pair]) -> list[float]:
        """`score` for each pair, several at a time."""
        return self._beside(lambda pair: self.score(*pair), pairs)

    def peak(self, policy: str, steps: Sequence[str]) -> float:
        """The highest of `score_so_far` after any step: what a guard that looks after each of them sees."""
        if not steps or self.record.recipe == "linear" or self.record.sure is not None:
            return max((self.score_so_far(policy, steps[: k + 1]) for k in range(len(steps))), default=0.0)
        return max(
            self.record.calibration(float(p)) for one in clauses(policy) for p in self.curve(one, steps)[0][:-1]
        )  # fmt: skip

    def peaks(self, pairs: Sequence[Pair]) -> list[float]:
        """`peak` for each pair, several at a time."""
        return self._beside(lambda pair: self.peak(*pair), pairs)

    def check(self, policy: str, steps: Sequence[str], *, ended: bool = False) -> Decision:
        """Block or allow: have the steps broken the policy, so far or (`ended`) with nothing to follow?"""
        started = perf_counter()
        found = self.judge(policy, steps, ended=ended)
        blocked = found.probability >= self.threshold
        shown: tuple[Evidence, ...] = ()
        if blocked and found.onset is not None:
            step = steps[found.onset]
            shown = (Evidence(message=found.onset, start=0, end=len(step), quote=step),)
        where = "" if found.onset is None else f" with step {found.onset + 1}"
        return Decision(
            guardrail=self.name, action="block" if blocked else "allow", probability=round(found.probability, 6),
            evidence=shown, latency_s=perf_counter() - started,
            reason=f"breaks the policy{where} ({found.stage})" if blocked else self.untold(policy),
        )  # fmt: skip

    def untold(self, policy: str) -> str:
        """Why an allowed action is not known to keep the policy; nothing where it was read."""
        return "not told: steps cannot show what the policy demands" if any(map(self.beyond, clauses(policy))) else ""

    def checks(self, pairs: Sequence[Pair], *, ended: bool = False) -> list[Decision]:
        """`check` for each pair, several at a time."""
        return self._beside(lambda pair: self.check(*pair, ended=ended), pairs)

    def _beside(self, ask: Callable[[Pair], T], pairs: Sequence[Pair]) -> list[T]:
        """In threads: ONNX Runtime computes outside Python's lock. An answer depends on its own pair alone."""
        if len(pairs) < 2 or self.record.recipe == "linear":
            return [ask(pair) for pair in pairs]
        parts = [pairs[a : a + NEIGHBOURS] for a in range(0, len(pairs), NEIGHBOURS)]
        with ThreadPoolExecutor(min(os.cpu_count() or 1, THREADS, len(parts))) as pool:
            return [answer for part in pool.map(lambda some: [ask(pair) for pair in some], parts) for answer in part]

    def assess(self, policy: Any, steps: Sequence[str]) -> Judged:
        """For the guard core: a policy record (its `text` counts) over the steps so far."""
        found = self.judge(policy.text, steps, ended=False)
        return replace(found, unread=any(map(self.beyond, clauses(policy.text))))

    def beyond(self, policy: str) -> bool:
        """Whether one policy is taken for one that no steps can show: tone, truth, harm in general."""
        if self.record.recipe == "linear":
            return False
        return self.encoder.policy(policy).means.programs[0][0] == BEYOND

    def start(self, policy: str) -> "Session":
        """A conversation that goes on step by step."""
        return Session(self, policy)

    def judge(self, policy: str, steps: Sequence[str], *, ended: bool = True) -> Judged:
        """The answer and the stage that gave it. A text of several policies, one a line, is broken when any is."""
        if not policy.strip():
            raise UsageError(f"guardrail {self.name!r}: the policy is empty")
        if isinstance(steps, str):
            raise UsageError(f"guardrail {self.name!r}: steps is a list of texts, not one text; one step is [text]")
        if not steps:
            return Judged(0.0, None, "names")
        found = max((self._judge(one, steps, ended) for one in clauses(policy)), key=lambda j: j.probability)
        with self._counting:
            self.stages[found.stage] += 1
        return found

    def curve(self, policy: str, steps: Sequence[str]) -> tuple[Any, Stage]:
        """(steps + 1,): before calibration, the probability that one policy is broken by each step and by the end."""
        read = self.encoder.policy(policy)
        looks = opened(steps) if any(name in KNOWN for name, _ in read.means.programs) else None
        texts = steps if looks is None else looks.texts
        played, stage = (named(read, texts) if self.record.names else None), "names"
        if played is None:
            played, stage = self.encoder.played(policy, texts), "encoder"
            played = overruled(read, texts, played) if self.record.names else played
        return verdict.curve(read.means, played, [read_step(s) for s in steps], policy, looks), stage  # type: ignore[return-value]

    def _judge(self, policy: str, steps: Sequence[str], ended: bool) -> Judged:
        if self.record.recipe == "linear":
            return self._by_words(policy, steps)
        if self.record.sure is not None:
            quick = self._by_words(policy, steps)
            if not self.record.sure[0] < quick.probability < self.record.sure[1]:
                return quick
        curve, stage = self.curve(policy, steps)
        calibrated = [self.record.calibration(float(p)) for p in curve]
        probability = calibrated[-1] if ended else calibrated[-2]
        onset = next((i for i, p in enumerate(calibrated[:-1]) if p >= self.threshold), None)
        return Judged(probability, onset if probability >= self.threshold else None, stage)

    def _by_words(self, policy: str, steps: Sequence[str]) -> Judged:
        return Judged(self.record.linear_calibration(self.linear.score(policy, steps)), None, "linear")

    @property
    def linear(self) -> linear.Linear:
        """The linear stage, loaded when first asked for."""
        with self._loading:
            if self._linear is None:
                self._linear = linear.load(self._file(linear.FILE))
            return self._linear

    @property
    def encoder(self) -> Encoder:
        """The reader, loaded when first asked for."""
        with self._loading:
            if self._encoder is None:
                for name in self.record.files:
                    self._file(name)
                self._encoder = Encoder(self.folder)
            return self._encoder

    def _file(self, name: str) -> Path:
        """A file of the model, checked against its record."""
        path = self.folder / name
        if not path.is_file():
            raise ContentError(f"{path}: missing; {self.folder / RECORD} names it")
        if self.record.files.get(name) != content.hash_files([path]):
            raise ContentError(f"{path}: not the file that {self.folder / RECORD} names (sha256 differs)")
        return path


def read_record(folder: Path) -> Record:
    """The record of a model folder."""
    path = folder / RECORD
    try:
        return Record.model_validate(content.load_json(path))
    except ValidationError as e:
        problem = e.errors()[0]
        field = ".".join(str(p) for p in problem["loc"])
        raise ContentError(f"{path}: {field}: {problem['msg']}") from e


class Session:
    """One policy over one conversation; each step costs one short text."""

    def __init__(self, guardrail: Guardrail, policy: str) -> None:
        self._guardrail = guardrail
        self.policy = policy
        self.steps: list[str] = []

    def step(self, text: str) -> float:
        """Probability that the policy is broken by now."""
        self.steps.append(text)
        return self._guardrail.score_so_far(self.policy, self.steps)

    def end(self) -> float:
        """The same, with nothing to follow: obligations that are open are broken."""
        return self._guardrail.score(self.policy, self.steps)
