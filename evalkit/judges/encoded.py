"""Hidden writing: parts of a text that decode to other text, and ciphered forms of a needle. Bounded work, no facts.

base64 and hex are decoded where they stand; rot13 and reversed text are found by ciphering the needle instead, and
leet by comparing both sides with digits as letters. Each is tried only where a cheap pattern says it may be there.
"""

import base64
import binascii
import codecs
import re
from collections.abc import Iterator, Sequence

_MOST = 12  # encoded parts per answer
_LONGEST = 4096  # characters of one part
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])(?=[A-Za-z0-9+/_-]{8})[A-Za-z][a-z]*[A-Z0-9+/_-][A-Za-z0-9+/_-]*={0,2}")
_MIXED = re.compile(r"[a-z0-9+/][A-Z]|[A-Za-z][0-9]")  # no base64 of eight characters worth decoding is without
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s:,]{0,2}){4,}(?![0-9A-Za-z])")
_LEET_HINT = re.compile(r"[a-z][0-9@$!|]+[a-z]|[a-z]{2}[0-9@$!|]{2}|\b[0-9@$!|][a-z][0-9@$!|]")
_LEET = str.maketrans("0134578@$!|l", "oieastbasiii")
_SIGNS = re.compile(r"[0-9@$!|]")
_DIGIT = re.compile(r"[0-9]")


def decoded(raw: str) -> Iterator[tuple[int, int, str, str]]:
    """Start, end, encoding and plain text of what base64 or hex hides in an original text."""
    count = 0
    for m in _BASE64.finditer(raw) if _MIXED.search(raw) else ():
        token = m.group()
        if count < _MOST and _looks_encoded(token) and (plain := _unbase64(token[:_LONGEST])):
            count += 1
            yield m.start(), m.end(), "base64", plain
    for m in _HEX.finditer(raw) if _DIGIT.search(raw) else ():
        digits = re.sub(r"0x|\\x|[^0-9a-fA-F]", "", m.group()[:_LONGEST])
        plain = _printable(bytes.fromhex(digits[: len(digits) // 2 * 2]))
        if count < _MOST and plain:
            count += 1
            yield m.start(), m.end(), "hex", plain


def ciphered(needle: str) -> list[tuple[str, str]]:
    """Name and form of the ciphers of a folded needle that has letters enough to be told from chance."""
    if sum(c.isalpha() for c in needle) < 6:
        return []
    forms = [("rot13", codecs.encode(needle, "rot13")), ("reversed", needle[::-1])]
    return [(name, form) for name, form in forms if form != needle]


def unleet(text: str) -> str | None:
    """Folded text with the digits and signs that stand for letters as letters, same length; None when it has none."""
    return text.translate(_LEET) if _SIGNS.search(text) and _LEET_HINT.search(text) else None


def leet(text: str) -> str:
    """The needle as `unleet` writes it."""
    return text.translate(_LEET)


def spaced_out(tokens: Sequence[str]) -> bool:
    """Whether some letters stand one by one: "Q u i e t", "4-1-1-1-7"."""
    return sum([len(w) == 1 for w in tokens]) >= 5


def _looks_encoded(token: str) -> bool:
    """Not a plain word: capitals inside, digits, or padding."""
    return not (token[1:].islower() and token.isalpha()) and (
        any(c.isupper() for c in token[1:]) or any(c.isdigit() for c in token) or token.endswith("=")
    )


def _unbase64(token: str) -> str:
    body = token.rstrip("=").replace("-", "+").replace("_", "/")
    body = body[: len(body) - (len(body) % 4 == 1)]
    try:
        return _printable(base64.b64decode(body + "=" * (-len(body) % 4)))
    except (binascii.Error, ValueError):
        return ""


def _printable(data: bytes) -> str:
    try:
        plain = data.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return plain if len(plain) >= 4 and all(c.isprintable() or c.isspace() for c in plain) else ""
