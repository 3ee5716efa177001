"""What can be read off a policy and a step without learning: quoted names, numbers, failures, what a step reveals.

Knows no network. The trained reader (encoder.py) is given these as features, and the programs (programs.py) as facts.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from evalkit.core import values
from evalkit.core.steps import parse_action

LONGEST = 60
"""Characters of a quoted name."""
_QUOTED = re.compile(rf"(?<!\w)'([^'\n]{{1,{LONGEST}}})'(?!\w)|\"([^\"\n]{{1,{LONGEST}}})\"")
INTRODUCES = 160
"""Characters of a line that introduces others."""
_ITEM = re.compile(r"\s*(?:[-*+\u2022\u2013\u2014]|\(?(?:\d{1,2}|[a-z])[.)])\s+")
_HEADING = re.compile(r"\s*#{1,6}\s")
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
_FINE = re.compile(
    r"""\W*((ok|status|success|result|succeeded)\W+)?(done|ok|success|true|succeeded|completed)\W*""", re.IGNORECASE
)
"""A result that says no more than that the call went well."""
AMOUNT = re.compile(r"\w*(?:amount|total|sum|price|value|qty|quantity|limit|credit)\w*", re.IGNORECASE)
"""An argument that is a number by its name."""
_AMOUNTS = re.compile(rf"""\b{AMOUNT.pattern}["']?\s*[=:]\s*["']?(?P<n>[^\s,"')}}]+)""", re.IGNORECASE)
_PASSED = re.compile(r"(?<![\w.,-])-?\d+(?:[.,]\d+)*(?![\w-])")
"""A number among the arguments of a call; the digits of K-17 and of a date are none."""
_KEYED = re.compile(rf"""(\w+)["']?\s*[=:]\s*["']?({_PASSED.pattern})""")
"""A number with its name."""
_NUMERAL = re.compile(r"(?<![\w.,])-?\d+(?:[.,]\d+)*(?![\w])")
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
_ARGUMENT = re.compile(
    r"""(?:\A|[,({\s])["']?(\w+)["']?\s*[=:]\s*(?:"([^"\s]{1,40})"|'([^'\s]{1,40})'|([\w.-]{1,40}))"""
)
_IDENTITY = re.compile(r"(?=.*\d)(?=.*[A-Za-z_#-])#?[\w-]+")
"""Letters and digits in one: K-17, SO731, U_9. A number alone is one where its argument says so."""
IDENTIFIES = re.compile(
    r"(?:\A|_)(?:id|no|nr|num|number|ref|key|uuid|mrn|iban|sku|serial|ticket|order|account|case)\Z|(?<=[a-z])I[dD]\Z"
)
_NAMING = re.compile(r"_?(?:id|no|nr|num|ref|key|uuid|number|code)\Z|(?<=[a-z])I[dD]\Z")
"""order_id, orderId and order name the same kind of thing."""
_MEASURES = re.compile(
    r"amount|total|sum|price|value|qty|quantity|limit|credit|size|date|time|when|day|month|year|period|version|text|body",
    re.IGNORECASE,
)
"""Arguments whose values are no names of things, whatever they look like."""
_DATED = re.compile(r"\d{4}-\d{2}|\d{1,2}[:h]\d{2}|v?\d+(?:\.\d+)+")
"""Dates, times and versions tell things apart that are not things."""
_CASES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_VERBS = re.compile(
    r"add|apply|approve|archive|assign|book|buy|call|cancel|change|check|clear|close|complete|confirm|copy|create|decline|"
    r"delete|disable|do|download|edit|enable|end|execute|export|fetch|find|get|id|list|load|lock|log|look|lookup|make|mark|"
    r"merge|modify|move|notify|open|pay|post|publish|pull|push|put|query|read|refund|register|reject|release|remove|rename|"
    r"reopen|replace|reset|resolve|restore|return|revoke|run|save|search|send|set|show|start|stop|submit|suspend|sync|"
    r"transfer|unlock|update|upload|validate|verify|void|waive|write|api|v\d|new|by|for|of|in|on|from|the|to|up|\d+"
)
_EITHER = re.compile("block|file|issue|note|order|patch|process|record|request|schedule|ship|sign|status|tag|view")
"""Words of tools that name no kind of thing; and those that do where nothing else does, or where they come later."""
_DIGITS = re.compile(r"\d+")
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
    ids: frozenset[tuple[str, str]]
    """Arguments of a call that name one thing among its like: ("customer_id", "c-17"), ("customer", "c-17"); where it
    has none, those of its result."""
    passed: tuple[tuple[str, str], ...]
    """Arguments of a call with their values, in lower case."""
    numbers: tuple[tuple[str, float], ...]
    """Numbers of the result with their names."""
    amount: bool
    """Whether `number` is an argument that is called an amount."""
    gives: tuple[str, ...]
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
    # in a web action a number within other words is no amount
    entered = values.number(value) if action is not None else _passed(value)
    ok = not (result and _FAILED.match(result))
    little = len(result) < SHORT and (not ok or _FINE.fullmatch(result))
    shown = done if action is not None or little else text
    gives = tuple(_shown(result)) if ok and result else ()
    if call is None:
        return Step(shown, done, quoted, value.casefold(), entered, ok, frozenset(), (), _named(result), False, gives)
    tool = call[1].strip()
    ids = frozenset(identities(tool, value)) or frozenset(identities(tool, result) if result[:1] == "{" else ())
    passed = tuple((m[1], (m[2] or m[3] or m[4] or "").casefold()) for m in _ARGUMENT.finditer(value))
    amount = bool(_AMOUNTS.search(value))
    return Step(shown, done, quoted, value.casefold(), entered, ok, ids, passed, _named(result), amount, gives)


def _named(result: str) -> tuple[tuple[str, float], ...]:
    return tuple((m[1], x) for m in _KEYED.finditer(result) if (x := _float(m[2])) is not None)


def _passed(arguments: str) -> float | None:
    for m in _AMOUNTS.finditer(arguments):
        if found := numbers_of(m["n"]):
            return found[0]
    every = [x for m in _PASSED.finditer(arguments) if (x := _float(m[0])) is not None]
    return every[-1] if every else None


def identities(tool: str, arguments: str) -> Iterator[tuple[str, str]]:
    """What names one thing among its like, in the arguments of a call or in a record: ("customer", "c-17").

    A mere `id` is one of what the tool is called by: get_order(id="A-1") gives ("order", "a-1").
    """
    for m in _ARGUMENT.finditer(arguments):
        value = m[2] or m[3] or m[4] or ""
        if _MEASURES.search(m[1]):
            continue
        named = value.isdigit() and len(value) > 1 and IDENTIFIES.search(m[1])
        if (named or _IDENTITY.fullmatch(value)) and not _DATED.match(value):
            kind = _NAMING.sub("", m[1]).casefold()
            kinds = {m[1].casefold(), kind} if kind else _nouns(tool) or {f"like {_DIGITS.sub('0', value).casefold()}"}
            yield from ((k, value.casefold()) for k in kinds)


@lru_cache(maxsize=4096)
def _nouns(tool: str) -> frozenset[str]:
    """What a tool is about: order, for orders.get and cancel_order; it says what a mere `id` names."""
    last = tool.replace("/", ".").rpartition(".")[2]
    words = [w.casefold().removesuffix("s") if len(w) > 3 else w.casefold() for w in words_of(tool)]
    nouns = [w for w in words if not _VERBS.fullmatch(w)]
    if (first := [w.casefold() for w in words_of(last)[:1]]) and _EITHER.fullmatch(first[0]) and len(set(nouns)) > 1:
        nouns = [w for w in nouns if w != first[0]]
    return frozenset(nouns)


def words_of(name: str) -> list[str]:
    """The words of a name in snake_case or camelCase."""
    return _CASES.findall(name)


def apart(one: Step, other: Step) -> bool:
    """Whether two calls are about different things: an argument of one name names another, and nothing is the same."""
    if not one.ids or not other.ids or one.ids & other.ids:
        return False
    return bool({name for name, _ in one.ids} & {name for name, _ in other.ids})


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
    said = [values.spoken(s.done) for s in steps]
    return [[j for j, gives in sources if j < i and any(g in said[i] for g in gives)] for i in range(len(steps))]


def _shown(result: str) -> Iterator[str]:
    try:
        found = json.loads(result) if result[:1] in '{["' else result
    except ValueError:
        found = result
    for leaf in values.leaves(found):
        words = values.trackable(leaf)
        if words is not None:
            yield words


def clauses(policy: str) -> list[str]:
    """The single policies of a text with several: one a line. A line that ends with a colon introduces the items below
    it, and is read with each of them; a heading (`# Refunds`) is none.
    """
    found: list[str] = []
    head, used = "", True
    for line in policy.splitlines():
        item = _ITEM.match(line)
        text = line[item.end() if item else 0 :].strip(" -*\t")
        if not text or _HEADING.match(line):
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
        return float(text.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", text) else text)
    except ValueError:
        return None
