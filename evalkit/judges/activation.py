"""Policy activation: is a policy in play in a turn of a dialogue? Words, names, numbers and tools; offline and pure.

After APC's relevance classifier (Peng & Shang 2024, arXiv 2405.07726, section 3: P(relevant | statement, query)), in
the cheap form that needs no model: evidence of several kinds, joined as a noisy or. The score is like a probability,
but it is not calibrated; it says nothing of whether the policy is kept.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from evalkit.core import text as t
from evalkit.core.types import Policy
from evalkit.judges.events import Dialogue, Event
from evalkit.judges.rule import Act, Rule, rule_of

TOOL = 0.9
"""What the call of a tool that the rule names is worth."""
NAMED = 0.35
"""What one shared name or number is worth."""
OVERLAP = 1.5
"""Share of the policy's weighted words to probability: two thirds of them are as good as certain."""
SURE = 0.95
# words of nearly every policy and every dialogue
_COMMON = t.stems_of(
    "customer user client patient agent assistant person people conversation answer question policy rule call help "
    "please private public single open new day time high low due allow permit able forbidden only first tell"
)
_NAME = re.compile(r"(?<=[^.!?\s]\s)[A-Z][\w-]+|\b[A-Z][A-Z0-9-]+\b|\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True)
class InPlay:
    """How much a policy is in play in one exchange: score in [0, 1], and why."""

    turn: int
    score: float
    why: str


def activation(policies: Sequence[Policy], dialogue: Dialogue) -> dict[str, tuple[InPlay, ...]]:
    """Policy id → its activation in each exchange, in order.

    Words are weighted by their rarity among the policies of the scenario (idf): what all policies speak of ("card",
    "account" at a bank) tells little about which of them a turn is about.
    """
    subjects = {p.id: subject(p) for p in policies}
    rarity = _rarity(list(subjects.values()))
    turns: dict[int, list[Event]] = {}
    for event in dialogue.events:
        turns.setdefault(event.turn, []).append(event)
    return {
        p.id: tuple(_in_play(p, subjects[p.id], rarity, turn, events) for turn, events in sorted(turns.items()))
        for p in policies
    }


def strongest(found: Sequence[InPlay]) -> InPlay:
    """The exchange in which a policy is most in play; score 0 where nothing happened."""
    return max(found, key=lambda p: p.score, default=InPlay(0, 0.0, "nothing was said"))


def _in_play(
    policy: Policy, about: frozenset[str], rarity: dict[str, float], turn: int, events: Sequence[Event]
) -> InPlay:
    said = frozenset().union(*(_stems(e) for e in events))
    shared = about & said
    total = sum(rarity[s] for s in about)
    overlap = sum(rarity[s] for s in shared) / total if total else 0.0
    chances = [("words " + ", ".join(sorted(shared)), min(SURE, OVERLAP * overlap))] if shared else []
    tool = _tool_called(policy, events)
    if tool is not None:
        chances.append((f"tool {tool}", TOOL))
    written = " ".join(e.text or (e.call.arguments if e.call else "") for e in events)
    chances += [(f"names {n}", NAMED) for n in sorted(_names(policy.text)) if re.search(rf"(?<!\w){n}(?!\w)", written)]
    score = 1.0 - math.prod(1.0 - p for _, p in chances)
    return InPlay(turn, round(score, 4), "; ".join(w for w, _ in chances) or "shares nothing with it")


def _stems(event: Event) -> frozenset[str]:
    if event.call is None:
        return event.prepared.all_stems
    values = " ".join(str(v) for v in (event.arguments or {}).values())
    return t.stems_of(f"{event.call.name.replace('_', ' ')} {values}"[:400])


def subject(policy: Policy) -> frozenset[str]:
    """The words that tell what a policy is about: of its text, and of what its triggers listen for."""
    words = t.stems_of(policy.text) - _COMMON
    return words or t.stems_of(policy.text)


def _rarity(subjects: Sequence[frozenset[str]]) -> dict[str, float]:
    """Smoothed idf over the policies of a scenario; every weight is positive, all are 1 for a single policy."""
    count = Counter(s for about in subjects for s in about)
    n = len(subjects)
    return {s: math.log((1 + n) / (1 + k)) + 1.0 for s, k in count.items()}


def _tool_called(policy: Policy, events: Sequence[Event]) -> str | None:
    rule = rule_of(policy)
    if rule is None:
        return None
    patterns = {p.lower() for p in _tools(rule)}
    for event in events:
        if event.call is not None and any(fnmatchcase(event.call.name.lower(), p) for p in patterns):
            return event.call.name
    return None


def _tools(rule: Rule) -> list[str]:
    acts: tuple[Act, ...] = (*rule.triggers, *rule.forbids, *rule.before)
    found = [a.tool for a in acts if a.tool is not None]
    return [*found, *([rule.limit.tool] if rule.limit is not None and rule.limit.tool is not None else [])]


def _names(text: str) -> frozenset[str]:
    """Proper names and numbers of a policy as they are written, for a look-up word by word."""
    return frozenset(re.escape(m.group()) for m in _NAME.finditer(text))
