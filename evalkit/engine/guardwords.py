"""The further sentences that a guardrail is trained on: `guardrails/<name>/sentences.yaml` and `sentences/*.yaml`.

In the notation of benchmarks/policyguard/forms.yaml. Each file of the folder is another writer's (a *hand*); sentences
may also be put together from parts. Says which sentence a part of the data may be given; fills none in (guardrows.py).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from random import Random

from pydantic import Field

from evalkit import content
from evalkit.benchmarks.policyguard import forms
from evalkit.core.errors import ContentError
from evalkit.core.types import Model

PLACE = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
_PART = re.compile(r"<(\w+)(?::(\w))?>")
KEPT_APART = 12
"""Of so many further sentences of a form and a file one is the dev part's."""
WRITTEN = 0.75
"""How often a sentence is one of the hands', where there are any; else it is one of the main file or of its parts."""


class Hand(Model):
    """One writer's file."""

    sentences: dict[str, tuple[str, ...]]
    frames: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    asides: tuple[str, ...] = ()


class Sentences(Model):
    """The main file, with the hands."""

    sentences: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    frames: tuple[str, ...] = Field(min_length=1)
    reasons: tuple[str, ...] = ()
    asides: tuple[str, ...] = ()
    parts: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """What sentences are put together from; `{_}` is the slot that a part is about."""
    grammar: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Form to sentences with `<part:slot>` or `<part>` in them."""
    same: dict[str, str] = Field(default_factory=dict)
    """Form to the form whose sentences say it as well, where it has none in a file: the slots are filled otherwise."""
    said: tuple[str, ...] = ()
    """What user and agent say about an action {d} without doing it: `Assistant: I cannot {d}.`"""
    hands: dict[str, Hand] = Field(default_factory=dict)

    @cached_property
    def framed(self) -> tuple[str, ...]:
        """Frames of all files; half of the policies stand alone."""
        found = (*self.frames, *(f for h in self.hands.values() for f in h.frames))
        return (*(["{rule}"] * len(found)), *found)

    @cached_property
    def followed(self) -> tuple[str, ...]:
        """Reasons of all files."""
        return (*self.reasons, *(r for h in self.hands.values() for r in h.reasons))

    @cached_property
    def spared(self) -> tuple[str, ...]:
        """Asides of all files."""
        return (*self.asides, *(a for h in self.hands.values() for a in h.asides))

    def written(self, form: str) -> Iterator[tuple[str, ...]]:
        """The form's sentences in the hands' files, hand by hand."""
        for hand in self.hands.values():
            yield self._of(hand.sentences, form)

    def _of(self, sentences: dict[str, tuple[str, ...]], form: str) -> tuple[str, ...]:
        return sentences.get(form) or sentences.get(self.same.get(form, ""), ())

    def every(self, form: str) -> Iterator[str]:
        """All sentences of a form, those with parts as they are written."""
        yield from (*self._of(self.sentences, form), *self.grammar.get(form, ()))
        for some in self.written(form):
            yield from some

    def draw(self, form: str, dev: bool, rng: Random) -> str | None:
        """A sentence that the training part, or the dev part, may use; None where there is none."""
        hands = _pools(self.written(form), dev)
        own = _pools((self._of(self.sentences, form), self.grammar.get(form, ())), dev)
        pools = hands if hands and (not own or rng.random() < WRITTEN) else own
        return self.whole(rng.choice(rng.choice(pools)), rng.choice) if pools else None

    def whole(self, sentence: str, choose: Callable[[tuple[str, ...]], str]) -> str:
        """With a part chosen for each of its places."""

        def put(match: re.Match[str]) -> str:
            return choose(self.parts[match[1]]).replace("{_", "{" + (match[2] or ""))

        return _PART.sub(put, sentence)


def load_sentences(path: Path) -> Sentences:
    """The file and its hands; `ContentError` where one names a form that there is not, or a place the form has not."""
    found = content.load_yaml(path, Sentences)
    hands = {p.stem: content.load_yaml(p, Hand) for p in sorted(path.with_suffix("").glob("*.yaml"))}
    found = found.model_copy(update={"hands": hands})
    files = {path: [*found.sentences.items(), *found.grammar.items()]}
    files |= {path.with_suffix("") / f"{name}.yaml": [*hand.sentences.items()] for name, hand in hands.items()}
    for file, pools in files.items():
        for form, sentences in pools:
            known = forms.load().forms.get(form)
            if known is None:
                raise ContentError(f"{file}: {form}: no such form; there are: {', '.join(forms.load().forms)}")
            for sentence in sentences:
                _check(found, sentence, {*known.slots, *known.numbers}, f"{file}: {form}")
    return found


def _pools(files: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]], dev: bool) -> list[list[str]]:
    pools = [[s for i, s in enumerate(some) if (i % KEPT_APART == KEPT_APART - 1) == dev] for some in files]
    return [pool for pool in pools if pool]


def _check(found: Sentences, sentence: str, wanted: set[str], where: str) -> None:
    """Each draw of the parts names all that the form has, and nothing else."""
    for part in _PART.finditer(sentence):
        if part[1] not in found.parts:
            raise ContentError(f"{where}: {sentence!r}: no part {part[1]!r}; there are: {', '.join(found.parts)}")
    most = max([1, *(len(found.parts[m[1]]) for m in _PART.finditer(sentence))])
    for k in range(most):
        whole = found.whole(sentence, partial(_kth, k))
        if odd := {m[1] for m in PLACE.finditer(whole)} ^ wanted:
            raise ContentError(f"{where}: {whole!r} and the form differ in {{{sorted(odd)[0]}}}")


def _kth(k: int, pool: tuple[str, ...]) -> str:
    return pool[k % len(pool)]
