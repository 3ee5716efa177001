"""Where in a dialogue was an act done: surely, perhaps, or not at all? What words cannot decide is never guessed.

Tool calls are found by name, arguments and result; phrases by their stems, with denials told apart.

Knows no policies and no polarity: a hit is what happened, good or bad.
"""

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from evalkit.core import stance
from evalkit.core import text as t
from evalkit.core.types import Evidence
from evalkit.judges.answer import Prepared
from evalkit.judges.events import Dialogue, Event
from evalkit.judges.rule import Act, Speaker

PARTIAL = 0.7
"""Share of a phrase's content stems in one sentence from which it may be meant though it is not said."""
GAP = 1
"""Words that may stand between two words of a phrase: "the chat is being recorded"."""

REACH = 5
"""Words between a negator and what it surely denies."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An act at a place of the dialogue; places are ordered: (event, character)."""

    sure: bool
    at: tuple[int, int]
    turn: int
    how: str
    evidence: tuple[Evidence, ...] = ()
    failed: bool = False
    """A tool call that was tried and answered with an error."""


def hits(acts: Sequence[Act], dialogue: Dialogue, speaker: Speaker, *, asked: bool = True) -> list[Hit]:
    """Every place where one of the acts is done or perhaps done, in order.

    `asked`: whether a question counts as saying: asking for a confirmation does, asking what someone means does not.
    """
    found: list[Hit] = []
    for act in acts:
        for event in dialogue.events:
            if act.tool is not None:
                found += _called(act, event, dialogue.world)
            elif event.kind != "call" and (act.by or speaker) in (event.kind, "any"):
                found += _said(act, event, asked)
    return sorted(found, key=lambda h: (h.at, not h.sure))


def fits(where: dict[str, Any], arguments: dict[str, Any] | None, world: dict[str, Any]) -> bool | None:
    """Whether arguments fit all patterns; None: cannot be said (no JSON, a missing argument, an unknown `$name`)."""
    verdicts: list[bool | None] = []
    for name, pattern in where.items():
        if arguments is None or name not in arguments:
            verdicts.append(None)
            continue
        verdicts.append(_fits(str(pattern), arguments[name], world))
    if False in verdicts:
        return False
    return None if None in verdicts else True


def number(value: Any) -> float | None:
    """A number, or a text that holds nothing but one: "80.00", "$1,200"."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    m = re.fullmatch(r"\s*[^\w\s.-]?\s*(-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d+(?:\.\d+)?)\s*\D{0,4}", str(value))
    return float(m[1].replace(",", "")) if m else None


def polarity(text: str, start: int, end: int, *, asked: bool = True) -> bool | None:
    """Whether `text[start:end]`, lower case, is affirmed (True), denied (False), or neither is sure (None)."""
    first, last = _sentence(text, start, end)
    before, after = text[first:start], text[end:last]
    if _DENIED_AFTER.match(after) or (stance.declines(text[first:last]) and not _TURNS.search(before)):
        return False
    clause = _IDIOM.sub(" ", _TURNS.split(_IDIOM.sub(" ", before))[-1])
    denial = list(_NEGATOR.finditer(clause))
    if denial:  # far from what it denies, it may deny something else: "I can't think of anything better than our ..."
        return False if len(clause[denial[-1].end() :].split()) <= REACH else None
    if _REPORTED.search(clause):
        return None
    return None if not asked and after.rstrip().endswith("?") else True


def denies(text: str) -> bool:
    """Whether a lower-case text has a word that denies something."""
    return _NEGATOR.search(_IDIOM.sub(" ", text)) is not None


def _called(act: Act, event: Event, world: dict[str, Any]) -> Iterator[Hit]:
    call = event.call
    if call is None or act.tool is None or not fnmatch.fnmatchcase(call.name.lower(), act.tool.lower()):
        return
    fit = fits(act.where, event.arguments, world)
    if fit is False:
        return
    if act.result is not None and not re.search(act.result, event.result or "", re.IGNORECASE):
        return
    if event.failed and act.attempt is False:
        return
    failed = event.failed and act.attempt is None
    how = f"calls {call.name}({call.arguments[:80]})" + (", which fails" if event.failed else "")
    yield Hit(fit is True and not failed, (event.at, 0), event.turn, how, event.quote_result(), failed)


def _said(act: Act, event: Event, asked: bool) -> Iterator[Hit]:
    if act.match is not None:
        lower = event.text.lower()
        for m in re.finditer(act.match, event.text, re.IGNORECASE):
            holds = polarity(lower, m.start(), m.end(), asked=asked) if m.group() else False
            if holds is not False:
                yield _spoken(event, m.start(), m.end(), holds is True)
        return
    prepared = event.prepared
    for phrase in act.say:
        places = list(_places(_phrase(phrase), prepared))
        for a, b in places:
            holds = polarity(prepared.text, a, b, asked=asked)
            if holds is not False:
                yield _spoken(event, *prepared.folded.span(a, b), holds is True)
        if not places:
            for a, b in _partial(phrase, prepared):
                yield _spoken(event, *prepared.folded.span(a, b), False)


def _spoken(event: Event, start: int, end: int, sure: bool) -> Hit:
    quote = event.text[start:end]
    how = f"says “{quote[:80]}”" if sure else f"may mean it with “{quote[:80]}”"
    return Hit(sure, (event.at, start), event.turn, how, event.quote(start, end))


@lru_cache(maxsize=8192)
def _phrase(phrase: str) -> tuple[str, ...]:
    return tuple(t.stem(w.text) for w in t.words(t.unmask(t.fold(phrase).text)))


def _places(phrase: Sequence[str], prepared: Prepared) -> Iterator[tuple[int, int]]:
    """The phrase word by word, with up to `GAP` other words between two of them, within a sentence."""
    words = prepared.words
    stems = prepared.stems
    for i in prepared.stem_index.get(phrase[0], ()) if phrase else ():
        at = i
        for wanted in phrase[1:]:
            at = next((j for j in range(at + 1, min(at + 2 + GAP, len(stems))) if stems[j] == wanted), -1)
            if at < 0 or (at > i + 1 and stems[at - 1] not in phrase and _NEGATOR.search(words[at - 1].text)):
                break
        else:
            a, b = words[i].start, words[at].end
            if not re.search(r"[.!?\n]\s", prepared.text[a:b]):
                yield a, b


def _partial(phrase: str, prepared: Prepared) -> Iterator[tuple[int, int]]:
    """Sentences with most of the phrase's content words that do not deny: the phrase in other words, perhaps."""
    wanted = t.stems_of(phrase)
    if not wanted:
        return
    negative = denies(phrase.lower())
    for s in prepared.sentences:
        if len(wanted & s.stems) < PARTIAL * len(wanted) or s.declines:
            continue
        if negative or not denies(prepared.text[s.start : s.end]):
            a, b = s.start, s.end
            while b > a and prepared.text[b - 1].isspace():
                b -= 1
            yield a, b


