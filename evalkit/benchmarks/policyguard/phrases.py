"""English verb phrases: `open an order` as gerund, participle and third person. Knows only the verbs of the content.

The first word is the verb. What is not listed is regular; tests/benchmarks/policyguard prints no word that is wrong
by having every verb of the sites in a list of right forms.
"""

from functools import lru_cache

_PARTICIPLES = {
    "bring": "brought", "buy": "bought", "choose": "chosen", "do": "done", "draw": "drawn", "find": "found",
    "freeze": "frozen", "get": "got", "give": "given", "go": "gone", "grow": "grown", "hide": "hidden",
    "hold": "held", "keep": "kept", "leave": "left", "let": "let", "look": "looked", "make": "made", "pay": "paid",
    "put": "put", "read": "read", "reset": "reset", "run": "run", "see": "seen", "send": "sent", "set": "set",
    "take": "taken", "tell": "told", "undo": "undone", "write": "written",
}  # fmt: skip
_DOUBLED = frozenset({"ban", "commit", "cut", "drop", "flag", "get", "let", "log", "pin", "put", "reset", "run", "set", "ship", "star", "tag"})
_VOWELS = "aeiou"


@lru_cache(maxsize=4096)
def gerund(phrase: str) -> str:
    """`open an order` → `opening an order`."""
    verb, rest = _split(phrase)
    if verb in _DOUBLED:
        return f"{verb}{verb[-1]}ing{rest}"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return f"{verb[:-1]}ing{rest}"
    return f"{verb}ing{rest}"


@lru_cache(maxsize=4096)
def participle(phrase: str) -> str:
    """`open an order` → `opened an order`."""
    verb, rest = _split(phrase)
    if verb in _PARTICIPLES:
        return _PARTICIPLES[verb] + rest
    if verb.endswith("e"):
        return f"{verb}d{rest}"
    if verb.endswith("y") and verb[-2] not in _VOWELS:
        return f"{verb[:-1]}ied{rest}"
    return f"{verb}{verb[-1] if verb in _DOUBLED else ''}ed{rest}"


@lru_cache(maxsize=4096)
def third(phrase: str) -> str:
    """`open an order` → `opens an order`."""
    verb, rest = _split(phrase)
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return f"{verb}es{rest}"
    if verb.endswith("y") and verb[-2] not in _VOWELS:
        return f"{verb[:-1]}ies{rest}"
    return f"{verb}s{rest}"


_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def times(n: int, words: bool = False) -> str:
    """`once`, `twice`, `3 times`."""
    if n < 3:
        return ("never", "once", "twice")[n]
    return f"{number(n, words)} times"


def number(n: int, words: bool = False) -> str:
    """Small numbers as words, where asked."""
    return _WORDS[n] if words and n < len(_WORDS) else str(n)


def nth(n: int, words: bool = False) -> str:
    """`second`, `3rd`."""
    if words and n < 6:
        return ("", "first", "second", "third", "fourth", "fifth")[n]
    ending = {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th") if n not in (11, 12, 13) else "th"
    return f"{n}{ending}"


def capital(text: str) -> str:
    """The first letter large."""
    return text[:1].upper() + text[1:]


def _split(phrase: str) -> tuple[str, str]:
    verb, space, rest = phrase.partition(" ")
    return verb, space + rest
