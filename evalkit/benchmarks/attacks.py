"""What the attacks of `--attacks` are: records of benchmarks/attacks/*.yaml, and chains of them by name.

Reads and names; how a request is rewritten is rewriting.py's, and what becomes of it the engine's.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from evalkit import content
from evalkit.benchmarks.attackcodes import Code, Table, Written
from evalkit.core.errors import ContentError, UsageError, unknown
from evalkit.core.types import CONTEXT_SLOT, Model, digest

QUESTION = "{question}"
"""Where the request goes in a form."""
CODE_VERSION = "1"
"""Raised with every change of the rewriting code that can change a text."""
ALL = "all"
PLAIN = "plain"
"""The rewrite that is none: how the requests themselves are tagged beside rewritten ones."""
JOIN = "+"
FORM = ":"
_FOLDER = ("benchmarks", "attacks")
Place = Literal["request", "turns", "document", "policies", "history"]


class Shot(Model):
    """An invented exchange of many-shot."""

    user: str
    assistant: str


class Form(Model):
    """One wording of an attack; which fields it needs follows from what the attack acts on."""

    text: str = ""
    """request: what is asked instead, with `{question}` once."""
    code: Code = "none"
    """request: how the question is written in `text`."""
    turns: tuple[str, ...] = ()
    """turns: what the user says, one after the other; `{question}` once in the last."""
    rounds: int = Field(default=0, ge=0, le=20)
    """turns: how many turns an attacker model writes before the last."""
    brief: str = ""
    """turns: what that model is told, with `{question}`."""
    inject: str = ""
    """document: what stands at its end."""
    rules: int = Field(default=0, ge=0)
    """policies: how many distractors stand around the policy."""
    shots: int = Field(default=0, ge=0)
    """history: how many exchanges stand before the request."""

    @property
    def adaptive(self) -> bool:
        """Whether a model writes turns of it."""
        return self.rounds > 0


class Attack(Model):
    """One file of benchmarks/attacks."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: str
    title: str
    about: str
    source: str = Field(min_length=1)
    """The paper or public technique that it is after; the words are our own."""
    acts_on: Place
    fits: tuple[Literal["answers", "dialogue"], ...] = ("answers",)
    """Kinds of suite (`metrics` of suite.yaml) whose requests it can rewrite."""
    apart: bool = False
    """Each form is a rewrite of its own, with numbers of its own; else one is drawn for each configuration."""
    default: str | None = None
    """The form where none is named; None: all of them if `apart`, else one is drawn."""
    forms: dict[str, Form] = Field(min_length=1)
    phrases: tuple[dict[str, str], ...] = ()
    """For the code `phrases`: frames of questions by language, each with `{x}` once; the first that fits is used."""
    written: dict[str, str] = Field(default_factory=dict)
    """For the code `written`: whole questions and what stands for them; only these can be rewritten."""
    rules: tuple[str, ...] = ()
    shots: tuple[Shot, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> "Attack":
        wrong = [f"forms.{name}: {why}" for name, form in self.forms.items() if (why := self._lacks(name, form))]
        if self.default is not None and self.default not in self.forms:
            wrong.append(f"default: no form {self.default!r} (there are: {', '.join(self.forms)})")
        if self.default is None and not self.drawn:
            wrong.append("default: name one, since no form with an attacker model is drawn")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def table(self, form: str) -> Table | Written | None:
        """What a form's code looks up; of phrases the name of the form is the language."""
        code = self.forms[form].code
        return Table(form, self.phrases) if code == "phrases" else Written(self.written) if code == "written" else None

    @property
    def drawn(self) -> list[str]:
        """The forms that may be drawn where none is named."""
        return [name for name, form in self.forms.items() if not form.adaptive]

    @property
    def knows(self) -> Mapping[str, str] | None:
        """The questions that it can rewrite; None: all."""
        return self.written if any(f.code == "written" for f in self.forms.values()) else None

    def _lacks(self, name: str, form: Form) -> str:
        """What is wrong with a form, "" if nothing."""
        texts = [form.text, *form.turns, form.brief, form.inject]
        if any(CONTEXT_SLOT in t for t in texts):
            return f"{CONTEXT_SLOT} marks where the document goes and can stand in no form"
        if not name.replace("_", "").isalnum():
            return "the name of a form has letters, digits and underscores only"
        if self.acts_on == "request":
            table = self.table(name)
            if table is not None and (why := table.wrong()):
                return why
            return "" if form.text.count(QUESTION) == 1 else f"text: has to hold {QUESTION} once"
        if self.acts_on == "turns":
            if len(form.turns) < 2 or form.turns[-1].count(QUESTION) != 1:
                return f"turns: two or more, and the last has to hold {QUESTION} once"
            return "" if bool(form.brief) == form.adaptive else "rounds and brief belong together"
        if self.acts_on == "document":
            return "" if form.inject.strip() else "inject: what stands in the document?"
        drawn, pool = (form.rules, self.rules) if self.acts_on == "policies" else (form.shots, self.shots)
        return "" if 0 < drawn <= len(pool) else f"{self.acts_on}: from 1 to {len(pool)}, not {drawn}"


@dataclass(frozen=True)
class Step:
    """One attack of a chain; `form` None: one is drawn for each configuration."""

    attack: Attack
    form: str | None = None

    @property
    def name(self) -> str:
        return self.attack.id if self.form is None else f"{self.attack.id}{FORM}{self.form}"

    @property
    def adaptive(self) -> bool:
        """Whether a model writes turns of it."""
        return self.form is not None and self.attack.forms[self.form].adaptive


@dataclass(frozen=True)
class Chain:
    """Attacks that are applied one after the other; `name` is the value of the tag `rewrite`."""

    steps: tuple[Step, ...]
    asked: bool = field(default=True, compare=False)
    """False: it is there because of `all`, and is left out where it fits nothing."""

    @property
    def name(self) -> str:
        return JOIN.join(s.name for s in self.steps)

    @property
    def adaptive(self) -> bool:
        """Whether it needs an attacker model."""
        return any(s.adaptive for s in self.steps)


def available() -> list[str]:
    """The ids of all attacks in the content roots."""
    return sorted({p.stem for root in content.roots() for p in root.joinpath(*_FOLDER).glob("*.yaml")})


@lru_cache(maxsize=256)
def _read(path: Path, changed: int) -> Attack:
    found = content.load_yaml(path, Attack)
    if found.id != path.stem:
        raise ContentError(f"{path}: id: {found.id!r}, but the file is called {path.stem!r}")
    return found


def load(name: str) -> Attack:
    """One attack; `UsageError` with the near match when there is none."""
    if not name.replace("_", "").isalnum() or not any(p.exists() for p in _paths(name)):
        raise unknown("attack", name, available())
    path = content.find(*_FOLDER, f"{name}.yaml")
    return _read(path, path.stat().st_mtime_ns)


def parse(text: str, *, adaptive: bool = False) -> list[Chain]:
    """`authority,encode:base64+roleplay` as chains, in that order; `all` is every attack by itself.

    `adaptive`: there is an attacker model, so that `all` takes the forms that need one too.
    """
    found: dict[str, Chain] = {}
    for part in text.split(","):
        part = part.strip()
        chains = everything(adaptive) if part == ALL else _chains(part, text)
        for chain in chains:
            found.setdefault(chain.name, chain)
    return list(found.values())


def everything(adaptive: bool = False) -> list[Chain]:
    """Every attack by itself, with its default form or each of those that stand apart."""
    steps = [s for name in available() for s in _steps(load(name), None)]
    if adaptive:
        every = [Step(a, form) for a in map(load, available()) for form in a.forms]
        steps += [s for s in every if s.adaptive and s not in steps]
    return [Chain((s,), asked=False) for s in steps]


def _paths(name: str) -> list[Path]:
    return [root.joinpath(*_FOLDER, f"{name}.yaml") for root in content.roots()]


def digest_of(chains: Iterable[Chain]) -> str:
    """Names the words and the code behind some chains."""
    used = {s.attack.id: s.attack.model_dump(mode="json") for c in chains for s in c.steps}
    return digest([CODE_VERSION, used])


def _chains(part: str, whole: str) -> list[Chain]:
    if not part:
        raise UsageError(f"--attacks {whole!r}: name some, for example authority,encode:base64+roleplay, or all")
    each = [_named(word.strip(), part) for word in part.split(JOIN)]
    chains = [Chain(steps) for steps in itertools.product(*each)]
    for chain in chains:
        _check(chain)
    return chains


def _named(word: str, part: str) -> Sequence[Step]:
    name, colon, form = word.partition(FORM)
    if name in (ALL, PLAIN):
        raise UsageError(f"--attacks {part!r}: {name!r} stands by itself, not in a chain or with a form")
    attack = load(name)
    if colon and form not in attack.forms:
        raise unknown(f"form of attack {name}", form, attack.forms)
    return _steps(attack, form or None)


def _steps(attack: Attack, form: str | None) -> list[Step]:
    chosen = form or attack.default
    if chosen is None and attack.apart:
        return [Step(attack, name) for name in attack.forms]
    return [Step(attack, chosen)]


def _check(chain: Chain) -> None:
    once = [s.attack.id for s in chain.steps]
    twice = next((n for n in once if once.count(n) > 1), None)
    if twice is not None:
        raise UsageError(f"--attacks {chain.name!r}: {twice!r} twice in one chain")
    turns = [s.attack.id for s in chain.steps if s.attack.acts_on == "turns"]
    if len(turns) > 1:
        raise UsageError(f"--attacks {chain.name!r}: {' and '.join(turns)} both say what the turns are; take one")
    late = next((s.attack.id for s in chain.steps[1:] if s.attack.knows is not None), None)
    if late is not None:
        raise UsageError(f"--attacks {chain.name!r}: {late} knows the questions as they are; put it first")
    if any(s.adaptive for s in chain.steps[:-1]):
        raise UsageError(f"--attacks {chain.name!r}: what a model writes is not rewritten; put its attack last")
