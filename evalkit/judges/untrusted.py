"""Text of candidates, users and documents made safe to stand in a judge's prompt. Judges nothing, builds no prompt.

What could pass for the structure of the prompt or of a reply is broken: chat-template tokens, role tags, delimiters,
braces, verdict lines. Each sign is replaced by one that looks alike, so that the words stay, a reader understands them,
and `plain` finds a quote again. Invisible characters are dropped. Nothing is decoded: base64 stays base64.

Peers bind to the last `GRADE:` or strip their own markers only; forged formats flip most verdicts of such judges
(research/judges.md §3.1).
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping

from evalkit.core import text as t
from evalkit.core.text import Folded

_SAFE = dict(zip('<>|[]:="`#*~', "‹›¦⟦⟧꞉꞊″ˋ♯∗∼", strict=True))
_BRACES = dict(zip("{}", "⦃⦄", strict=True))
_PLAIN = str.maketrans({safe: sign for sign, safe in (*_SAFE.items(), *_BRACES.items()) if sign != '"'})
_ROLES = r"(?:system|assistant|user|human|developer|tool|judge|evaluator|instructions?|model|ipython)"
_VERDICT = (
    r"(?:grade|verdict|score|rating|judge?ment|label|decision|outcome|key|urteil|veredicto|вердикт|оценка|判定|评分)"
)
_MARKERS = re.compile(
    "|".join((
        r"<\|[^<>|\n]{0,60}\|>|<\||\|>",  # ChatML and its kin
        r"</?s>|<<?/?sys>?>|\[/?inst\]|</?(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>",
        rf"</?\s*(?:{_ROLES}|{_VERDICT}|answer|document|question|policy|fact|dialogue|data|think|reason)\b[^<>\n]{{0,80}}>",
        r"<{3,}|>{3,}|={3,}|`{3,}|~{3,}|\[\[|\]\]",
        rf"(?m:^[ \t>*]*(?:\#{{1,6}}[ \t]*)?{_ROLES}[ \t*]{{0,9}}[:=])",
        rf"(?m:^[ \t]*\#{{1,6}}(?!\#)[^\n]{{0,200}}\b(?:{_ROLES}|{_VERDICT})\b)",
        rf"\"?\b{_VERDICT}\b\"?[\s*]{{0,9}}[:=]",
        r"\[?(?:begin|end|start|stop)(?:\s{1,3}of)?[\s_-]{1,3}(?:the[\s_-]{1,3})?"
        r"(?:data|answer|document|question|text|material|\w{1,20}\s{1,3}to\s{1,3}be\s{1,3}judged)\]?",
    ))
)  # fmt: skip
_KEPT = "\n\t"


def neutral(text: str) -> str:
    """`text` without what could act as structure; same words in the same order."""
    text = _soft(_visible(text), _BRACES)
    folded = t.fold(text)
    masked = t.unmask(folded.text)
    pieces, at = [], 0
    for m in _MARKERS.finditer(masked):
        start, end = folded.span(m.start(), m.end())
        if start < at:
            continue
        pieces += [text[at:start], _soft(text[start:end], _SAFE)]
        at = end
    return "".join([*pieces, text[at:]])


def plain(text: str) -> Folded:
    """`text` as quotes are compared: folded, and with the signs of `neutral` as what they stood for."""
    places = [i for i, c in enumerate(text) if c in _KEPT or not _hidden(c)]
    folded = t.fold(text if len(places) == len(text) else "".join([text[i] for i in places]))
    starts, ends = folded.starts, folded.ends
    if len(places) < len(text):
        spans = [folded.span(i, i + 1) for i in range(len(folded.text))]
        starts, ends = [places[a] for a, _ in spans], [places[b - 1] + 1 for _, b in spans]
    return Folded(folded.text.translate(_PLAIN), starts, ends)


def nonces(*parts: object, avoid: str = "") -> tuple[str, str]:
    """Two tokens, one for the delimiters of a prompt and one for the key of its reply.

    They follow from `parts` alone, so that a prompt is the same in every run and can be cached. The judged text is to
    be among the parts: then no text can hold its own nonces, whatever its writer knows. `avoid`: a text in which they
    do not occur.
    """
    for attempt in range(100):
        data = "\0".join([str(attempt), *map(str, parts)]).encode("utf-8", "surrogatepass")
        h = hashlib.sha256(data).hexdigest()
        fence, key = h[:12], h[12:28]
        if fence not in avoid and key not in avoid:
            return fence, key
    raise AssertionError("a hundred hashes in one text")


def _soft(text: str, signs: Mapping[str, str]) -> str:
    """`text` with these signs, in whatever width or form, as harmless ones."""
    table = {ord(c): signs[f] for c in set(text) if (f := t.fold(c).text) in signs}
    return text.translate(table) if table else text


def _visible(text: str) -> str:
    """Without zero-width, bidirectional, tag and control characters; line ends as newlines."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return "".join([c for c in text if c in _KEPT or not _hidden(c)])


def _hidden(c: str) -> bool:
    return unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn") or "\ufe00" <= c <= "\ufe0f"
