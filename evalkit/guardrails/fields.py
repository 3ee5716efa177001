"""Named values in the arguments of a call or in a record it returned, and what their names say: amounts, things.

`customer_id="C-17"`, `"total": "$620.00"`, `'state': 'open'`: read by their form, so that JSON and Python will do.
What stands inside a quoted value is part of it. Knows no policy.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from evalkit.core.values import number


def some(words: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(words.split())


Things = frozenset[tuple[str, str]]
"""Kind and name, both in lower case: ("customer", "c-17")."""
LONGEST = 120
"""Characters of a value that is kept."""
_QUOTED = r""""[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|'[^'\\]*(?:\\.[^'\\]*)*(?:'|\\?\Z)"""
_FIELD = re.compile(
    rf"""(?:"([\w.-]{{1,60}})"|'([\w.-]{{1,60}})'|(?<![\w.-])([A-Za-z_][\w.-]{{0,59}}))\s{{0,4}}[=:]\s{{0,4}}"""
    rf"""({_QUOTED}|[^\s,"'(){{}}\[\]]+)|(?<![\w\\])(?:{_QUOTED})""",
    re.DOTALL,
)
"""A name and its value; or a quoted text, in which none is looked for."""
_CASES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LOOSE = re.compile(r"(?<![\w.,-])-?\d+(?:[.,]\d+)*(?![\w-])")
"""A number that is passed without a name; the digits of K-17 and of a date are none."""
_AMOUNTS = some("amount amt total sum price value qty quantity limit credit credits")
_IDENTIFYING = some("id no nr num number ref key uuid mrn iban sku serial ticket order account case sha pnr vin email")
_NAMING = some("id no nr num number ref key uuid code")
"""order_id, orderId and order name the same kind of thing."""
_PLAIN = _AMOUNTS | some(
    "size date time day month year period since until version text body note memo message comment reason subject "
    "description"
)
"""Words in the names of values that are no names of things, whatever they look like."""
_BOOKS = some("request trace session correlation event token model status state hash etag cursor page job log audit")
"""What a system calls its own answers by."""
_IDENTITY = re.compile(r"(?=.*\d)(?=.*[A-Za-z_/:#@-])[\w./:#@+-]+")
"""Letters and digits in one: K-17, SO731, U_9. Anything without blanks is one where its name says so."""
_DATED = re.compile(r"\d{4}-\d{2}(?:-\d{2})?(?:[t ][\d:.z+-]*)?|\d{1,2}[:h]\d{2}(?::\d{2})?|v?\d+(?:\.\d+)+")
_NOTHING = some("true false null none undefined")
_LOOKS_UP = some("find get look lookup search fetch list query read show resolve load")
_VERBS = _LOOKS_UP | some(
    "add apply approve archive assign book buy call cancel change check clear close complete confirm copy create "
    "decline delete disable do download edit enable end execute export id lock log make mark merge modify move "
    "notify open pay post publish pull push put refund register reject release remove rename reopen replace reset "
    "restore return revoke run save send set start stop submit suspend sync transfer unlock update upload "
    "validate verify void waive write api new by for of in on from the to up"
)
_EITHER = some("block file issue note order patch process record request schedule ship sign status tag view")
"""Words of tools that name no kind of thing; and those that do where nothing else does, or where they stand inside."""

_SHORT = {
    "cust": "customer", "acct": "account", "acc": "account", "mbr": "member", "mem": "member", "usr": "user",
    "emp": "employee", "pat": "patient", "pax": "passenger", "rcpt": "recipient", "addr": "address",
    "dept": "department", "ord": "order", "prod": "product", "tkt": "ticket", "inv": "invoice",
    "txn": "transaction", "veh": "vehicle", "cat": "category", "org": "organisation", "proj": "project",
    "repo": "repository", "env": "environment", "cand": "candidate", "appt": "appointment",
    "res": "reservation", "qty": "quantity", "amt": "amount", "pct": "percent", "wt": "weight",
    "temp": "temperature", "bal": "balance",
}  # fmt: skip


class Field(NamedTuple):
    """A value and what it is called."""

    name: str
    value: str
    """In lower case, without its quotes."""


def fields(text: str) -> tuple[Field, ...]:
    """All of a text, in order."""
    return tuple(
        Field(m[1] or m[2] or m[3], (m[4][1:-1] if m[4][0] in "\"'" else m[4])[:LONGEST].casefold())
        for m in _FIELD.finditer(text) if m[4]
    )  # fmt: skip


