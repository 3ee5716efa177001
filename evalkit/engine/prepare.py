"""From what the user asked for to a run that can start: suite, target, judges, spec, folder, manifest.

Reads content and names things; asks no model.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import orjson
import platformdirs

from evalkit.benchmarks import suites
from evalkit.benchmarks.suites import ScenarioSet, Suite
from evalkit.core.errors import UsageError
from evalkit.core.protocols import Target
from evalkit.core.types import RunSpec, Scenario, TargetOptions
from evalkit.engine import chosen, pressing, stage, suited
from evalkit.engine.chosen import Bench, JudgeWish
from evalkit.engine.compose import Composition, composed
from evalkit.engine.fitting import fitted
from evalkit.engine.guarding import GuardWish, guarded
from evalkit.engine.manifest import manifest
from evalkit.engine.play import Price
from evalkit.engine.pressing import Pressure
from evalkit.engine.run import Budget, Run
from evalkit.targets import spec as targets
from evalkit.targets import wrap
from evalkit.targets.asking import Asking
from evalkit.targets.revise import Revising

KEEP_IN_MEMORY = 10_000
"""Scenario sets up to this size are made once and kept; larger ones are made anew for every pass."""
ANSWER_TOKENS = 512


@dataclass(frozen=True)
class Wish:
    """What the user asked for, parsed and no more."""

    suite: str
    model: str
    made: Target | None = None
    """The target itself, where it was given as an object; `model` is then its name."""
    data: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    target: TargetOptions = TargetOptions()
    seed: int = 0
    limit: int | None = None
    epochs: int = 1
    truncated: Literal["error", "judge"] | None = None
    budget: Budget = Budget()
    price: Price | None = None
    cache: Path | None = None
    retry_errors: bool = False
    out: Path | None = None
    judging: JudgeWish = JudgeWish()
    revise: bool = False
    user_model: str | None = None
    """Plays the user in dialogues; None: the offline user."""
    user_target: TargetOptions = TargetOptions()
    guard: GuardWish | None = None
    pressure: Pressure = Pressure()


def prepare(wish: Wish) -> tuple[Run, Path]:
    """The run and its folder. Every error that a command line can hold is raised here, before anything is asked."""
    if any(0xD800 <= ord(c) <= 0xDFFF for c in wish.model):  # bytes of a shell that are not UTF-8
        raise UsageError(f"--model {wish.model!r}: not UTF-8 text")
    suite = suites.load(wish.suite)  # a wrong suite is said before a model is loaded
    bench = _bench(suite, wish)
    target = wish.made or targets.resolve(wish.model, wish.target)
    scenarios, content_digest = _scenarios(wish, target)
    target, learnt = fitted(target, wish.suite, wish.options, wish.data)
    judges = bench.judges
    params = {k: v for k, v in {**_defaults(target), **wish.params}.items() if v is not None}
    concurrency = wish.target.concurrency or getattr(target, "concurrency", None) or 32
    asked = _prompted(_wrapped(target, wish, concurrency), target, scenarios)
    if wish.revise:
        asked = _revising(asked, wish, suite)
    priced = wish.budget.cost is not None
    user = stage.player("--user-model", wish.user_model, wish.user_target, priced, wish.cache)
    suited.check(target, scenarios, user)
    dialogues = stage.staged(scenarios, user)
    if dialogues is not None:
        asked = stage.tooled(asked, target, scenarios)
    attacker = stage.player("--attacker-model", wish.pressure.model, wish.pressure.target, priced, wish.cache)
    turns = pressing.staged(scenarios, attacker, wish.pressure, wish.data)
    if wish.revise and (dialogues or turns):
        raise UsageError("--revise: an answer in a dialogue cannot be taken back")
    if wish.budget.cost is not None and wish.price is None and not wish.model.startswith("litellm/"):
        raise UsageError(f"--max-cost: no price is known for {wish.model!r}; give one with --price IN,OUT")
    spec = RunSpec(
        suite=scenarios.suite.id,
        suite_version=scenarios.suite.version,
        content=content_digest,
        model=asked.name,
        params=params,
        judges=composed(judges).versions(),
        options={
            **scenarios.options,
            **(stage.played_by(user) if dialogues is not None else {}),
            **pressing.played_by(attacker),
        },
        fingerprint=getattr(asked if isinstance(asked, (Revising, Asking)) else target, "fingerprint", None),
        seed=wish.seed,
        limit=wish.limit,
        epochs=wish.epochs,
        truncated=wish.truncated or getattr(target, "truncated", "error"),
    )
    asked, spec, more = guarded(asked, target, wish.guard, scenarios, spec)
    planned = sum(1 for _ in scenarios.read()) * wish.epochs
    run = Run(
        spec=spec,
        read=scenarios.read,
        planned=planned,
        contexts=scenarios.contexts,
        target=asked,
        judges=judges,
        judge_targets=bench.targets,
        manifest={**manifest(spec, scenarios, wish.data, wish.price), **more},
        notes=[*scenarios.notes, *learnt, *_under_load(asked, concurrency)],
        metrics=scenarios.suite.metrics,
        dialogues=dialogues or turns,
        concurrency=concurrency,
        budget=wish.budget,
        price=wish.price,
        retry_errors=wish.retry_errors,
    )
    return run, wish.out or Path("runs") / f"{spec.suite}-{_slug(spec.model)}-{spec.digest()}"


def judges_of(scenarios: ScenarioSet) -> Composition:
    """The judges that suite.yaml names, each with its condition."""
    return composed(chosen.make(scenarios.suite.judges, JudgeWish()).judges)


def cache_file() -> Path:
    """Where answers are kept for all runs of this user."""
    return Path(platformdirs.user_cache_dir("evalkit")) / "responses.sqlite"


def parse_params(temperature: float, answer_tokens: int | None, pairs: list[str]) -> dict[str, Any]:
    """Request parameters: JSON values, `none` to leave one out."""
    if not 0 <= temperature < math.inf:
        raise UsageError(f"--temperature {temperature}: give a number from 0 up")
    params: dict[str, Any] = {"temperature": temperature}
    if answer_tokens is not None:
        params["max_tokens"] = answer_tokens
    params |= parse_pairs("--param", pairs)
    longest = params.get("max_tokens")
    if longest is not None and (isinstance(longest, bool) or not isinstance(longest, int) or longest < 1):
        raise UsageError(f"--param max_tokens={longest}: a whole number from 1 up")
    return params


def parse_pairs(option: str, pairs: list[str]) -> dict[str, Any]:
    """`name=JSON` each; None for `none`."""
    params: dict[str, Any] = {}
    for pair in pairs:
        name, eq, value = pair.partition("=")
        if not eq:
            raise UsageError(f"{option} {pair!r}: write name=value, for example top_p=0.9")
        try:
            params[name] = None if value == "none" else json.loads(value)
        except ValueError:
            params[name] = value
        try:
            json.dumps(params[name], allow_nan=False)
            orjson.dumps({name: params[name]})
        except (ValueError, TypeError) as e:  # nan, more than 64 bits, bytes that are not UTF-8
            raise UsageError(f"{option} {pair!r}: {e}; no request can carry it") from e
    return params


def parse_seconds(text: str | None) -> float | None:
    """`90`, `90s`, `10m`, `2h` in seconds."""
    if text is None:
        return None
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number = text[:-1] if text[-1:] in unit else text
    try:
        seconds = float(number) * unit.get(text[-1:], 1.0)
    except ValueError as e:
        raise UsageError(f"--max-time {text!r}: write 90, 90s, 10m or 2h") from e
    if not 0 <= seconds < math.inf:
        raise UsageError(f"--max-time {text!r}: write 90, 90s, 10m or 2h")
    return seconds


def parse_share(option: str, share: float) -> float:
    """A share from 0 to 1; `10` for ten per cent would be a limit that nothing can pass."""
    if not 0 <= share <= 1:
        raise UsageError(f"{option} {share:g}: give a share from 0 to 1 (0.1 is 10 %)")
    return share


def parse_price(text: str | None, option: str = "--price") -> Price | None:
    """`0.15,0.60`: USD for a million prompt tokens and a million completion tokens."""
    if text is None:
        return None
    try:
        prompt, completion = (float(p) for p in text.split(","))
    except ValueError as e:
        raise UsageError(f"{option} {text!r}: two numbers, USD for a million tokens: 0.15,0.60") from e
    if not (0 <= prompt < math.inf and 0 <= completion < math.inf):
        raise UsageError(f"{option} {text!r}: two numbers from 0 up, USD for a million tokens: 0.15,0.60")
    return prompt, completion


def _bench(suite: Suite, wish: Wish) -> Bench:
    """The judges of the suite, but for those that `--judge` replaces."""
    judging = wish.judging
    in_suite = any(n.startswith(chosen.PREFIX) for use in suite.judges for n in use.judge)
    named = any(n.startswith(chosen.PREFIX) for n in judging.names)
    for_suite = judging if in_suite else replace(judging, models=())
    bench = chosen.make(suite.judges, for_suite, wish.cache)
    if judging.names or (judging.models and not in_suite):
        models = judging.models if named or not in_suite else ()
        bench = chosen.together(bench, chosen.make(judging.names, replace(judging, models=models), wish.cache))
    if wish.budget.cost is not None and bench.targets and not chosen.has_price(judging):
        raise UsageError("--max-cost: no price is known for the judge models; give one with --judge-price IN,OUT")
    return bench


def _revising(target: Target, wish: Wish, suite: Suite) -> Target:
    if getattr(target, "select", None) is not None:
        raise UsageError(f"--revise: recorded answers ({wish.model}) cannot be asked again")
    template = suite.prompts.get("revise")
    if not isinstance(template, str):
        raise UsageError(f"--revise: suite {suite.id!r} has no prompts.revise in its suite.yaml")
    return Revising(target, template)


def _prompted(asked: Target, target: Target, scenarios: ScenarioSet) -> Target:
    """A chat model within the suite's prompt, where the suite asks detectors; what detects by itself as it is."""
    prompts = scenarios.suite.prompts.get("detect")
    if not isinstance(prompts, Mapping) or getattr(target, "detects", False) or hasattr(target, "select"):
        return asked
    return Asking(asked, prompts, scenarios.options.get("answer", "label"))


