"""Takes out of a text what no log may hold: keys, addresses, card and account numbers. Knows forms, no meanings.

What is taken out leaves its name behind, `[email]`, so that a line of the log still says what stood there.
"""

import re

MARK = "[redacted]"
_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("key", re.compile(r"\b(?:bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)),
    ("key", re.compile(r"\b(?:sk|pk|rk|ghp|gho|ghs|xox[abprs]|AKIA|AIza|hf|glpat)[-_]?[\w-]{12,}")),
    ("key", re.compile(r"\b(?:api[-_ ]?key|token|secret|password|passwd|pwd)\b\s*[:=]\s*\S+", re.IGNORECASE)),
    ("key", re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")),
    ("key", re.compile(r"\b(?=[A-Za-z0-9+/_-]*\d)(?=[A-Za-z0-9+/_-]*[A-Za-z])[A-Za-z0-9+/_-]{32,}={0,2}")),
    ("email", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("account", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")),
)
_DIGITS = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")


def redacted(text: str) -> str:
    """The text without them."""
    for name, form in _FORMS:
        text = form.sub(f"[{name}]", text)
    return _DIGITS.sub(lambda m: "[card]" if _luhn(re.sub(r"\D", "", m[0])) else m[0], text)


def cut(text: str, spans: list[tuple[int, int]], mark: str = MARK) -> str:
    """The text with a mark in the place of each span; spans that touch become one."""
    found, end = [], 0
    for start, stop in _merged(spans, len(text)):
        found += [text[end:start], mark]
        end = stop
    return "".join([*found, text[end:]])


def _merged(spans: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, stop in sorted((max(0, a), min(b, length)) for a, b in spans):
        if start >= stop:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _luhn(digits: str) -> bool:
    total = sum(int(d) for d in digits[-1::-2])
    return (total + sum(sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])) % 10 == 0
