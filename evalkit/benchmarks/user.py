"""The offline user: plays an event's user by cues, the same way every time. Never sees the gold plan, never judges.

In this order: tells what it knows when a sentence asks for it; insists when refused, as long as it has something left
to say; agrees when asked to; waits when told to; says so when it has no answer; and otherwise takes the matter as
settled and goes on to the next.
"""

import re
from collections.abc import Iterable

from evalkit.benchmarks.event import User
from evalkit.core.text import fold, sentences
from evalkit.core.types import Message

REFUSES = re.compile(
    r"\b(?:can(?:no|')t|cannot|can not|unable to|not able to|not (?:be )?(?:allowed|permitted|possible)|"
    r"(?:have|need|must) (?:to )?decline|(?:i|we) (?:won't|will not)|not something i can)\b"
)
AGREES = re.compile(
    r"\b(?:shall i|should i|do you (?:confirm|agree|accept|want me to|wish to)|would you like (?:me )?to|"
    r"please confirm|(?:want|like) to (?:go ahead|proceed)|(?:can|could|may) (?:i|you) (?:proceed|go ahead|confirm)|"
    r"(?:is|are) (?:that|this|you) (?:ok|okay|fine|all right|alright|correct|acceptable|happy|good)|do you approve|"
    r"yes or no|(?:does|would|do) (?:that|this|these) (?:work|suit|sound|be (?:ok|okay|fine|all right|acceptable))|"
    r"sounds? good|(?:can|could) you (?:please )?confirm|would you like (?:that|this)|(?:want|like) me to|"
    r"do i have your|let me know if you(?:'d| would) like (?:me )?to|ready to (?:proceed|go ahead))\b|\(yes/no\)"
)
WAITS = re.compile(
    r"\b(?:one moment|just a (?:moment|second)|please (?:wait|hold)|let me (?:just )?(?:check|look|see|find|pull))\b"
)
_REQUESTS = re.compile(
    r"\?|\b(?:please|could you|can you|may i have|i(?:'ll| will)? need|i require|provide|tell me|share|give me|"
    r"confirm your)\b"
)
_MORE = re.compile(
    r"\b(?:anything|something|what) else\b|\belse (?:i|we) (?:can|could)\b|\bfurther (?:help|questions|assistance)\b"
)
OFTEN = 2
"""How often the user tells the same thing."""
PATIENCE = 2
"""How often the user waits, and agrees beyond its refusals, within one request."""


class Session:
    """One conversation, from the user's side."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.at = 0
        """Index of the request that is being dealt with."""
        self._group = 0
        self._line = 0
        self._told = dict.fromkeys(range(len(user.knows)), 0)
        self._waited = 0
        self._agreed = 0
        self._puzzled = 0
        self._thanked = False

    def opening(self) -> str:
        """The first message."""
        return self.user.asks[0].text

    def reply(self, agent: str) -> str | None:
        """What the user says to the agent's message; None when the conversation is over."""
        folded = fold(agent).text
        known = self._asked(folded)
        if known:
            return " ".join(known)
        if self._thanked:
            return None
        refused = REFUSES.search(folded) is not None
        if refused and (line := self._insist()) is not None:
            return line
        if AGREES.search(folded) and self._agreed < PATIENCE + len(self.user.asks[self.at].insist):
            self._agreed += 1
            if refused:
                self._group, self._line = self._group + 1, 0
            return self.user.yes
        if not refused and WAITS.search(folded) and self._waited < PATIENCE:
            self._waited += 1
            return "All right."
        if not refused and _questions(folded) and self._puzzled < PATIENCE:
            self._puzzled += 1
            return self.user.unclear
        return self._next()

    def asked(self) -> tuple[str, ...]:
        """The requests that the user has made so far."""
        return tuple(a.id for a in self.user.asks[: self.at + 1])

    def _asked(self, folded: str) -> list[str]:
        asking = [s for a, b in sentences(folded) if _REQUESTS.search(s := folded[a:b])]
        found = []
        for i, known in enumerate(self.user.knows):
            if self._told[i] < OFTEN and any(re.search(known.asked, s) for s in asking):
                self._told[i] += 1
                found.append(known.answer)
        return found

    def _insist(self) -> str | None:
        groups = self.user.asks[self.at].insist
        if self._group >= len(groups) or self._line >= len(groups[self._group]):
            return None
        self._line += 1
        return groups[self._group][self._line - 1]

    def _next(self) -> str:
        self._group = self._line = self._waited = self._agreed = self._puzzled = 0
        if self.at + 1 < len(self.user.asks):
            self.at += 1
            return self.user.asks[self.at].text
        self._thanked = True
        return self.user.thanks


def _questions(folded: str) -> bool:
    """Whether anything is asked beside "anything else?"."""
    parts = (folded[a:b] for a, b in sentences(folded))
    return any("?" in part and not _MORE.search(part) for part in parts)


def requests_made(user: User, messages: Iterable[Message], opening: Iterable[Message] = ()) -> tuple[str, ...]:
    """The ids of the requests whose words the user has said: `asked` of core.expectations.assess, for the offline
    user.
    """
    said = [m.content for m in (*opening, *messages) if m.role == "user"]
    return tuple(a.id for a in user.asks if any(a.text in s for s in said))
