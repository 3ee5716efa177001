"""Quotes that a judge gives as evidence, found in the trajectory at their exact place; one that is not there raises.

Compared without case, accents, kinds of quotation mark and dash, and lengths of white space; what is returned is the
original's own characters.
"""

import re
from collections.abc import Iterable, Sequence

from evalkit.core.errors import JudgeError
from evalkit.core.text import Folded
from evalkit.core.types import Evidence, Trajectory
from evalkit.judges.untrusted import plain

_SPACE = re.compile(r"\s+")
_MARKS = " \t\n\"'.…"
MOST_QUOTES = 20
_LEAST = 2
"""Letters and digits that a quote must hold: less is everywhere."""


def locate(
    quotes: Sequence[str], trajectory: Trajectory, roles: Iterable[str] = ("assistant",)
) -> tuple[Evidence, ...]:
    """The first place of each quote in the messages of these roles. `JudgeError` names the quote that is not there.

    A quote from the arguments of a tool call is taken for true, but has no place: `Evidence` points into texts only.
    """
    if len(quotes) > MOST_QUOTES:
        raise JudgeError(f"{len(quotes)} quotes; at most {MOST_QUOTES} are looked for")
    wanted = frozenset(roles)
    places = [(i, m.content, plain(m.content)) for i, m in enumerate(trajectory.messages) if m.role in wanted]
    calls = [
        (0, c.arguments, plain(c.arguments)) for m in trajectory.messages for c in m.tool_calls if m.role in wanted
    ]
    found: list[Evidence] = []
    for quote in quotes:
        evidence = _find(quote, places)
        if evidence is None:
            if calls and _find(quote, calls) is not None:
                continue
            raise JudgeError(f"the judge quotes what is not in the answer: {quote[:120]!r}")
        if evidence not in found:
            found.append(evidence)
    return tuple(found)


def _find(quote: str, places: Sequence[tuple[int, str, Folded]]) -> Evidence | None:
    for words in _forms(quote):
        pattern = re.compile(r"\s+".join(map(re.escape, words)))
        for message, content, folded in places:
            m = pattern.search(folded.text)
            if m is not None:
                start, end = folded.span(m.start(), m.end())
                return Evidence(message=message, start=start, end=end, quote=content[start:end])
    return None


def _forms(quote: str) -> list[list[str]]:
    """The words of a quote as written, then without the marks that judges put around it."""
    text = plain(quote).text
    forms = [_SPACE.split(text.strip()), _SPACE.split(text.strip(_MARKS))]
    return [f for f in forms if sum(c.isalnum() for w in f for c in w) >= _LEAST]
