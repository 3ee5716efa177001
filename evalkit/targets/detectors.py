"""Targets that detect: the monitor over formal rules, guardrails, and baselines that are fitted on labelled cases.

They read the case of the scenario they are asked (core/cases.py: no label in it) and answer with one JSON object that
the judge `detection` reads. One example at a time, timed by themselves: their latency is that of batch size 1.

A scorer is any object with `score(policy, steps) -> probability of a violation`; optional `threshold` (0.5) from which
it says violation, `score_so_far`, asked instead of a trajectory that goes on (task=prefix: an open duty is not yet
broken), and `untold(policy) -> why` for a policy of which it can tell nothing (empty where it can): such a case is left
open where it does not say violation, and not counted as kept. A guardrail is one, makes one without arguments, or is
itself a function of policy and steps. A baseline is a function `fit(examples) -> scorer`; examples have `policy`,
`steps` and `label`.
"""

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from evalkit import content, registry
from evalkit.core.cases import Case, Taught, case_of, taught
from evalkit.core.errors import ContentError, TargetError, UsageError, unknown
from evalkit.core.events import Event
from evalkit.core.monitor import Program, compile_rule
from evalkit.core.ruletext import parse
from evalkit.core.types import Policy, Reply, Request, Scenario, TargetOptions, digest

THRESHOLD = 0.5


class Scorer(Protocol):
    """What a guardrail or a fitted baseline is here."""

    def score(self, policy: str, steps: Sequence[str]) -> float: ...


Fit = Callable[[Sequence[Any]], Scorer]
"""From labelled examples (`policy`, `steps`, `label`) to a scorer."""


def make_rules(rest: str, options: TargetOptions) -> "Rules":
    """`rules`: the monitor of the policies' formal rules."""
    return Rules()


def make_guardrail(rest: str, options: TargetOptions) -> "Scored":
    """`guardrail:NAME` or `guardrail:module:attr`."""
    name = rest.removeprefix("guardrail:")
    return Scored(f"guardrail:{name}", _scorer(name), source=name)


def make_baseline(rest: str, options: TargetOptions) -> "Baseline | Fitted":
    """`baseline:NAME`, fitted on the train part of the data that is played; `baseline:NAME:FILE.jsonl` on that file.

    `baseline:module:attr` is own code: a function from examples to a scorer.
    """
    name, _, file = rest.removeprefix("baseline:").partition(":")
    known: Mapping[str, Fit] = registry.load(registry.BASELINES)
    if name not in known:
        if not file:
            raise unknown("baseline", name, known)
        return Baseline(f"baseline:{rest}", registry.load(rest), source_of(registry.load(rest)))
    made = Baseline(f"baseline:{name}", known[name])
    if not file:
        return made
    path = Path(file)
    found = [
        t for s in content.read_jsonl(path, Scenario) if s.tags.get("split", "train") == "train" for t in taught(s)
    ]
    if not found:
        raise ContentError(f"{path}: no labelled scenario of the train part to fit {made.name} on")
    return made.fit(found, lambda _scenario: "", named=f"{made.name}:{path.name}")


class _Function:
    """A function of policy and steps as a scorer."""

    def __init__(self, score: Callable[[str, Sequence[str]], float]) -> None:
        self.score = score


class Rules:
    """The incremental monitor of each policy's rule, over the events of the trajectory."""

    name = "rules"
    detects = True
    cacheable = False
    concurrency = 1

    def __init__(self) -> None:
        self._programs: dict[tuple[str, str], Program] = {}

    async def generate(self, request: Request) -> Reply:
        """Violation where a rule is broken, or, at the end of a whole trajectory, still not met."""
        started = perf_counter()
        case = _case(request, self.name)
        events = case.events()
        if events is None:
            raise TargetError("bad_request", "the steps are known in words only: rules read events")
        onset: float | None = None
        for policy in case.policies:
            found = self._broken(policy, events, case)
            if found is not None and (onset is None or found < onset):
                onset = found
        step = int(onset) + 1 if onset is not None and onset < len(events) else None
        return _reply(self.name, onset is not None, float(onset is not None), step, started)

    def _broken(self, policy: Policy, events: Sequence[Event], case: Case) -> float | None:
        """The event that breaks the rule; infinity where only the end does; None where it is kept."""
        monitor = self._program(policy).start(case.values)
        for i, event in enumerate(events):
            if monitor.step(event) == "violated":
                return i
        return math.inf if not case.prefix and monitor.end() == "violated" else None

    def _program(self, policy: Policy) -> Program:
        if policy.rule is None:
            raise TargetError("bad_request", f"policy {policy.id!r} has no formal rule")
        key = (policy.id, json.dumps(policy.rule, sort_keys=True, default=str))
        if key not in self._programs:
            self._programs[key] = compile_rule(parse(policy.rule, f"policy {policy.id!r}: rule"))
        return self._programs[key]


