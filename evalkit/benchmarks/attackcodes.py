"""How a question can be written so that it is still the same question: codes with their inverse, and phrase tables.

Pure text; knows no attack and no scenario. `write` and `read` undo each other for any text (a property test).
"""

import base64
import binascii
import codecs
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Code = Literal["none", "base64", "rot13", "spelled", "phrases", "written"]
X = "{x}"
"""Where the rest of a question goes in a phrase."""
OPEN, CLOSE = "«", "»"
"""Around what a phrase table does not know."""
ENGLISH = "en"


@dataclass(frozen=True)
class Table:
    """The phrases of one language, in order."""

    language: str
    phrases: Sequence[Mapping[str, str]]
    """Language to the frame of a question, with `{x}` once; the first that fits is used."""

    def write(self, question: str) -> str:
        """The question with its frame in the language; what the frame holds stays as it is, between « and »."""
        for phrase in self.phrases:
            english, other = _frame(phrase, ENGLISH), _frame(phrase, self.language)
            if not (english and other) or len(question) <= len(english[0]) + len(english[1]):
                continue
            head, tail = english
            if question.startswith(head) and question.endswith(tail):
                inner = question[len(head) : len(question) - len(tail)]
                return f"{other[0]}{OPEN}{inner}{CLOSE}{other[1]}"
        raise ValueError(f"no phrase for {question!r}")

    def read(self, text: str) -> str:
        """The English question behind a translated one; `ValueError` for what `write` cannot have written."""
        at = text.index(OPEN)
        for phrase in self.phrases:
            other, english = _frame(phrase, self.language), _frame(phrase, ENGLISH)
            if other and english and other[0] == text[:at] and text.endswith(f"{CLOSE}{other[1]}"):
                return english[0] + text[at + 1 : len(text) - len(other[1]) - 1] + english[1]
        raise ValueError(f"not a phrase of the table: {text!r}")

    def wrong(self) -> str:
        """Why the table cannot be used, "" if it can: every question has one phrase, and one way back."""
        known = [_frame(p, self.language) for p in self.phrases]
        if not known or None in known or self.language == ENGLISH:
            return f"phrases: each needs {self.language!r} with {X} once"
        if any(_frame(p, ENGLISH) is None for p in self.phrases) or self.phrases[-1][ENGLISH] != X:
            return f"phrases: each needs 'en' with {X} once, and the last is {X} alone"
        for i, one in enumerate(known):
            for other in known[:i]:
                if one and other and one[0] == other[0] and (one[1].endswith(other[1]) or other[1].endswith(one[1])):
                    return f"phrases: {X.join(one)!r} and {X.join(other)!r} cannot be told apart"
        if any(OPEN in frame[0] for frame in known if frame):
            return f"phrases: {OPEN} marks the slot and can stand in no phrase"
        return ""


@dataclass(frozen=True)
class Written:
    """Whole questions and what stands for them: translations that were written and checked beforehand."""

    texts: Mapping[str, str]

    def write(self, question: str) -> str:
        """What stands for the question; `ValueError` where nothing does."""
        if question not in self.texts:
            raise ValueError(f"nothing is written for {question!r}")
        return self.texts[question]

    def read(self, text: str) -> str:
        """The question that a text stands for."""
        found = next((q for q, t in self.texts.items() if t == text), None)
        if found is None:
            raise ValueError(f"stands for no question: {text!r}")
        return found

    def wrong(self) -> str:
        """Why it cannot be used, "" if it can."""
        if not self.texts or any(not t.strip() for t in (*self.texts, *self.texts.values())):
            return "written: question to text, none of them empty"
        same = [t for t, n in Counter(self.texts.values()).items() if n > 1]
        return f"written: one text for two questions: {same[0]!r}" if same else ""


def write(code: Code, question: str, table: Table | Written | None = None) -> str:
    """The question in that code."""
    if code == "base64":
        return base64.b64encode(question.encode()).decode()
    if code == "rot13":
        return codecs.encode(question, "rot13")
    if code == "spelled":
        return " ".join("-".join(word) for word in question.split(" "))
    if code in ("phrases", "written"):
        assert table is not None
        return table.write(question)
    return question


def read(code: Code, text: str, table: Table | Written | None = None) -> str:
    """The question behind a coded text; `ValueError` where it is none."""
    if code == "base64":
        try:
            return base64.b64decode(text, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as e:
            raise ValueError(f"not base64 of a text: {text[:40]!r}") from e
    if code == "rot13":
        return codecs.decode(text, "rot13")
    if code == "spelled":
        return " ".join(word[::2] for word in text.split(" "))
    if code in ("phrases", "written"):
        assert table is not None
        return table.read(text)
    return text


def _frame(phrase: Mapping[str, str], language: str) -> tuple[str, str] | None:
    """What stands before and after the slot; None where the language is not there."""
    head, slot, tail = phrase.get(language, "").partition(X)
    return (head, tail) if slot and X not in tail else None
