"""What can be read off a policy and a step without learning: quoted names, numbers, failures, what a step reveals.

Knows no network. The trained reader (encoder.py) is given these as features, and the programs (programs.py) as facts.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from evalkit.core import values
from evalkit.core.steps import parse_action
from evalkit.guardrails.fields import Field, Things, entered, fields, is_amount, looks_up, nouns, quantity, things

LONGEST = 60
"""Characters of a quoted name."""
_QUOTED = re.compile(rf"(?<!\w)'([^'\n]{{1,{LONGEST}}})'(?!\w)|\"([^\"\n]{{1,{LONGEST}}})\"")
INTRODUCES = 160
"""Characters of a line that introduces others."""
_ITEM = re.compile(r"\s*(?:[-*+\u2022\u2013\u2014]|\(?(?:\d{1,2}|[a-z])[.)])\s+")
_HEADING = re.compile(r"\s*#{1,6}\s")
DEMANDS = re.compile(
    r"\b(must|never|may|can ?not|don't|do not|only|always|needs?|required?|forbidden|prohibited|allowed|before|after|"
    r"until|unless|at most|at least|no more than|first)\b",
    re.IGNORECASE,
)
"""A sentence that demands something."""
SHORT = 40
"""Characters; a shorter result of a call may say how it went, and nothing else."""
ARROW = " -> "
_FAILED = re.compile(
    r"""[{"' ]*(failed|failure|error|denied|declined|rejected|refused|not found|invalid|timeout|timed out)\b"""
    r"""(?!["']?\s*:\s*(null|none|false|0\b|""|''))"""
    r"""|\{.*"(ok|success|succeeded)"\s*:\s*false"""
    r"""|\{.*"(status|state|result|outcome)"\s*:\s*"(error|failed|failure|denied|declined|rejected|refused)\"""",
    re.IGNORECASE | re.DOTALL,
)
_TOLD = re.compile(
    r"""\{(?!.*"(?:ok|success|succeeded|error)"\s*:).*"(?:status|state|result|outcome)"\s*:""", re.I | re.S
)
"""A record with a status that is no answer to the call itself, if it has other fields as well."""
_FINE = re.compile(
    r"""\W*((ok|status|success|result|succeeded)\W+)?(done|ok|success|true|succeeded|completed)\W*""", re.IGNORECASE
)
"""A result that says no more than that the call went well."""
_NUMERAL = re.compile(r"(?<![\w.,])-?\d+(?:[.,]\d+)*(?![\w])")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
"""71,500 was shown as 71500."""
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_VALUES = {
    **{word: i for i, word in enumerate(_WORDS)},
    "once": 1,
    "twice": 2,
    "thrice": 3,
    "single": 1,
    **{w: i for i, w in enumerate(("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"), 1)},
}
_NUMBER = re.compile(rf"{_NUMERAL.pattern}|\b(?:{'|'.join(_VALUES)})\b", re.IGNORECASE)
_CALL = re.compile(r"([\w.\-/ ]{1,80})\((.*)\)\s*", re.DOTALL)


class Number(NamedTuple):
    """A number in a policy's text."""

    start: int
    stop: int
    value: float


@dataclass(frozen=True, slots=True)
class Step:
    """A step, taken apart."""

    text: str
    """What the reader sees: all but the result of a web action, and one that says only how it went."""
    done: str
    """What was done or said, without the result."""
    quoted: tuple[str, ...]
    """Names and values in quotes, the name of a call, and the numbers that it is given; in lower case."""
    value: str
    """What counts as one value where different values are counted: the value, else the name, else what was done."""
    number: float | None
    """The number that was entered or passed: of an argument that is called an amount or the like, else the last."""
    ok: bool
    tool: str = ""
    """The name of a call."""
    ids: Things = frozenset()
    """Arguments of a call that name one thing among its like: ("customer", "c-17")."""
    shown: Things = frozenset()
    """The same in the result of a look-up without arguments that name what the tool is about."""
    gave: Things = frozenset()
    """What the result of any call names: a draft's new id, by which later calls go on with it."""
    passed: tuple[Field, ...] = ()
    """Arguments of a call."""
    numbers: tuple[tuple[str, float], ...] = ()
    """Numbers of the result with their names."""
    amount: bool = False
    """Whether `number` is an argument that is called an amount."""
    gives: tuple[str, ...] = ()
    """What the result shows that can be followed: the words of each value in it (core/values.py)."""


@lru_cache(maxsize=1 << 16)
def read_step(text: str) -> Step:
    """Takes a step of `core.steps` apart."""
    done, _, result = text.partition(ARROW)
    action, call = parse_action(text), None
    if action is not None:
        quoted = tuple(q.casefold() for q in (action.name, action.value) if q)
        value = action.value if action.value is not None else action.name
        result = action.result or ""
        done = text[: len(text) - len(ARROW) - len(result)] if result else text
    else:
        call = _CALL.fullmatch(done)
        value = call[2] if call else done
        named = (call[1].strip(), *_NUMERAL.findall(value)) if call else ()
        quoted = tuple(q.casefold() for q in (*named, *quotes(done)))
    ok = not (result and _FAILED.match(result))
    if not ok and call is not None and looks_up(call[1].strip()) and result.count(":") > 1 and _TOLD.match(result):
        ok = True  # that a payment failed is what was read, and no failure to read
    little = len(result) < SHORT and (not ok or _FINE.fullmatch(result))
    shown = done if action is not None or little else text
    gives = tuple(_shown(result)) if ok and result else ()
    results = fields(result)
    numbers = tuple((f.name, x) for f in results if (x := quantity(f.value)) is not None)
    if call is None:
        # in a web action a number within other words is no amount
        number = values.number(value) if action is not None else entered(value, fields(value))
        return Step(shown, done, quoted, value.casefold(), number, ok, numbers=numbers, gives=gives)
    tool, passed = call[1].strip(), fields(value)
    ids = things(tool, passed)
    known = things(tool, results, shown=True) if ok and result[:1] == "{" else frozenset()
    # a customer who was looked up by his phone
    about = known if looks_up(tool) and not any(kind in nouns(tool) for kind, _ in ids) else frozenset()
    amount = any(is_amount(f.name) and quantity(f.value) is not None for f in passed)
    number = entered(value, passed)
    return Step(
        shown, done, quoted, value.casefold(), number, ok, tool, ids, about, known, passed, numbers, amount, gives
    )  # fmt: skip


def apart(one: Step, other: Step) -> bool:
    """Whether a step is about another thing than an earlier one: an argument of one kind names another, and nothing is
    the same.
    """
    known = one.ids | one.shown
    return bool({kind for kind, _ in known} & {kind for kind, _ in other.ids}) and not known & other.ids


def quotes(text: str) -> list[str]:
    """What stands in quotes."""
    return [a or b for a, b in _QUOTED.findall(text)]


def quote_spans(text: str) -> list[tuple[int, int, str]]:
    """Where quoted names stand, without the quotes, and the names in lower case."""
    found = []
    for m in _QUOTED.finditer(text):
        group = 1 if m[1] is not None else 2
        found.append((m.start(group), m.end(group), m[group].casefold()))
    return found


def numbers_of(text: str) -> list[float]:
    """Numbers in digits."""
    found = []
    for m in _NUMERAL.finditer(text):
        value = _float(m[0])
        if value is not None:
            found.append(value)
    return found


def policy_numbers(text: str) -> list[Number]:
    """Every number of a policy, in digits or in words (`twice`, `third`)."""
    found = []
    for m in _NUMBER.finditer(text):
        value = _VALUES.get(m[0].casefold())
        read = float(value) if value is not None else _float(m[0])
        if read is not None:
            found.append(Number(m.start(), m.end(), read))
    return found


def carried(steps: Sequence[Step]) -> list[list[int]]:
    """For each step the earlier steps whose result it repeats."""
    sources = [(j, s.gives) for j, s in enumerate(steps) if s.gives]
    if not sources:
        return [[] for _ in steps]
    said = [values.spoken(s.done) + values.spoken(_THOUSANDS.sub("", s.done)) for s in steps]
    return [[j for j, gives in sources if j < i and any(g in said[i] for g in gives)] for i in range(len(steps))]


def _shown(result: str) -> Iterator[str]:
    try:
        found = list(values.leaves(json.loads(result))) if result[:1] in '{["' else [result]
    except (ValueError, RecursionError):
        found = [result]
    for leaf in found:
        words = values.trackable(leaf)
        if words is not None:
            yield words


def clauses(policy: str) -> list[str]:
    """The single policies of a text with several: one a line. A line that ends with a colon introduces the items below
    it, and is read with each of them; a heading that demands nothing (`# Refunds`) is none.
    """
    found: list[str] = []
    head, used = "", True
    for line in policy.splitlines():
        item = _ITEM.match(line)
        heading = _HEADING.match(line)
        text = line[(item or heading).end() if item or heading else 0 :].strip(" -*\t")  # type: ignore[union-attr]
        if not text or (heading and not DEMANDS.search(text)):
            continue
        if text.endswith(":") and len(text) <= INTRODUCES:
            found += [] if used else [head]
            head, used = text, False
        elif item and head:
            found.append(f"{head} {text}")
            used = True
        else:
            found += [text] if used else [head, text]
            head, used = "", True
    found += [] if used else [head]
    return found or [policy]


def _float(text: str) -> float | None:
    try:
        found = float(text.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", text) else text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
