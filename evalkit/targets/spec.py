"""From what the user types after `--model` to a target. Knows the grammar of names, not how any target works."""

import inspect
from typing import Any

from evalkit import registry
from evalkit.core.errors import UsageError, unknown
from evalkit.core.protocols import Target
from evalkit.core.types import TargetOptions

FORMS = (
    "smollm2",
    "rules",
    "scripted/tells-all",
    "scripted/refuses",
    "scripted/echo",
    "replay:FILE",
    "recorded:FILE",
    "openai/NAME",
    "litellm/PROVIDER/NAME",
    "local/NAME-OR-FOLDER",
    "http://HOST:PORT/v1#NAME",
    "python:MODULE:ATTR",
    "langgraph:MODULE:ATTR",
    "scripted/oracle",
    "scripted/careless",
    "baseline:NAME",
    "guardrail:NAME",
)
_PLAIN = 2
"""The first forms are whole names."""


def resolve(spec: str, options: TargetOptions) -> Target:
    """The target a name stands for. With a base URL any name is a model served there. `UsageError` otherwise."""
    if options.base_url is not None:
        return _make("http", spec, options)
    if spec.startswith(("http://", "https://")):
        return _make("http", spec, options)
    for sign in ("/", ":"):
        prefix, found, rest = spec.partition(sign)
        if found and (prefix in registry.known("targets")):
            if not rest:
                raise UsageError(f"model {spec!r}: a name is missing after {prefix + sign!r}")
            return _make(prefix, rest, options)
    if spec in registry.known("targets") and spec not in {
        f.partition("/")[0].partition(":")[0] for f in FORMS[_PLAIN:]
    }:
        return _make(spec, "", options)
    if ":" in spec and "/" not in spec:
        return _own(spec, options)
    raise unknown("model", spec, FORMS)


def _make(name: str, rest: str, options: TargetOptions) -> Target:
    target: Target = registry.lookup("targets", name)(rest, options)
    return target


def _own(spec: str, options: TargetOptions) -> Target:
    """`module:attr`: a Target, a class of targets, or any callable that takes messages."""
    found: Any = registry.load(spec)
    if inspect.isclass(found):
        found = found()
    return found if isinstance(found, Target) else _make("python", spec, options)
