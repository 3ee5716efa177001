"""What a non-disclosure policy is about: the noun phrase it protects, what kind of thing that is, the secrets it names.

Reads English patterns; a policy in other words is taken whole, which costs accuracy and no error.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from evalkit.core import text as t

KINDS = ("money", "number", "date", "name")
"""Kinds of values that a topic may ask for and a sentence may have; a topic of none of them is told by its meaning."""

_VERB = (
    r"(?:disclos\w+|reveal\w*|shar(?:e|ing)|tell(?:ing)?|discuss\w*|divulg\w+|mention\w*|leak\w*|confirm\w*|deny|"
    r"denying|hint(?:ing)? at|provid\w+|say(?:ing)?|talk(?:ing)? (?:about|of)|speak(?:ing)? (?:about|of)|expos\w+|"
    r"releas\w+|publish\w*|repeat\w*|describ\w+|output\w*|print\w*|state|give (?:out|away)|pass on|comment(?:ing)? on|"
    r"answer(?:ing)? (?:any )?questions?)"
)
_ANY = (
    r"(?:(?:anyone|users?|customers?|people|them|any|anything|everything|all|information|details?|facts?|data|content|"
    r"specifics|in any way|directly|indirectly|at all|or|and|else|other|further|confidential|sensitive|the)\s+)*"
)
_OF = r"(?:(?:about|regarding|concerning|on|of|related to|relating to|with regard to)\s+)?"
_STOP = (
    r"(?=[.;:!?]?\s*$|[.;!?]\s|,?\s+(?:whoever|however|whatever|even if|no matter|regardless|unless|except|under any|"
    r"in any|to (?:any(?:one|body)?|users?|customers?|third|outsiders|the (?:user|public|customer)|others|people)|"
    r"outside|with (?:any(?:one|body)|users?|customers?|third|others|outsiders))\b)"
)
_SECRET = (
    r"(?:strictly |highly |completely )?(?:confidential|secret|private|internal|off[- ]limits|sensitive|classified|"
    r"protected|privileged|not to be|never to be|not for)"
)
_FRAMES = tuple(
    re.compile(p, re.IGNORECASE | re.DOTALL)
    for p in (
        rf"\bkeep\s+{_ANY}{_OF}(?P<about>[^.;]+?)\s+(?:out of|away from|to yourself|{_SECRET})",
        rf"(?:^|[.;]\s+)(?:anything|everything|information|all information|details?|whatever)\s+{_OF}"
        rf"(?P<about>[^.;]+?)\s+(?:is|are|must|should|has to|have to|remains?|stays?)\b",
        rf"(?:^|[.;]\s+)(?P<about>[^.;]+?)\s+"
        rf"(?:is|are|must (?:stay|remain|be kept|be)|should (?:stay|remain|be kept|be)|"
        rf"has to (?:stay|remain)|remains?|stays?|must not be|may not be|should not be|cannot be|shall not be)\s+"
        rf"(?:{_SECRET}|{_VERB}|ed\b)",
        rf"{_VERB}(?:(?:\s*,\s*|\s+or\s+|\s*,\s*or\s+|\s+and\s+|/){_VERB})*\s+{_ANY}{_OF}(?P<about>[^;]+?){_STOP}",
    )
)
_ORDER = re.compile(
    rf"\b(?:not|never|n't|avoid|refrain)\b.*\b{_VERB}\b|^(?:disclosing|sharing|revealing)\b", re.IGNORECASE
)
"""What stands in no phrase that is protected: the pattern took in the order itself."""
_HEAD = re.compile(
    r"\b(?:of|for|that|in|from|which|who|whom|on|about|to|by|at|with|between|during|after|before)\b", re.IGNORECASE
)
_EXPECTS = {
    "money": r"sums?|amounts?|costs?|prices?|totals?|fees?|budgets?|loans?|salar(?:y|ies)|pay|payments?|values?|"
    r"revenues?|offers?|funds?|money|debts?|bonus(?:es)?|rents?|grants?|deposits?|fines?|savings?|earnings|turnover|balance",
    "number": r"numbers?|counts?|shares?|percentages?|rates?|proportions?|sizes?|lengths?|how many|how much|capacity|"
    r"levels?|scores?|margins?|limits?|thresholds?|ratios?|discount|age|weight|height|temperature|speed|dose|duration",
    "date": r"dates?|days?|when|times?|deadlines?|months?|years?|weeks?|timing|start|end|birthday",
    "name": r"names?|who|persons?|partners?|donors?|compan(?:y|ies)|suppliers?|firms?|authors?|officials?|candidates?|"
    r"owners?|employees?|buyers?|vendors?|managers?|sites?|places?|locations?|codenames?|codes?|titles?|labels?|where|"
    r"passwords?|keys?|address(?:es)?|contacts?|customers?|patients?",
}
_EXPECTED = {kind: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for kind, words in _EXPECTS.items()}
_QUOTED = re.compile(r"[\"“]([^\"“”\n]{3,80})[\"”]|(?<!\w)['‘`]([^'‘’`\n]{3,80})['’`](?!\w)")
_TOKEN = re.compile(r"[^\s\"'“”‘’`,;()]+")


@dataclass(frozen=True)
class Topic:
    """What a policy protects."""

    about: str
    stems: frozenset[str]
    expects: tuple[bool, bool, bool, bool]
    """Which of KINDS the head of the phrase asks for."""
    secrets: tuple[str, ...]
    """What the policy itself names and must not be said: quoted words, codes, keys, addresses."""


@lru_cache(maxsize=4096)
def topic_of(policy: str) -> Topic:
    """The topic of a policy's text."""
    secrets = _secrets(policy)
    about = _about(" ".join(policy.split()))
    head = _HEAD.split(about, maxsplit=1)[0]
    head = head if len(head.split()) > 1 or head.strip().lower() not in {"", "the"} else about
    stems = t.stems_of(about) or t.stems_of(policy)
    money, number, date, name = (bool(_EXPECTED[k].search(head)) for k in KINDS)
    return Topic(about, stems, (money, number, date, name), secrets)


def _about(policy: str) -> str:
    """The protected phrase: what the first pattern that fits names; the whole policy where none does."""
    for frame in _FRAMES:
        found = frame.search(policy)
        if found and t.stems_of(found["about"]) and not _ORDER.search(found["about"]):
            return found["about"].strip(" ,:\"'")
    return policy


def _secrets(policy: str) -> tuple[str, ...]:
    found = [(a or b).strip() for a, b in _QUOTED.findall(policy)]
    plain = _QUOTED.sub(" ", policy)
    found += [w for w in (m.strip(".:!?") for m in _TOKEN.findall(plain)) if _code_like(w)]
    return tuple(dict.fromkeys(f for f in found if f))


def _code_like(word: str) -> bool:
    """Letters and digits mixed, an address, or a long number: nothing that a sentence is made of."""
    letters, digits = any(c.isalpha() for c in word), sum(c.isdigit() for c in word)
    if "@" in word[1:-1]:
        return True
    return (letters and digits > 0 and len(word) >= 5 and not _ORDINAL.fullmatch(word)) or digits >= 6


_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th|s|km|kg|mg|ml|am|pm)", re.IGNORECASE)
