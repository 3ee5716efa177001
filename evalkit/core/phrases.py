"""Patterns of rules in English: who does what, in four inflections. Sentences are english.py's.

A verb phrase is looked up in the lexicon or made of the name ("refund_order" → "refund order"); its first word is
inflected by rule, with a table of exceptions.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalkit.core.rules import Act, Acts, Condition, Ref, Tag, Within
from evalkit.core.values import Path

_PARTICIPLES = """
    be:been become:become begin:begun bend:bent bid:bid bind:bound book:booked break:broken bring:brought
    build:built buy:bought catch:caught choose:chosen come:come cut:cut deal:dealt do:done draw:drawn drive:driven
    eat:eaten fall:fallen feel:felt find:found fly:flown forbid:forbidden forget:forgotten forgive:forgiven
    freeze:frozen get:got give:given go:gone have:had hear:heard hide:hidden hit:hit hold:held hurt:hurt keep:kept
    know:known lay:laid lead:led leave:left lend:lent let:let log:logged lose:lost make:made mean:meant meet:met
    open:opened override:overridden oversee:overseen overwrite:overwritten pay:paid put:put quit:quit read:read
    rebuild:rebuilt redo:redone repay:repaid rerun:rerun resell:resold resend:resent reset:reset rewrite:rewritten
    ride:ridden rise:risen run:run say:said see:seen sell:sold send:sent set:set shake:shaken show:shown shut:shut
    speak:spoken speed:sped spend:spent split:split spread:spread stand:stood steal:stolen stick:stuck strike:struck
    submit:submitted sweep:swept take:taken teach:taught tell:told think:thought throw:thrown understand:understood
    undo:undone unfreeze:unfrozen unset:unset upset:upset wake:woken wear:worn win:won wind:wound withdraw:withdrawn
    write:written
"""
_IRREGULAR = {verb: participle for verb, _, participle in (pair.partition(":") for pair in _PARTICIPLES.split())}
_DOUBLED = re.compile(r"(?:[^aeiou]|^|qu)[aeiou][bdgklmnprt]$")
_STRESSED = frozenset(
    {"admit", "begin", "cancel", "commit", "equip", "forbid", "forget", "format", "occur", "permit", "prefer", "quit",
     "refer", "rerun", "reset", "submit", "transfer", "unset", "upset"}
)  # fmt: skip
"""Verbs of several syllables that double their last letter all the same."""
_OPERATORS = {
    "=": "is {}", "!=": "is not {}", "<": "is less than {}", "<=": "is at most {}", ">": "is more than {}",
    ">=": "is at least {}", "in": "is one of {}", "not in": "is none of {}", "contains": "contains {}",
    "glob": "is like {}", "matches": "matches {}",
}  # fmt: skip
_ROLES = frozenset({"button", "link", "tab", "field", "textbox", "checkbox", "menu", "option", "combobox", "menuitem"})


@dataclass(frozen=True, slots=True)
class Lexicon:
    """How things are called. What is not in it is called after its own name."""

    acts: Mapping[str, str] = field(default_factory=dict)
    """Verb or tool, as patterns write it, to a verb phrase that begins with its verb: "issue a refund"."""
    things: Mapping[str, str] = field(default_factory=dict)
    """Path ("amount", "result.total"), variable or world value ("$order") to a noun phrase without an article."""
    agent: str = "the agent"


@dataclass(frozen=True, slots=True)
class Words:
    """One pattern in words. `own`: the agent does it, so it can be told to."""

    base: str
    gerund: str
    third: str
    """A clause: "the agent clicks ..."."""
    perfect: str
    """A clause: "the agent has clicked ..."."""
    own: bool = True


def words_of(acts: Acts, lexicon: Lexicon, variables: Sequence[str] = (), tags: Sequence[Tag] = ()) -> Words:
    """The pattern in words; several acts are joined by "or"."""
    found = [_act(act, lexicon, variables, tags) for act in acts]
    if len(found) == 1:
        return found[0]
    base, gerund, third, perfect = (
        " or ".join(dict.fromkeys(forms))
        for forms in zip(*((w.base, w.gerund, w.third, w.perfect) for w in found), strict=True)
    )
    return Words(base, gerund, third, perfect, all(w.own for w in found))


def span(within: Within | None, lead: str) -> str:
    """A limit of time, with the space before it: " within 5 steps"; "" without one."""
    if within is None:
        return ""
    if within.unit == "turns":
        return " in the same turn" if within.n == 1 else f" {lead} {within.n} turns"
    return f" {lead} {within.n} step{'s' if within.n > 1 else ''}"


def thing(path: Path, lexicon: Lexicon) -> str:
    """The noun phrase of a path, with its article."""
    shown = ".".join(path[1:] if path[0] == "arguments" else path)
    if path[-1] == "*":
        return "its result" if path[0] == "result" else "any of its arguments"
    noun = lexicon.things.get(shown) or lexicon.things.get(path[-1])
    return f"the {noun or spaced(path[-1])}" + (" in its result" if path[0] == "result" and not noun else "")


def spaced(name: str) -> str:
    """A name as words: order_id and orderId are "order id"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.strip("*")).replace("_", " ").replace("-", " ").strip().lower()


