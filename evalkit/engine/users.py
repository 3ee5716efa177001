"""Who talks to the agent in a dialogue: the offline user that plays by cues, or a model that plays a part.

Neither sees the gold plan, the tools or the policies, and neither judges. A model does not even decide what is
wanted: it is given one wish at a time, in the event's own words, and says when that matter is settled for it; so it
cannot leave before all was asked, and cannot call anything a success.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from evalkit.benchmarks.event import User
from evalkit.benchmarks.user import Session
from evalkit.core.errors import ContentError
from evalkit.core.types import Message, Reply, Request

SETTLED = "[SETTLED]"
"""What a model writes when its present wish is dealt with, granted or not. The agent never sees it."""
OFFLINE = "offline"
LONGEST = 2000
"""Characters of one message of a model user; what comes after is cut: people write less."""
_MARK = re.compile(r"\[\s*settled\s*\]", re.IGNORECASE)
_ROLE = re.compile(r"^\s*(?:user|customer|me)\s*:\s*", re.IGNORECASE)
_SLOTS = ("persona", "manner", "wish", "knows", "settled")
Ask = Callable[[Request], Awaitable[Reply]]


class SimulatedUser(Protocol):
    """One conversation from the user's side, after the opening message."""

    async def reply(self, said: Sequence[str]) -> str | None:
        """What the user says to the agent's turn, one text or several; None when the conversation is over."""
        ...

    def asked(self) -> tuple[str, ...]:
        """Ids of the requests made so far."""
        ...


class Unusable(Exception):
    """The user gave nothing that could be sent to the agent."""


class OfflineUser:
    """Plays the event's user by cues (benchmarks/user.py), of the agent's last words: "Let me see" was before them."""

    def __init__(self, user: User) -> None:
        self._session = Session(user)

    async def reply(self, said: Sequence[str]) -> str | None:
        return self._session.reply(said[-1] if said else "")

    def asked(self) -> tuple[str, ...]:
        return self._session.asked()


class ModelUser:
    """A model that plays the event's user; `ask` asks it, `template` is the suite's `prompts.user`."""

    def __init__(self, user: User, ask: Ask, template: str, *, params: Mapping[str, Any], epoch: int) -> None:
        self._user, self._ask, self._template = user, ask, template
        self._params, self._epoch = params, epoch
        self._at = 0
        self._over = False
        self._heard: list[Message] = [Message(role="assistant", content=user.asks[0].text)]
        """The dialogue as this user lived it: the agent's words are `user`, its own `assistant`."""

    async def reply(self, said: Sequence[str]) -> str | None:
        if self._over:
            return None
        self._heard.append(Message(role="user", content="\n\n".join(said)))
        answer = await self._ask(Request(messages=self._messages(), params=self._params, epoch=self._epoch))
        text, settled = heard(answer.text)
        if settled:
            text = self._next(text)
        if not text:
            raise Unusable("the user model wrote an empty message")
        self._heard.append(Message(role="assistant", content=text))
        return text

    def asked(self) -> tuple[str, ...]:
        return tuple(a.id for a in self._user.asks[: self._at + 1])

    def _messages(self) -> tuple[Message, ...]:
        return Message(role="system", content=part(self._template, self._user, self._at)), *self._heard

    def _next(self, text: str) -> str:
        """On to the next wish in the event's words; after the last, thanks, and the agent's answer ends it."""
        if self._at + 1 < len(self._user.asks):
            self._at += 1
            return f"{text} {self._user.asks[self._at].text}".strip()
        self._over = True
        return text or self._user.thanks


def part(template: str, user: User, at: int) -> str:
    """What a model is told of whom it plays and what it wants just now."""
    known = "\n".join(f"- {k.answer}" for k in user.knows) or "- nothing more"
    wish = user.asks[at]
    values = {
        "persona": user.persona,
        "manner": user.manner or "You are friendly, and ready to do what the agent needs of you.",
        "wish": f"{wish.about}. You have put it so: {wish.text}",
        "knows": known,
        "settled": SETTLED,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda m: values.get(m[1], m[0]), template)


def check_template(template: Any) -> str:
    """The suite's `prompts.user`, if it has every slot; `ContentError` names what is missing."""
    missing = [s for s in _SLOTS if not isinstance(template, str) or f"{{{{{s}}}}}" not in template]
    if missing:
        raise ContentError(f"prompts.user of the suite: missing {', '.join(f'{{{{{s}}}}}' for s in missing)}")
    return str(template)


def heard(text: str) -> tuple[str, bool]:
    """A model user's message without its marks, and whether its present wish is settled."""
    settled = _MARK.search(text) is not None
    return _ROLE.sub("", _MARK.sub(" ", text)).strip()[:LONGEST].strip(), settled