class Scored:
    """A scorer and its threshold."""

    detects = True
    cacheable = False
    concurrency = 1

    def __init__(self, name: str, scorer: Scorer, source: str | None = None) -> None:
        self.name = name
        self.fingerprint = source_of(scorer) if source is not None and ":" in source else _stated(scorer)
        self._scorer = scorer

    async def generate(self, request: Request) -> Reply:
        """The score as probability."""
        return scored(self.name, self._scorer, _case(request, self.name))


class Baseline:
    """A detector that has to be fitted: the engine does it, on the train part of the data (engine/fitting.py)."""

    detects = True

    def __init__(self, name: str, fit: Fit, source: str | None = None) -> None:
        self.name = name
        self._fit, self._source = fit, source

    async def generate(self, request: Request) -> Reply:
        """Never: nothing was learnt yet."""
        raise TargetError("target", f"{self.name} was not fitted")

    def fit(self, examples: Sequence[Taught], part: Callable[[Scenario], str], named: str | None = None) -> "Fitted":
        """One scorer for each part, fitted on the examples of all other parts; one for all where there are no parts."""
        parts = sorted({t.part for t in examples})
        others = {p: [t for t in examples if t.part != p] if len(parts) > 1 else list(examples) for p in parts}
        scorers = {p: self._fitted(some) for p, some in others.items()}
        return Fitted(named or self.name, scorers, part, digest([self._source, _digest(examples)]))

    def _fitted(self, examples: list[Taught]) -> Scorer:
        labels = {t.label for t in examples}
        if len(labels) < 2:
            what = "violation" if labels == {True} else "compliant"
            raise UsageError(
                f"{self.name}: all {len(examples)} training examples are {what}; there is nothing to learn"
            )
        made = self._fit(examples)
        if not hasattr(made, "score"):
            raise UsageError(f"{self.name}: fit gave a {type(made).__name__} without score(policy, steps)")
        return made


class Fitted:
    """Fitted scorers: of each part one that has not seen it."""

    detects = True
    cacheable = False
    concurrency = 1

    def __init__(
        self, name: str, scorers: dict[str, Scorer], part: Callable[[Scenario], str], fingerprint: str
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self._scorers, self._part = scorers, part

    async def generate(self, request: Request) -> Reply:
        """The probability that the scorer of this part gives."""
        case = _case(request, self.name)
        assert request.scenario is not None
        part = self._part(request.scenario)
        if part not in self._scorers:
            raise TargetError("target", f"{self.name} has learnt nothing for {part!r}: the train part has none of it")
        return scored(self.name, self._scorers[part], case)


def scored(name: str, scorer: Scorer, case: Case) -> Reply:
    """One answer of a scorer. What is no probability is a failure, not a guess."""
    started = perf_counter()
    score = getattr(scorer, "score_so_far", scorer.score) if case.prefix else scorer.score
    probability = float(score(case.policy, case.steps))
    if not 0 <= probability <= 1:  # nan too
        raise TargetError("malformed", f"{name} gave {probability!r}, which is no probability")
    violation = probability >= getattr(scorer, "threshold", THRESHOLD)
    untold = getattr(scorer, "untold", None)
    if not violation and callable(untold) and (why := untold(case.policy)):
        return _answer(name, {"undecided": str(why)}, started)
    return _reply(name, violation, probability, None, started)


def source_of(thing: Any) -> str | None:
    """A hash of the file that holds the code of an object; None for code without a file."""
    if isinstance(thing, _Function):
        thing = thing.score
    code = thing if inspect.isclass(thing) or inspect.isroutine(thing) else type(thing)
    try:
        path = inspect.getsourcefile(code)
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12] if path else None
    except (TypeError, OSError):
        return None


def _stated(scorer: Scorer) -> str | None:
    found = getattr(scorer, "fingerprint", None)
    return None if found is None else str(found)


def _scorer(name: str) -> Any:
    found = registry.lookup("guardrails", name)
    if hasattr(found, "score") and not inspect.isclass(found):
        return found
    if _takes(found, 0):
        made = found()
        if hasattr(made, "score"):
            return made
    elif not inspect.isclass(found) and _takes(found, 2):
        return _Function(found)
    raise UsageError(
        f"guardrail {name!r} has no score(policy, steps): an object that has, what makes one without arguments, or "
        "that function itself"
    )


def _takes(thing: Any, many: int) -> bool:
    """Whether it can be called with so many arguments."""
    try:
        inspect.signature(thing).bind(*range(many))
    except (TypeError, ValueError):
        return False
    return True


def _case(request: Request, name: str) -> Case:
    if request.scenario is None:
        raise TargetError("target", f"{name} reads scenarios only: this request has none")
    return case_of(request.scenario)


def _reply(name: str, violation: bool, probability: float, step: int | None, started: float) -> Reply:
    said: dict[str, Any] = {"violation": violation, "probability": round(probability, 6)}
    if step is not None:
        said["step"] = step
    return _answer(name, said, started)


def _answer(name: str, said: Mapping[str, Any], started: float) -> Reply:
    return Reply(text=json.dumps(said), model=name, latency_s=perf_counter() - started)


def _digest(examples: Iterable[Taught]) -> str:
    h = hashlib.sha256()
    for t in examples:
        h.update(repr(tuple(t)).encode())
    return h.hexdigest()[:12]
