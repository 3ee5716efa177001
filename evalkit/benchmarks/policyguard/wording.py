"""A policy as English: a sentence of its form, how its elements are called, and words around that change nothing.

`surface` is the id of the sentence, like `first/seen-3`, or `first/english` for one of core/english.py; held-out
sentences, frames and asides go together. Decides nothing about what the policy means.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Literal

from evalkit.benchmarks.policyguard import forms
from evalkit.benchmarks.policyguard.forms import Draft, Ref
from evalkit.benchmarks.policyguard.templates import Template
from evalkit.core import english
from evalkit.core.phrases import inflect

Naming = Literal["named", "described", "both"]
_NAMINGS: tuple[Naming, ...] = ("named", "described", "both")
_SHARES = (0.45, 0.25, 0.30)
_PLACE = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
_WORDY = 0.35
"""How often small numbers are words."""
_ASIDE, _REASON = 0.3, 0.25
_PLAIN = 0.1
"""How often a sentence is core/english.py's."""
_NOUNS = {"combobox": "list", "textbox": "field", "searchbox": "field", "spinbutton": "field", "listbox": "list",
          "menuitem": "menu entry", "radio": "choice", "text": "text"}  # fmt: skip


@dataclass(frozen=True)
class Wording:
    """A policy's text and where its words are from."""

    text: str
    surface: str
    naming: Naming


def word(draft: Draft, template: Template, rng: Random, held: bool) -> Wording:
    """A policy as a text; `held`: in words that are kept out of training data."""
    book = forms.load()
    form = book.forms[draft.form]
    pool = form.held if held else form.seen
    which = rng.randrange(len(pool))
    naming = naming_of(rng.choices(_NAMINGS, _SHARES)[0], draft, template)
    wordy = rng.random() < _WORDY
    plain = rng.random() < _PLAIN and not held
    if plain:
        naming = "named"
    rule = english.render(draft.rule(template), rng) if plain else fill(pool[which], draft, template, naming, wordy)
    frame = rng.choice(book.frames.held if held else book.frames.seen)
    text = frame.replace("{rule}", rule).replace("{code}", f"{rng.randint(1, 9)}.{rng.randint(1, 20)}")
    if rng.random() < _ASIDE:
        text += " " + aside(rng.choice(book.asides.held if held else book.asides.seen), draft, template, rng, naming)
    if rng.random() < _REASON:
        text += " " + rng.choice(book.reasons.held if held else book.reasons.seen)
    surface = "english" if plain else f"{'held' if held else 'seen'}-{which}"
    return Wording(text, f"{draft.form}/{surface}", naming)


def fill(sentence: str, draft: Draft, template: Template, naming: Naming, wordy: bool = False) -> str:
    """A sentence with the policy's elements and numbers in it."""

    def put(match: re.Match[str]) -> str:
        name, form = match[1], match[2] or ""
        if name in draft.refs:
            return _FORMS[form](phrase(draft.refs[name], template, naming))
        return _numeral(draft.numbers[name], form, wordy)

    return _sentences(_PLACE.sub(put, sentence))


def phrase(ref: Ref, template: Template, naming: Naming) -> str:
    """What doing it is called: `place an order`, `click the 'Buy now' button`, or both."""
    described, named = _described(ref, template), _named(ref, template)
    if naming == "both":
        return f"{described} ({object_of(ref, template)})"
    return named if naming == "named" else described


def _described(ref: Ref, template: Template) -> str:
    e = template.atlas.nodes[ref.key].element
    if ref.op == "=":
        return e.with_.replace("{v}", f"'{ref.value}'")
    return e.with_.replace("{v}", f"more than {ref.value}") if ref.op == ">" else e.say


def _named(ref: Ref, template: Template) -> str:
    node, target = template.atlas.nodes[ref.key], object_of(ref, template)
    if node.verb == "click":
        return f"click {target}"
    if node.verb == "read":
        return f"read {target}"
    verb, preposition = ("type", "into") if node.verb == "type" else ("select", "in")
    if ref.op == "=":
        return f"{verb} '{ref.value}' {preposition} {target}"
    if ref.op == ">":
        return f"{verb} more than {ref.value} {preposition} {target}"
    return f"{verb} something {preposition} {target}"


def object_of(ref: Ref, template: Template) -> str:
    node = template.atlas.nodes[ref.key]
    noun = _NOUNS.get(node.role, node.role)
    if not node.element.named_by_value:
        return f"the '{template.name(ref.key)}' {noun}"
    if ref.op == "=":
        return f"the '{template.name(ref.key, ref.value)}' {noun}"
    head = template.name(ref.key).removesuffix("*").strip()
    return f"a {noun} whose name begins with '{head}'"


def naming_of(drawn: Naming, draft: Draft, template: Template) -> Naming:
    """What opens a page is always named: there are other ways to it, and "open the cart" would mean them too."""
    leads = any(template.atlas.nodes[key].to is not None for key in draft.keys)
    return "both" if drawn == "described" and leads else drawn


@lru_cache(maxsize=16384)
def _inflected(text: str, form: str) -> str:
    return inflect(text, form)


_FORMS: dict[str, Callable[[str], str]] = {
    "": lambda text: text,
    "ing": lambda text: _inflected(text, "gerund"),
    "done": lambda text: _inflected(text, "participle"),
    "s": lambda text: _inflected(text, "third"),
}
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NTH = ("", "first", "second", "third", "fourth", "fifth", "sixth", "seventh")


def _numeral(n: int, form: str, wordy: bool) -> str:
    """A number, or a word whose form depends on it."""
    if form == "times":
        return ("never", "once", "twice")[n] if n < 3 else f"{_number(n, wordy)} times"
    if form == "nth":
        return _NTH[n + 1]
    if form in ("values", "attempts"):
        return form if n != 1 else form[:-1]
    if form == "are":
        return "are" if n != 1 else "is"
    return _number(n + 1 if form == "next" else n, wordy)


def _number(n: int, wordy: bool) -> str:
    return _WORDS[n] if wordy and n < len(_WORDS) else str(n)


def aside(sentence: str, draft: Draft, template: Template, rng: Random, naming: Naming) -> str:
    """A permission of something that the policy is not about: true, and no part of it."""
    nodes = template.atlas.nodes
    spared = {nodes[key].element.is_ for key in draft.keys}
    others = [k for k, n in nodes.items() if k not in draft.keys and (n.verb != "type" or "secret" not in spared)]
    return about(sentence, Ref(rng.choice(others)), template, naming)


def about(sentence: str, ref: Ref, template: Template, naming: Naming) -> str:
    """A sentence with one place, {d} in any form, about something."""
    said = phrase(ref, template, naming)
    return _sentences(_PLACE.sub(lambda m: _FORMS[m[2] or ""](said), sentence))


def _sentences(text: str) -> str:
    """Capital letters where sentences begin."""
    return re.sub(r"(?:(?<=\. )|\A)[a-z]", lambda m: m[0].upper(), text)
