"""Names to objects: built-ins, entry points and `module:attr` take the same road. Import strings only.

Nothing registers itself by being imported, and nothing heavy is imported before it is named.
"""

import importlib
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from evalkit.core.errors import UsageError, unknown

T = TypeVar("T")

# prefix or name -> factory(rest: str, options: TargetOptions) -> Target
TARGETS = {
    "http": "evalkit.targets.http:make",
    "openai": "evalkit.targets.openai:make",
    "litellm": "evalkit.targets.litellm:make",
    "local": "evalkit.targets.local:make",
    "smollm2": "evalkit.targets.local:make_embedded",
    "scripted": "evalkit.targets.scripted:make",
    "replay": "evalkit.targets.replay:make",
    "recorded": "evalkit.engine.recorded:make",
    "python": "evalkit.targets.scripted:make_python",
    "langgraph": "evalkit.targets.agent:make",
    "rules": "evalkit.targets.detectors:make_rules",
    "guardrail": "evalkit.targets.detectors:make_guardrail",
    "baseline": "evalkit.targets.detectors:make_baseline",
}
# name -> factory() -> Judge
JUDGES = {
    "leakage": "evalkit.judges.leakage:make_leakage",
    "leakage-words": "evalkit.judges.leakage:make_leakage_words",
    "utility": "evalkit.judges.leakage:make_utility",
    "refusal": "evalkit.judges.refusal:make",
    "conduct": "evalkit.judges.conduct:make",
    "detection": "evalkit.judges.detection:make",
    "expectations": "evalkit.judges.expectations:Expectations",
    "goal": "evalkit.judges.expectations:Goal",
    "formal": "evalkit.judges.formal:Formal",
}
# name of a generator in suite.yaml -> factory(suite, options) -> ScenarioSet
GENERATORS = {
    "copriva": "evalkit.benchmarks.copriva:make",
    "intellagent": "evalkit.benchmarks.intellagent:make",
    "policyguard": "evalkit.benchmarks.policyguard.suite:make",
}
# name -> scorer, or factory() -> scorer: score(policy, steps) -> probability of a violation (targets/detectors.py)
GUARDRAILS: dict[str, str] = {
    "disclosure": "evalkit.guardrails.disclosure:make",  # tells(policy, answer, context), for non-disclosure policies
    "precedents": "evalkit.guardrails.precedents:make",  # the default with the store of $EVALKIT_PRECEDENTS
    "default": "evalkit.guardrails.loading:load",
    "small": "evalkit.guardrails.loading:small",
    "linear": "evalkit.guardrails.loading:by_words",
}
# name -> fit(examples) -> scorer, all in one mapping
BASELINES = "evalkit.guardrails.baselines:BASELINES"
# name of a published set -> Source (benchmarks/sources/reading.py)
SOURCES = {
    name: f"evalkit.benchmarks.sources.{module}:{attr}"
    for name, module, attr in (
        ("agentdojo", "agentdojo", "SOURCE"),
        ("assebench", "rjudge", "ASSEBENCH"),
        ("openagentsafety", "openagentsafety", "SOURCE"),
        ("policyguardbench", "policyguardbench", "SOURCE"),
        ("rjudge", "rjudge", "SOURCE"),
        ("sopbench", "sopbench", "SOURCE"),
        ("st_webagentbench", "st_webagentbench", "SOURCE"),
        ("tau2bench", "tau2bench", "SOURCE"),
        ("taubench", "taubench", "SOURCE"),
        ("toolemu", "toolemu", "SOURCE"),
    )
}

_BUILT_IN = {
    "targets": TARGETS,
    "judges": JUDGES,
    "generators": GENERATORS,
    "guardrails": GUARDRAILS,
    "sources": SOURCES,
}


def lookup(kind: str, name: str) -> Any:
    """The object behind a name: built-in, entry point `evalkit.<kind>`, or `module:attr`."""
    if name in _BUILT_IN[kind]:
        return load(_BUILT_IN[kind][name])
    for point in entry_points(group=f"evalkit.{kind}"):
        if point.name == name:
            return point.load()
    if ":" in name:
        return load(name)
    raise unknown(kind.removesuffix("s"), name, known(kind))


def attempted(function: Callable[[], T]) -> T | Exception:
    """Somebody else's code, called: what it gives, or what it raised."""
    try:
        return function()
    except Exception as e:  # noqa: BLE001 - a boundary: whatever it raises is data to the caller
        return e


def known(kind: str) -> list[str]:
    """All names of a kind."""
    return sorted({*_BUILT_IN[kind], *(p.name for p in entry_points(group=f"evalkit.{kind}"))})


def load(path: str) -> Any:
    """`module:attr` or `module:attr.sub` → the object. The current folder counts as importable, as with `python -m`."""
    module_name, _, attr = path.partition(":")
    if not module_name or not attr:
        raise UsageError(f"{path!r} is not module:attr")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as e:
        if e.name is not None and (e.name == module_name or module_name.startswith(f"{e.name}.")):
            raise UsageError(f"{path!r}: no module {e.name!r} in {here} or installed") from e
        raise UsageError(f"{path!r}: importing it raised {type(e).__name__}: {e}") from e
    except (ImportError, SyntaxError, SystemExit) as e:
        raise UsageError(f"{path!r}: importing it raised {type(e).__name__}: {e}") from e
    for part in attr.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{path!r}: module {module_name!r} has no {part!r}")
        found = getattr(found, part)
    return found
