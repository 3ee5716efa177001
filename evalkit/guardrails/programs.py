"""What a policy demands of a row of steps, once it is known which steps are meant: 36 programs over five roles.

A program is exact; which steps play a role is uncertain, and is given as rows of booleans, one row a *world*. All
worlds run at once. The meaning is that of core/rules.py (tests/guardrails/test_programs.py holds them against
core/semantics.py). Reads no text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

ROLES = ("trigger", "target", "need", "reset", "other")
"""What starts a duty, what is forbidden or limited, what has to come, what undoes or ends, and an alternative."""
NUMBERS = ("none", "n", "n-1", "w", "w-1", "v")
"""What a number of a policy is: nothing of the rule, a count, a count it must not reach, a span of steps, the step
after it, a value to compare with."""
FAR = 10**6


@dataclass(frozen=True)
class Facts:
    """A trajectory as the programs see it; rows are numpy arrays."""

    roles: dict[str, Any]
    """Role to booleans, (worlds, steps)."""
    ok: Any
    """Booleans, (steps,)."""
    values: Sequence[str]
    """What counts as one value, step by step."""
    numbers: Sequence[float | None]
    carried: Sequence[Sequence[int]]
    """For each step the earlier ones whose result it repeats."""
    n: int = 1
    w: int = FAR
    v: float = 0.0
    shown: Sequence[float | None] = ()
    """What a step tells of its thing: the number in its result, else the one that it passed. Empty: as `numbers`."""
    apart: Any = None
    """Booleans, (steps, steps): two calls are about different things; a check of one customer is none of another. None:
    no two are."""

    def done(self, role: str) -> Any:
        """Where the role was played with success."""
        return self.roles[role] & self.ok

    def above(self, role: str) -> Any:
        """Where it was done with a number above `v`."""
        import numpy as np

        return self.done(role) & np.array([x is not None and x > self.v for x in self.numbers], bool)

    def shown_above(self, role: str) -> Any:
        """Where it was done and a number above `v` came to light."""
        import numpy as np

        shown = self.shown or self.numbers
        return self.done(role) & np.array([x is not None and x > self.v for x in shown], bool)


Program = Callable[[Facts], Any]
"""To (worlds, steps + 1) booleans: broken with this very step; in the last column, only by the end."""


def broken(name: str, facts: Facts) -> Any:
    """(worlds, steps + 1): whether the policy is broken by then; the last column is the end of the trajectory."""
    import numpy as np

    return np.logical_or.accumulate(PROGRAMS[name](facts), axis=1)


def _blank(f: Facts) -> Any:
    import numpy as np

    worlds, steps = f.roles["target"].shape
    return np.zeros((worlds, steps + 1), bool)


def _forbid(bad: Any) -> Any:
    import numpy as np

    return np.concatenate([bad, np.zeros((len(bad), 1), bool)], 1)


def _before(row: Any) -> Any:
    """At each step, whether it has happened strictly earlier."""
    import numpy as np

    seen = np.logical_or.accumulate(row, axis=1)
    return np.concatenate([np.zeros((len(row), 1), bool), seen[:, :-1]], 1)


def _last(row: Any) -> Any:
    """At each step, the index of the latest strictly earlier one; -FAR where there is none."""
    import numpy as np

    places = np.where(row, np.arange(row.shape[1]), -FAR)
    latest = np.maximum.accumulate(places, axis=1)
    return np.concatenate([np.full((len(row), 1), -FAR), latest[:, :-1]], 1)


def _early(f: Facts) -> Any:
    import numpy as np

    return _forbid(f.done("target") & (np.arange(len(f.ok)) < f.w))


def _require(row: Any, w: int) -> Any:
    import numpy as np

    worlds, steps = row.shape
    found = np.zeros((worlds, steps + 1), bool)
    if steps >= w:
        found[:, w - 1] = ~row[:, :w].any(1)
    else:
        found[:, steps] = ~row.any(1)
    return found


def _precede(f: Facts, need: Any, since: Any | None, w: int, target: Any) -> Any:
    import numpy as np

    if f.apart is not None:
        return _forbid(target & ~_each_step(f, lambda i: _met(f, i, need, since, w)))
    last = _last(need)
    good = (last >= 0) & (np.arange(need.shape[1]) - last <= w)
    if since is not None:
        good &= _last(since) <= last  # what undoes it in the very step of it comes before, not between
    return _forbid(target & ~good)


def _met(f: Facts, i: int, need: Any, since: Any | None, w: int) -> Any:
    """(worlds,): at step i, whether the need for its thing was met before."""
    last = _latest(need, f, i)
    good = (last >= 0) & (i - last <= w)
    return good if since is None else good & (_latest(since, f, i) <= last)


def _latest(row: Any, f: Facts, i: int) -> Any:
    """(worlds,): the index of the latest step before i about the same thing; -FAR where there is none."""
    import numpy as np

    return np.where(row[:, :i] & ~f.apart[:i, i], np.arange(i), -FAR).max(1, initial=-FAR)


def _each_step(f: Facts, at: Callable[[int], Any]) -> Any:
    import numpy as np

    return np.stack([at(i) for i in range(len(f.ok))], 1)


def _each(f: Facts) -> Any:
    found = _blank(f)
    need, target = f.done("need"), f.done("target")
    stock = need[:, 0] * 0
    for i in range(need.shape[1]):
        found[:, i] = target[:, i] & (stock == 0)
        stock = stock - (target[:, i] & (stock > 0)) + need[:, i]
    return found


def _respond(f: Facts, trigger: Any, answer: Any, w: int) -> Any:
    import numpy as np

    found = _blank(f)
    if f.apart is not None:
        for i in range(trigger.shape[1]):
            answered = answer & ~f.apart[i]
            answered[:, : i + 1] = False
            end = min(i + w, trigger.shape[1])
            found[:, end] |= trigger[:, i] & ~answered[:, : end + 1].any(1)
        return found
    oldest = np.full(len(trigger), FAR)  # the oldest trigger that waits
    for i in range(trigger.shape[1]):
        oldest = np.where(answer[:, i] & (oldest < i), FAR, oldest)
        found[:, i] = (oldest < FAR) & (i - oldest >= w)
        oldest = np.where(trigger[:, i] & (oldest == FAR), i, oldest)
    found[:, -1] = oldest < FAR
    return found


def _after(f: Facts, trigger: Any, until: Any | None, w: int) -> Any:
    import numpy as np

    if f.apart is not None:
        return _forbid(f.done("target") & _each_step(f, lambda i: _open(f, i, trigger, until, w)))
    last = _last(trigger)
    open_ = (last >= 0) & (np.arange(trigger.shape[1]) - last <= w)
    if until is not None:
        ended = np.maximum.accumulate(np.where(until, np.arange(until.shape[1]), -FAR), axis=1)
        open_ &= ended <= last
    return _forbid(f.done("target") & open_)


def _open(f: Facts, i: int, trigger: Any, until: Any | None, w: int) -> Any:
    """(worlds,): at step i, whether what was triggered for its thing still holds."""
    import numpy as np

    last = _latest(trigger, f, i)
    found = (last >= 0) & (i - last <= w)
    if until is None:
        return found
    ended = np.where(until[:, i], i, _latest(until, f, i))
    return found & (ended <= last)


def _known(f: Facts, row: Any) -> Any:
    """(worlds, steps): whether by each step, itself among them, its thing has been shown to be so."""
    import numpy as np

    if f.apart is None:
        return np.logical_or.accumulate(row, axis=1)
    return _each_step(f, lambda i: row[:, i] | (_latest(row, f, i) >= 0))


def _count(row: Any, n: int, w: int = FAR, reset: Any | None = None) -> Any:
    import numpy as np

    counted = np.cumsum(row, 1)
    if reset is not None:
        # `reset` works before the step itself is counted
        base = np.where(reset, counted - row, 0)
        counted = counted - np.maximum.accumulate(base, axis=1)
    elif w < row.shape[1]:
        counted = counted - np.concatenate([np.zeros((len(row), w), int), counted[:, :-w]], 1)
    return _forbid(row & (counted > n))


def _sum(f: Facts) -> Any:
    import numpy as np

    row = f.done("target")
    numbers = np.array([x or 0.0 for x in f.numbers])
    return _forbid(row & (np.cumsum(row * numbers, 1) > f.v + 1e-9))


def _kinds(f: Facts) -> Any:
    """(kinds, steps): which step has which value."""
    import numpy as np

    names = sorted(set(f.values))
    return np.array([[v == name for v in f.values] for name in names], bool).reshape(len(names), len(f.values))


def _distinct(f: Facts) -> Any:
    import numpy as np

    row = f.done("target")
    seen = np.logical_or.accumulate(row[:, None, :] & _kinds(f)[None], axis=2)
    return _forbid(row & (seen.sum(1) > f.n))


def _per(f: Facts) -> Any:
    import numpy as np

    row = f.done("target")
    each = row[:, None, :] & _kinds(f)[None]
    return _forbid((each & (np.cumsum(each, 2) > f.n)).any(1))


def _least(f: Facts) -> Any:
    found = _blank(f)
    found[:, -1] = f.done("need").sum(1) < f.n
    return found


def _carry(f: Facts, source: Any, sink: Any, until: Any | None = None) -> Any:
    import numpy as np

    bad = np.zeros_like(sink)
    for i, origins in enumerate(f.carried):
        if origins:
            bad[:, i] = sink[:, i] & source[:, list(origins)].any(1)
    if until is not None:
        bad &= ~np.logical_or.accumulate(until, axis=1)
    return _forbid(bad)


PROGRAMS: dict[str, Program] = {
    "forbid": lambda f: _forbid(f.done("target")),
    "forbid_above": lambda f: _forbid(f.above("target")),
    "forbid_try": lambda f: _forbid(f.roles["target"]),
    "forbid_early": _early,
    "require": lambda f: _require(f.done("need"), FAR),
    "require_soon": lambda f: _require(f.done("need"), f.w),
    "require_either": lambda f: _require(f.done("need") | f.done("other"), FAR),
    "precede": lambda f: _precede(f, f.done("need"), None, FAR, f.done("target")),
    "precede_fresh": lambda f: _precede(f, f.done("need"), f.done("reset"), FAR, f.done("target")),
    "precede_soon": lambda f: _precede(f, f.done("need"), None, f.w, f.done("target")),
    "precede_each": _each,
    "respond": lambda f: _respond(f, f.done("trigger"), f.done("need"), FAR),
    "respond_soon": lambda f: _respond(f, f.done("trigger"), f.done("need"), f.w),
    "respond_either": lambda f: _respond(f, f.done("trigger"), f.done("need") | f.done("other"), FAR),
    "after_forbid": lambda f: _after(f, f.done("trigger"), None, FAR),
    "after_forbid_above": lambda f: _after(f, f.above("trigger"), None, FAR),
    "after_pause": lambda f: _after(f, f.done("trigger"), None, f.w),
    "after_until": lambda f: _after(f, f.done("trigger"), f.done("need"), FAR),
    "count": lambda f: _count(f.done("target"), f.n),
    "rate": lambda f: _count(f.done("target"), f.n, f.w),
    "sum": _sum,
    "distinct": _distinct,
    "per": _per,
    "least": _least,
    "failures": lambda f: _count(f.roles["target"] & ~f.ok, f.n),
    "between": lambda f: _count(f.done("target"), f.n, reset=f.done("reset")),
    "carry": lambda f: _carry(f, f.done("trigger"), f.done("target")),
    "carry_to_either": lambda f: _carry(f, f.done("trigger"), f.done("target") | f.done("other")),
    "carry_from_either": lambda f: _carry(f, f.done("trigger") | f.done("other"), f.done("target")),
    "carry_until": lambda f: _carry(f, f.done("trigger"), f.done("target"), f.done("reset")),
    # new ones come last: a network knows programs by their places
    "precede_above": lambda f: _precede(f, f.done("need"), None, FAR, f.above("target")),
    "respond_above": lambda f: _respond(f, f.above("trigger"), f.done("need"), FAR),
    "known_forbid": lambda f: _forbid(f.done("target") & _known(f, f.done("trigger"))),
    "known_only": lambda f: _forbid(f.done("target") & ~_known(f, f.done("need"))),
    "known_forbid_above": lambda f: _forbid(f.done("target") & _known(f, f.shown_above("trigger"))),
    "beyond": _blank,
}
NAMES = tuple(PROGRAMS)
USED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("forbid", "forbid_above", "forbid_try", "forbid_early", "count", "rate", "sum"), ("target",)),
    **dict.fromkeys(("distinct", "per", "failures"), ("target",)),
    **dict.fromkeys(("require", "require_soon", "least"), ("need",)),
    "require_either": ("need", "other"),
    **dict.fromkeys(("precede", "precede_above", "precede_soon", "precede_each"), ("need", "target")),
    "precede_fresh": ("need", "target", "reset"),
    **dict.fromkeys(("respond", "respond_above", "respond_soon"), ("trigger", "need")),
    "respond_either": ("trigger", "need", "other"),
    **dict.fromkeys(("after_forbid", "after_forbid_above", "after_pause"), ("trigger", "target")),
    "after_until": ("trigger", "target", "need"),
    "between": ("target", "reset"),
    "carry": ("trigger", "target"),
    **dict.fromkeys(("carry_to_either", "carry_from_either"), ("trigger", "target", "other")),
    "carry_until": ("trigger", "target", "reset"),
    **dict.fromkeys(("known_forbid", "known_forbid_above"), ("trigger", "target")),
    "known_only": ("need", "target"),
    "beyond": (),
}
"""The roles that decide a program."""
COUNTED = {"count", "rate", "distinct", "per", "least", "failures", "between"}
SPANNED = {"forbid_early", "require_soon", "precede_soon", "respond_soon", "after_pause", "rate"}
VALUED = {"forbid_above", "precede_above", "respond_above", "after_forbid_above", "known_forbid_above", "sum"}
"""Programs that need a count, a span of steps, a value."""
KNOWN = {"known_forbid", "known_only", "known_forbid_above"}
"""Programs about what has been shown of a thing."""
BEYOND = "beyond"
"""What steps cannot show: tone, truth, care, harm in general. Never broken; whoever asks has to be told."""
