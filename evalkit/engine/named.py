"""A judge by its name: a built-in one, an entry point, `module:attr`. Checks that it is a judge; judges nothing."""

from typing import Any

from evalkit import registry
from evalkit.core.errors import EvalkitError, UsageError
from evalkit.core.protocols import Judge

NEEDS = (
    "a judge is an object with name and version (texts) and judge(scenario, trajectory, context), or a class or "
    "function that makes one without arguments"
)


def judge(name: str) -> Judge:
    """A class or factory is called, an instance taken as it is; `UsageError` says what is missing in it."""
    found = registry.lookup("judges", name)
    try:
        made: Any = found if not isinstance(found, type) and hasattr(found, "judge") else _made(name, found)
        missing = _missing(made)
    except EvalkitError:
        raise
    except Exception as e:  # the judge boundary, before there is a judge: its class may raise anything
        raise UsageError(f"judge {name!r}: making it raised {type(e).__name__}: {e}; {NEEDS}") from e
    if missing:
        raise UsageError(f"judge {name!r}: {_called(made)} has no {missing}; {NEEDS}")
    checked: Judge = made
    return checked


def _made(name: str, found: Any) -> Any:
    if not callable(found):
        raise UsageError(f"judge {name!r}: {_called(found)} is no judge and makes none; {NEEDS}")
    return found()


def _missing(made: Any) -> str:
    """What a judge must have and this has not; "" where all is there."""
    if not callable(getattr(made, "judge", None)):
        return "method judge"
    return next((n for n in ("name", "version") if not _is_text(getattr(made, n, None))), "")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _called(thing: object) -> str:
    """`an int`, `a Brief`."""
    kind = type(thing).__name__
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"
