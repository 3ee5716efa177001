"""Whether a text says something: needles and patterns, with numbers and references compared as what they are.

Knows nothing of dialogues or policies. A needle that is a number fits the number however it is written ("1,045.00"
fits 1045, never 45), and 0 also fits (
    "free of charge", "no extra charge"
); one with five or more characters and a digit fits with or without spaces and dashes; any other
fits as whole words, case and accents aside.
"""

import re
from functools import lru_cache
from typing import Any

from pydantic import Field, field_validator, model_validator

from evalkit.core.record import Model
from evalkit.core.text import fold, squeeze

_DIGITS = r"(?:\d{1,3}(?:[ ,]\d{3})+|\d+)(?:\.\d+)?"
_NUMBER = re.compile(rf"(?:(?<![\w.,])|(?<=[€$£])|(?<=\beur)){_DIGITS}(?![.,]\d)(?:(?!\w)|(?=(?:eur|euros?)\b))")
_PLAIN = re.compile(r"\d+(?:\.\d+)?")
_SPACES = re.compile(r"\s+")
_COSTS = r"(?:charges?|costs?|fees?|payments?|surcharges?|price difference|refunds?)"
_NOTHING = re.compile(
    r"\bfree\b(?! (?:to|seats?|rooms?|places?|slots?)\b)|\bcomplimentary\b|\bnothing (?:to pay|back|"
    r"extra|more to pay|is (?:due|owed|charged|refunded))\b|"
    rf"\b(?:no|without|zero|without any|not? any) (?:\w+ ){{0,2}}?{_COSTS}\b|"
    r"\b(?:won't|will not|doesn't|does not|wouldn't) cost (?:you )?(?:anything|a thing|extra|more)\b|"
    rf"\b{_COSTS} (?:is|are|will be|has been|have been) waived\b|\bwaive (?:the|your|this|that|all|"
    rf"any) (?:\w+ ){{0,2}}?{_COSTS}\b|"
    r"\b(?:not|won't|never) be charged\b|\bon the house\b"
)
"""How people say that an amount is 0."""


class Words(Model):
    """What a text has to say: one of `any`, each of `all`, and what `pattern` finds; a list is short for `any`."""

    any: tuple[str, ...] = ()
    all: tuple[str, ...] = ()
    pattern: str | None = None
    """A regular expression over the folded text (lower case, plain quotes and dashes)."""

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, raw: Any) -> Any:
        if isinstance(raw, str):
            return {"any": [raw]}
        return {"any": raw} if isinstance(raw, list | tuple) else raw

    @field_validator("any", "all", mode="before")
    @classmethod
    def _texts(cls, raw: Any) -> Any:
        return [str(v) for v in raw] if isinstance(raw, list | tuple) else raw

    @model_validator(mode="after")
    def _something(self) -> "Words":
        if not (self.any or self.all or self.pattern):
            raise ValueError("give at least one of any, all, pattern")
        if any(not n.strip() for n in (*self.any, *self.all)):
            raise ValueError("an empty needle would fit every text")
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as e:
                raise ValueError(f"pattern {self.pattern!r} is no regular expression: {e}") from e
        return self

    def fits(self, text: str) -> bool:
        """Whether the text says it."""
        ready = prepared(text)
        if self.any and not any(ready.says(n) for n in self.any):
            return False
        if not all(ready.says(n) for n in self.all):
            return False
        return self.pattern is None or _compiled(self.pattern).search(ready.folded) is not None


class Heard(Model):
    """A text made ready for many needles."""

    folded: str
    squeezed: str
    numbers: frozenset[float] = Field(default_factory=frozenset)

    def says(self, needle: str) -> bool:
        """Whether the needle is in the text."""
        plain = _SPACES.sub(" ", fold(needle).text).strip()
        if _PLAIN.fullmatch(plain):
            return float(plain) in self.numbers or (float(plain) == 0 and _NOTHING.search(self.folded) is not None)
        tight = squeeze(plain)
        if len(tight) >= 5 and any(c.isdigit() for c in tight):
            return _alone(tight, self.squeezed, plain, self.folded)
        return _bounded(plain).search(self.folded) is not None


def _alone(tight: str, squeezed: str, plain: str, folded: str) -> bool:
    """A reference also fits when its parts are set apart; but its digits are not the inside of a longer number."""
    return tight in squeezed and (
        _bounded(plain).search(folded) is not None or _spaced(tight).search(folded) is not None
    )


@lru_cache(maxsize=4096)
def prepared(text: str) -> Heard:
    """The text, folded once for all needles."""
    folded = _SPACES.sub(" ", fold(text).text)
    found = frozenset(float(re.sub("[ ,]", "", m.group())) for m in _NUMBER.finditer(folded))
    return Heard.model_construct(folded=folded, squeezed=squeeze(folded), numbers=found)


@lru_cache(maxsize=4096)
def _bounded(plain: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(plain)}(?!\w)")


@lru_cache(maxsize=4096)
def _spaced(tight: str) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)" + r"[\W_]*".join(re.escape(c) for c in tight) + r"(?!\w)")


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