def _sentence(text: str, start: int, end: int) -> tuple[int, int]:
    first = max((m.end() for m in _STOP.finditer(text, 0, start)), default=0)
    stop = _STOP.search(text, end)
    return first, stop.end() if stop else len(text)


def _fits(pattern: str, value: Any, world: dict[str, Any]) -> bool | None:
    if pattern.startswith("!"):
        inner = _fits(pattern[1:], value, world)
        return None if inner is None else not inner
    bound = re.fullmatch(r"(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)", pattern)
    if bound:
        n = number(value)
        return None if n is None else _COMPARE[bound[1]](n, float(bound[2]))
    if pattern.startswith("$"):
        if pattern[1:] not in world:
            return None
        return str(value).strip().casefold() == str(world[pattern[1:]]).strip().casefold()
    if isinstance(value, bool):
        value = str(value).lower()
    return fnmatch.fnmatchcase(str(value).strip().casefold(), pattern.casefold())


_COMPARE = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_STOP = re.compile(r"[.!?]+[\"')\]*_]*\s+|\n\s*")
_NEGATOR = re.compile(
    r"\b(?:not|no|never|nor|neither|none|nobody|nothing|without|cannot|unable|refus\w+|declin\w+|avoid\w*|hardly|"
    r"rather than|instead of|far from|free of)\b|n't\b|\bcan not\b"
)
# words with a negator in them that deny nothing of what follows
_IDIOM = re.compile(
    r"\bnot only\b|\bnot just\b|\bno (?:doubt|question|problem|worries|longer than|later than|less than|matter)\b|"
    r"\b(?:do not|don't|no need to) (?:worry|hesitate|panic|be afraid)\b|\bif (?:not|so|no)\b|"
    r"\b(?:without|beyond) (?:a |any )?(?:doubt|question)\b|\bnobody else\b|\bno one else\b|\bnothing but\b|"
    r"\b(?:why|whether or) not\b|\bno,|^no[.!] "
)
# where a clause begins that the words before it do not deny
_TURNS = re.compile(r"[;:]|\b(?:but|however|though|although|yet|otherwise|still)\b")
_REPORTED = re.compile(
    r"\bwhether\b|\byou(?:'ve| have)? (?:ask|say|said|mention|wr[io]te|claim|want to know)\w*\b|"
    r"\b(?:if|unless|in case|provided|others?|competitors?|elsewhere)\b|"
    r"\b(?:they|he|she|people|some|neighbours?|friends?) (?:say|said|claim|think)s?\b|\bwould say\b"
)
_DENIED_AFTER = re.compile(
    r"[\s\"'”’*_)]*(?:\w+\s+){0,4}?(?:(?:is|are|was|were|will|would|can|could|do|does|did)(?:n't|\s+not|\s+never)\b|cannot\b|"
    r"(?:is|are|would be|sounds)\s+(?:im\w+|wrong|false|incorrect|out of the question|illegal|forbidden|prohibited)\b)"
)
