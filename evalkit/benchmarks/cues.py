"""What makes a sentence a policy: deontic cues, and the kind, category, challenge and severity that follow from them.

Decides on the words of one sentence and of the lead-in it stands under; knows nothing of documents (normative.py puts
the two together). English. The lists are ours; their coverage and precision on documents they were not made from are
measured by tests/benchmarks/measure_policies.py.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from evalkit.benchmarks import cuepatterns as p
from evalkit.benchmarks import kindpatterns as k
from evalkit.benchmarks import statements
from evalkit.benchmarks.cuewords import CATEGORIES, GRAVE, LIGHT, N
from evalkit.core.text import fold
from evalkit.core.types import PolicyKind

LONGEST = 2_000
"""Characters of a sentence that are looked at; what is longer is no sentence, and patterns cost its square."""


@dataclass(frozen=True)
class Reading:
    """What one sentence is. `cues` names what was found, strongest first; no cues, no policy."""

    cues: tuple[str, ...]
    kind: PolicyKind
    challenge: int
    severity: int
    category: str

    @property
    def normative(self) -> bool:
        """Whether the sentence states a policy."""
        return bool(self.cues)


def read(sentence: str, head: str = "") -> Reading:
    """A plain sentence, and the lead-in of the list that it is an item of ("The agent must not:")."""
    text, lead = _plain(sentence), _plain(head)
    own = tuple(name for name, pattern in p.STRONG if pattern.search(text))
    if not own and not p.HEDGE.search(text) and statements.points(text) > statements.AGAINST_WEAK:
        main = main_clause(text)
        own = tuple(name for name, pattern in p.WEAK if pattern.search(main if name in p.OF_MAIN_CLAUSE else text))
    if not own and _imperative(text):
        own = ("imperative",)
    if not own and statements.stated(text):
        own = ("statement",)
    given = (lead_in(head) or _valued(text, lead),) if head and not own else ()
    cues = () if p.NOT_A_RULE.search(text) else own or tuple(g for g in given if g)
    whole = f"{lead.rstrip(': ')} {text}" if given and cues else text
    kind = kind_of(text if own else whole)
    if cues and not own and kind in ("obligation", "prohibition"):
        kind = p.KIND_OF_LEAD.get(cues[0], kind)
    return Reading(cues, kind, challenge_of(whole), severity_of(whole), category_of(whole))


@lru_cache(maxsize=1024)
def lead_in(head: str) -> str:
    """What a lead-in makes of the items under it: the name of its cue, or "" where they must speak for themselves."""
    text = _plain(head)
    return next((name for name, pattern in p.LEADS if pattern.search(text)), "")


def kind_of(text: str) -> PolicyKind:
    """One of the six kinds; the first that fits, from the most special to the most general.

    A rule that forbids stays a prohibition when a condition trails it ("cannot be cancelled unless insured"); one that
    starts with its condition is conditional.
    """
    text = _plain(text)
    if k.DISCLOSE.search(text) and k.RESTRAINT.search(text) and not k.NOT_GROUNDED.search(text):
        return "non_disclosure"
    if k.ORDER.search(text):
        return "ordering"
    if k.BOUND.search(text):
        return "limit"
    forbids = bool(k.NEGATIVE.search(main_clause(text)) or k.EXCLUSIVE.search(text))
    if k.LEADING.search(text) or (k.CONDITION.search(text) and not forbids):
        return "conditional"
    if k.QUANTITY.search(text):
        return "limit"
    return "prohibition" if forbids else "obligation"


def main_clause(text: str) -> str:
    """The text without the clause of condition or time that it starts with, and without a trailing "unless ..."."""
    return k.TRAILING.sub("", k.FRONTED.sub("", text))


def challenge_of(text: str) -> int:
    """1 to 5: one point to start with, and one each for what makes a rule easy to miss.

    A condition; an exception or a concession ("unless", "even if"); arithmetic (two numbers, a share, a difference) or
    a bound on time; something to be done before or after; more than 28 words or two alternatives.
    """
    text = _plain(text)
    numbers = len(re.findall(N, text))
    points = [
        bool(k.CONDITION.search(text)),
        bool(k.EXCEPTION.search(text)),
        numbers >= 2 or bool(k.ARITHMETIC.search(text)),
        bool(k.ORDER.search(text)),
        len(text.split()) > 28 or len(re.findall(r"\bor\b", text)) >= 2,
    ]
    return min(5, 1 + sum(points))


def severity_of(text: str) -> int:
    """3 where a break harms somebody (privacy, money taken, safety, law), 1 for manners, else 2."""
    text = _plain(text)
    if GRAVE.search(text):
        return 3
    return 1 if LIGHT.search(text) else 2


def category_of(text: str) -> str:
    """What the policy is about, by the words that tell most; "general" where none does."""
    text = _plain(text)
    scores = [(len(set(pattern.findall(text))), -i, name) for i, (name, pattern) in enumerate(CATEGORIES)]
    best, _, name = max(scores)
    return name if best else "general"


def negative(text: str) -> bool:
    """Whether the rule forbids."""
    return bool(k.NEGATIVE.search(_plain(text)))


def overriding(text: str) -> bool:
    """Whether the rule says that it holds against another, or when another does not."""
    return bool(k.OVERRIDING.search(_plain(text)))


def temporal_clause(text: str) -> str:
    """What must not have happened yet: the words after "before" or "until"; "" where there is no such clause."""
    m = k.BEFORE.search(_plain(text))
    return m[1] if m else ""


def _valued(text: str, lead: str) -> str:
    return "value" if statements.valued(text, lead) else ""


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    return " ".join(fold(text[:LONGEST]).text.replace("*", "").split())


def _imperative(text: str) -> bool:
    """Whether a clause is a command: the first one, or one after a condition ("If it is late, say so").

    Two words are not enough: "issue date" is a noun.
    """
    for part in re.split(r"[;:]\s+", text):
        first, *later = re.split(r"(?:,\s+|\)\s+)(?:and |then |or |but |please |so )*", part)
        clauses = [first, *later] if p.SUBORDINATE.match(part) else [first, *re.split(r",\s+so\s+", part)[1:]]
        if len(part.split()) > 2 and any(p.COMMAND.match(c) for c in clauses):
            return True
    return False