def _under_load(asked: Target, concurrency: int) -> list[str]:
    told = f"latencies are those of {concurrency} cases at once; --concurrency 1 measures them one by one"
    return [told] if isinstance(asked, Asking) and concurrency > 1 else []


def _scenarios(wish: Wish, target: Target) -> tuple[ScenarioSet, str]:
    """What to play, and the digest of the whole set it was drawn from: samples of one set can be compared."""
    options = dict(wish.options)
    select = getattr(target, "select", None)
    if select is not None and options.get("control", "none") != "none":
        raise UsageError(f"--option control={options['control']}: recorded answers were given without this control")
    written = suites.is_written(wish.data, options)  # scenarios written before take no options
    if select is not None and not written and "contradictory" in suites.load(wish.suite).options:
        options.setdefault("contradictory", "keep")  # what was recorded is scored: 434 rows stay 434 rows
    built = _kept(suites.build(wish.suite, options, wish.data))
    content_digest = built.digest()
    if select is not None:
        whole = sum(1 for _ in built.read())
        recorded = [s.id for s in select(built.read())]
        if not recorded:
            raise UsageError(
                f"model {wish.model!r} has no recorded answer for any of the {whole} scenarios; "
                "was it recorded with other --data?"
            )
        note = f"{len(recorded)} of {whole} scenarios have a recorded answer; the others are left out"
        built = _kept(built.only(recorded, note))
        built = replace(built, notes=(*built.notes, *getattr(target, "report", list)()))
    if wish.limit is not None:
        built = _kept(built.sample(wish.limit, wish.seed))
    pressed, content_digest = pressing.pressed(built, wish.pressure, wish.seed, content_digest, target)
    return _kept(pressed), content_digest