def inflect(phrase: str, form: str) -> str:
    """The phrase with its verb as "gerund", "participle" or "third"."""
    verb, _, rest = phrase.partition(" ")
    changed = {"gerund": _gerund, "participle": _participle, "third": _third}[form](verb)
    return f"{changed} {rest}".rstrip()


def _act(act: Act, lexicon: Lexicon, variables: Sequence[str], tags: Sequence[Tag]) -> Words:
    details = _details(act, lexicon, variables, tags)
    base = _verb_phrase(act, lexicon)
    subject, own = _subject(act, lexicon)
    return Words(
        base + details,
        (inflect(base, "gerund") if own else f"{subject} {inflect(base, 'gerund')}") + details,
        f"{subject} {inflect(base, 'third')}{details}",
        f"{subject} has {inflect(base, 'participle')}{details}",
        own,
    )


def _subject(act: Act, lexicon: Lexicon) -> tuple[str, bool]:
    if not act.by or act.by == ("assistant",):
        return lexicon.agent, True
    names = " or ".join(lexicon.agent if by == "assistant" else f"the {by}" for by in act.by)
    return (names if "*" not in names else "anyone"), False


def _verb_phrase(act: Act, lexicon: Lexicon) -> str:
    known = [lexicon.acts[name] for name in act.names if name in lexicon.acts]
    if known and len(known) == len(act.names):
        return known[0] if len(known) == 1 else " or ".join(known)
    if act.kind == "message":
        return "say " + (" or ".join(f"“{p}”" for p in act.says) if act.says else "something")
    if act.kind == "call":
        if not act.names:
            return "use any tool"
        return f"use the tool{'s' if len(act.names) > 1 else ''} {' or '.join(act.names)}"
    verb = " or ".join(spaced(n) for n in act.names) or "act on"
    verb = {"goto": "go to"}.get(verb, verb)
    if act.target:
        names = " or ".join(f"'{t}'" for t in act.target)
        role = f"{spaced(act.role[0])} " if len(act.role) == 1 and act.role[0] in _ROLES else ""
        return f"{verb} the {role}{names}" if role else f"{verb} {names}"
    return f"{verb} any {spaced(act.role[0])}" if act.role else f"{verb} anything"


def _details(act: Act, lexicon: Lexicon, variables: Sequence[str], tags: Sequence[Tag]) -> str:
    same = [c.operand.name for c in act.where if isinstance(c.operand, Ref) and c.operand.name in variables]
    clauses = [
        _clause(c, lexicon, tags) for c in act.where if not (isinstance(c.operand, Ref) and c.operand.name in variables)
    ]
    found = "".join(f" for that {lexicon.things.get(f'${name}') or spaced(name)}" for name in dict.fromkeys(same))
    if clauses:
        found += f" where {' and '.join(clauses)}"
    if act.ok is None:
        found += " (successfully or not)"
    elif not act.ok:
        found += " without success"
    for other in act.unless:
        clauses = [_clause(c, lexicon, tags) for c in other.where]
        what = f"where {' and '.join(clauses)}" if clauses else f"to {_verb_phrase(other, lexicon)}"
        found += f" (except {what})"
    return found


def _clause(condition: Condition, lexicon: Lexicon, tags: Sequence[Tag]) -> str:
    noun = thing(condition.path, lexicon)
    if condition.op == "exists":
        return f"{noun} is {'given' if condition.operand else 'missing'}"
    if condition.op == "carries":
        source = next(t for t in tags if t.name == condition.operand).source
        read = " or ".join(f"the results of {w.gerund}" for w in [words_of(source, lexicon)])
        return f"{noun} {'contain' if noun.endswith('s') else 'contains'} anything from {read}"
    if condition.path == ("text",) and condition.op == "matches":
        return f"the text matches {condition.operand}"
    return f"{noun} {_OPERATORS[condition.op].format(_value(condition.operand, lexicon))}"


def _value(operand: Any, lexicon: Lexicon) -> str:
    if isinstance(operand, Ref):
        return f"the {lexicon.things.get(f'${operand.name}') or spaced(operand.name)} of this case"
    if isinstance(operand, tuple):
        return ", ".join(_value(v, lexicon) for v in operand)
    if isinstance(operand, bool):
        return "true" if operand else "false"
    return f"{operand:g}" if isinstance(operand, float) else f"{operand}"


def _gerund(verb: str) -> str:
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and len(verb) > 2:
        return verb[:-1] + "ing"
    return _doubled(verb) + "ing"


def _participle(verb: str) -> str:
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return verb[:-1] + "ied"
    return _doubled(verb) + "ed"


def _third(verb: str) -> str:
    if verb in ("have", "be"):
        return {"have": "has", "be": "is"}[verb]
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")


def _doubled(verb: str) -> str:
    """With its last letter twice where English writes it so: stop, submit, cancel; not open, edit, click."""
    short = _DOUBLED.search(verb) is not None and sum(c in "aeiou" for c in verb) == 1
    return verb + verb[-1] if short or verb in _STRESSED else verb
