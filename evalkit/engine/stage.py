"""What dialogues need before they begin, from the suite's options: limits, the user, how the agent calls tools.

Names and checks things; plays no dialogue and asks no model.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from evalkit.benchmarks.intellagent import event_of
from evalkit.benchmarks.suites import ScenarioSet
from evalkit.core.errors import MissingDependency, UsageError
from evalkit.core.protocols import Target
from evalkit.core.types import TargetOptions
from evalkit.engine.conversation import Limits
from evalkit.engine.dialog import Dialogues
from evalkit.engine.play import is_dialogue
from evalkit.engine.users import OFFLINE, check_template
from evalkit.targets import spec as targets
from evalkit.targets import wrap
from evalkit.targets.jsontools import JsonTools

USER = "user"
"""Option of a run's spec: who played the user."""


def staged(scenarios: ScenarioSet, user: Target | None = None) -> Dialogues | None:
    """What plays the dialogues of this set; None where it has none. Every domain is there, or `ContentError`."""
    events = {(s.world["domain"], s.world["digest"]): s for s in scenarios.read() if s.world and is_dialogue(s)}
    if not events:
        if user is not None:
            raise UsageError(f"--user-model: suite {scenarios.suite.id!r} has no dialogues that a user takes part in")
        return None
    if importlib.util.find_spec("langgraph") is None:  # said now, not after the folder of the run was made
        raise MissingDependency("langgraph", "dialog", f"suite {scenarios.suite.id}")
    template = check_template(scenarios.suite.prompts.get("user")) if user is not None else ""
    made = Dialogues(limits(scenarios.options), user, template)
    for scenario in events.values():
        made.domain(event_of(scenario))
    return made


def player(option: str, model: str | None, options: TargetOptions, priced: bool, cache: Path | None) -> Target | None:
    """The model that plays the user or an attacker, within limits, with retries and the cache.

    `priced`: the run has a budget of money, and no price is known for a second model.
    """
    if model is None:
        return None
    target = targets.resolve(model, options)
    if getattr(target, "select", None) is not None or model.startswith("scripted/"):
        raise UsageError(f"{option} {model}: a model is needed to play that part")
    if priced and not model.startswith("litellm/"):
        raise UsageError(f"--max-cost: no price is known for {option} {model!r}; --max-tokens counts both")
    concurrency = options.concurrency or getattr(target, "concurrency", None) or 32
    limited = wrap.Limited(target, concurrency=concurrency, retries=options.retries)
    return wrap.Cached(limited, cache) if cache is not None and limited.cacheable else limited


def limits(options: Mapping[str, str]) -> Limits:
    """Limits from `--option turns=30` and the like; `UsageError` for what is no number."""
    default = Limits()
    turns, calls = _number(options, "turns"), _number(options, "calls")
    seconds = _number(options, "seconds")
    return Limits(
        turns=default.turns if turns is None else turns,
        calls=default.calls if calls is None else calls,
        tokens=_number(options, "tokens"),
        seconds=None if seconds is None else float(seconds),
    )


def tooled(asked: Target, target: Target, scenarios: ScenarioSet) -> Target:
    """The agent, within the JSON protocol where the options or the target want it. What cannot talk: `UsageError`."""
    if hasattr(target, "dialogue"):  # recorded ones, taken whole
        return asked
    if hasattr(target, "select") or getattr(target, "detects", False):
        what = "recorded answers" if hasattr(target, "select") else "a detector"
        raise UsageError(f"{target.name}: {what} cannot hold a dialogue; `evalkit judge` judges recorded ones")
    wanted = scenarios.options.get("tools", "auto")
    if wanted == "native" or (wanted == "auto" and getattr(target, "takes_tools", True)):
        return asked
    template = scenarios.suite.prompts.get("json_tools")
    if not isinstance(template, str):
        raise UsageError(
            f"--option tools=json: suite {scenarios.suite.id!r} has no prompts.json_tools in its suite.yaml"
        )
    return JsonTools(asked, template)


def played_by(user: Target | None) -> dict[str, str]:
    """The option of the spec: runs with another user are other runs."""
    return {USER: user.name if user is not None else OFFLINE}


def _number(options: Mapping[str, str], name: str) -> int | None:
    text = options.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise UsageError(f"--option {name}={text}: a whole number from 1 up")
    return int(text)
