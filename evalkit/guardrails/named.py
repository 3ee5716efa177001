"""Guards by name, for the command line: `rules`, or a scorer of the registry. Makes no scorer itself."""

import inspect
from typing import Any

from evalkit import registry
from evalkit.core.errors import UsageError
from evalkit.guardrails import loading
from evalkit.guardrails.guard import Guard, Log
from evalkit.guardrails.hybrid import Judge
from evalkit.guardrails.policyset import PolicySet

RULES = "rules"
DISCLOSURE = "disclosure"


def make_guard(name: str, policies: PolicySet, *, judge: Judge | None = None, log: Log | None = None) -> Guard:
    """`rules`: formal rules only. Else the scorer of that name (registry, entry point, `module:attr`), loaded."""
    if name == RULES:
        return Guard(policies, judge=judge, name=name, log=log)
    scorer = scorer_of(name)
    words = any(p.rule is None and p.kind == "non_disclosure" for p in policies.policies)
    disclosure = scorer_of(DISCLOSURE) if words and DISCLOSURE in registry.known("guardrails") else None
    if hasattr(scorer, "tells") and not hasattr(scorer, "score"):
        scorer, disclosure = None, scorer
    return Guard(policies, scorer=scorer, disclosure=disclosure, judge=judge, name=name, log=log).warm()


def scorer_of(name: str) -> Any:
    """An object with `score` or `tells`: as it is, or made by a factory without arguments; or a model folder."""
    if name not in registry.known("guardrails") and loading.trained(name):
        return loading.load(name)
    try:
        found = registry.lookup("guardrails", name)
    except UsageError as e:
        raise UsageError(f"{e}; or {RULES!r}: formal rules only; or a folder that evalkit train guardrail wrote") from e
    if inspect.isclass(found) or not _scores(found):
        try:
            found = found()
        except TypeError as e:
            raise UsageError(f"guardrail {name!r}: {e}") from e
    if not _scores(found):
        raise UsageError(f"guardrail {name!r} has no score(policy, steps) and no tells(policy, answer, context)")
    return found


def _scores(found: Any) -> bool:
    return hasattr(found, "score") or hasattr(found, "assess") or hasattr(found, "tells")