def _kept(scenarios: ScenarioSet) -> ScenarioSet:
    """The same set, held in memory when it is small: it is read several times."""
    found: list[Scenario] = []
    for scenario in scenarios.read():
        found.append(scenario)
        if len(found) > KEEP_IN_MEMORY:
            return scenarios
    used = {s.context for s in found}
    contexts = {i: c for i, c in scenarios.contexts.items() if i in used}
    return ScenarioSet(scenarios.suite, lambda: iter(found), contexts, scenarios.options, scenarios.notes)


def _defaults(target: Target) -> dict[str, Any]:
    return {"temperature": 0.0, "max_tokens": ANSWER_TOKENS, **getattr(target, "params", {})}


def _wrapped(target: Target, wish: Wish, concurrency: int) -> Target:
    """Limits and retries around the target, and the cache where an answer follows from the request alone.

    None of them around recorded answers: a recorded 429 is no reason to wait, and two scenarios may ask the same words.
    """
    if getattr(target, "select", None) is not None:
        return target
    limited = wrap.Limited(target, concurrency=concurrency, retries=wish.target.retries)
    return wrap.Cached(limited, wish.cache) if wish.cache is not None and limited.cacheable else limited


def _slug(name: str) -> str:
    """A model's name as part of a file name: at most 48 safe characters."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[-48:] or "model"