@lru_cache(maxsize=4096)
def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in snake_case or camelCase, in lower case."""
    return tuple(w.casefold() for w in _CASES.findall(name))


def quantity(text: str) -> float | None:
    """A number with or without its unit or currency: 1,200.50, $620, 14 kg; None for any other text, multiples
    ("2k") among them.
    """
    return number(text.strip())


def is_amount(name: str) -> bool:
    """Whether a value is a number to be counted by its name."""
    words = words_of(name)
    return bool(_AMOUNTS.intersection(words)) and not identifies(name) and "card" not in words


def identifies(name: str) -> bool:
    """Whether a value names something even where it is a mere number."""
    words = words_of(name)
    return bool(words) and (words[-1] in _IDENTIFYING or words[-1].removesuffix("s") in _NAMING)


def names_thing(value: str) -> bool:
    """Whether a value is the name of one thing by its looks: K-17, SO731; no date, no version, no quantity."""
    return bool(_IDENTITY.fullmatch(value)) and not _DATED.fullmatch(value) and quantity(value) is None


def plain(name: str) -> bool:
    """Whether a value is no name of a thing: an amount, a date."""
    words = words_of(name)
    return bool(_PLAIN.intersection(words)) and not identifies(name) and "card" not in words


def entered(arguments: str, found: Sequence[Field]) -> float | None:
    """The number that a call passes: of an argument that is called an amount, else the last one that names nothing."""
    every = [(f.name, x) for f in found if (x := quantity(f.value)) is not None]
    numbers = [(name, x) for name, x in every if not identifies(name)]
    numbers = numbers or [(name, x) for name, x in every if name.casefold() in ("number", "num")]
    amounts = [x for name, x in numbers if is_amount(name)]
    if numbers:
        return amounts[0] if amounts else numbers[-1][1]
    loose = _LOOSE.findall(_FIELD.sub(lambda m: " " if m[4] else m[0], arguments))
    return quantity(loose[-1]) if loose else None


def things(tool: str, found: Sequence[Field], *, shown: bool = False) -> Things:
    """What names one thing among its like: ("customer", "c-17"). A mere `id` is one of what the tool is called by:
    get_order(id="A-1") gives ("order", "a-1"). `shown`: in a result, where systems name their own answers as well.
    """
    return frozenset(_things(tool, found, shown))


def _things(tool: str, found: Sequence[Field], shown: bool) -> Iterator[tuple[str, str]]:
    for name, given in found:
        value = given.removeprefix("#")
        words = words_of(name)
        if not words or plain(name) or not 0 < len(value) <= 40 or (shown and _bookkeeping(words, tool)):
            continue
        if names_thing(value) or (identifies(name) and not re.search(r"\s", value) and value not in _NOTHING):
            kind = kind_of(name)
            kinds = {kind, "_".join(words)} if kind else nouns(tool) or {"like " + re.sub("[0-9]+", "0", value)}
            yield from ((k, value) for k in kinds)


@lru_cache(maxsize=8192)
def kind_of(name: str) -> str:
    """What an argument names, by its own name: order, for order_id, orderId, order_no and ord; empty for a mere id."""
    words = words_of(name)
    return "_".join(map(in_full, words[:-1] if words and words[-1].removesuffix("s") in _NAMING else words))


def _bookkeeping(words: Sequence[str], tool: str) -> bool:
    """Whether a system calls its own answer so: a request, a trace; not the events of a tool that finds events."""
    return bool(_BOOKS.intersection(words) - nouns(tool))


@lru_cache(maxsize=4096)
def nouns(tool: str) -> frozenset[str]:
    """What a tool is about: order, for orders.get and cancel_order."""
    words = words_of(tool)
    last = words_of(tool.replace("/", ".").rpartition(".")[2])
    found = {in_full(w) for w in words if w not in _VERBS and not w.isdigit()}
    for w in {*last[:1], *last[-1:]} & _EITHER:
        found -= {w} if len(found) > 1 else set()
    return frozenset(found)


def looks_up(tool: str) -> bool:
    """Whether a tool only reads."""
    return bool(_LOOKS_UP.intersection(words_of(tool.rpartition(".")[2])))


@lru_cache(maxsize=4096)
def in_full(word: str) -> str:
    """A word as it stands in the dictionary: order, for orders and ord."""
    return _SHORT.get(word) or singular(word)


@lru_cache(maxsize=4096)
def singular(word: str) -> str:
    """One of them: orders, companies; any other word as it is, in lower case."""
    word = word.casefold()
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word
