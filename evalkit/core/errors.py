"""Every error that evalkit raises on purpose.

EvalkitError                the message is for the user; exit code 2
├── UsageError              a wrong command line: unknown name, bad option
├── ContentError            a content or data file is wrong: names file, line where known, field
├── StoreError              a run folder cannot be read or written
├── OutageError             everything failed, nothing is left to say; exit code 3
└── MissingDependency       an optional package is not installed: says what to install
TargetError                 a model gave no answer: has a FailureKind; becomes data, never a crash
JudgeError                  a judge could not judge; becomes an `error` verdict
"""

import difflib
from collections.abc import Iterable

from evalkit.core.types import FailureKind


class EvalkitError(Exception):
    """Shown to the user as one line; no traceback."""


class UsageError(EvalkitError):
    """The command line is wrong."""


class ContentError(EvalkitError):
    """A content or data file is wrong."""


class StoreError(EvalkitError):
    """A run folder cannot be read or written."""


class OutageError(EvalkitError):
    """Everything failed: neither a pass nor a failure."""


class MissingDependency(EvalkitError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, why: str) -> None:
        super().__init__(f"{why} needs the package {package!r}: pip install 'evalkit-safety[{extra}]'")


class TargetError(Exception):
    """A target gave no answer. `retry_after` in seconds, as the server asked; `retryable` is decided by kind."""

    def __init__(self, kind: FailureKind, message: str, *, retry_after: float | None = None, attempts: int = 1) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.message = message
        self.retry_after = retry_after
        self.attempts = attempts


class JudgeError(Exception):
    """A judge could not judge."""


_MOST = 60
"""Names in a message; of more the first so many."""


def unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    """`no suite 'copriv'; did you mean 'copriva'? there are: copriva, ...`"""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if len(names) > _MOST:
        names[_MOST:] = [f"... and {len(names) - _MOST:,} more"]
    return UsageError(f"no {what} {name!r}{hint} (there are: {', '.join(names) or 'none'})")
