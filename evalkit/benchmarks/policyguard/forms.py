"""What policies can say (benchmarks/policyguard/forms.yaml) and the bank of policies of each domain.

A policy is a form whose slots are filled with elements of an abstract site; on a template it becomes a rule of
core/rules.py. The bank is the same for every seed, so that a policy's id means the same in every file. Words are
wording.py's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from evalkit import content
from evalkit.benchmarks.policyguard import sites
from evalkit.benchmarks.policyguard.sites import Atlas, Node
from evalkit.benchmarks.policyguard.templates import Template
from evalkit.core.monitor import Program, compile_rule
from evalkit.core.rules import Rule
from evalkit.core.ruletext import parse
from evalkit.core.types import Model, PolicyKind

KINDS: tuple[PolicyKind, ...] = (
    "prohibition", "obligation", "ordering", "conditional", "limit", "non_disclosure",
)  # fmt: skip
PER_KIND = 46
"""Policies of a kind in a domain: 2,208 in the eight domains, about as many as PolicyGuardBench has."""
HOME = 0.75
"""How often a further slot is filled from the subdomain of the first."""
_TRIES = 400
_FLAGS = ("=", ">", "any", "failed", "words", "number", "text")
Part = Literal["train", "dev", "test"]
_SHARES: tuple[tuple[Part, float], ...] = (("train", 0.72), ("dev", 0.08), ("test", 0.20))


class Form(Model):
    """One form; see the head of forms.yaml."""

    kind: PolicyKind
    slots: dict[str, tuple[str, ...]]
    numbers: dict[str, tuple[int, int] | Literal["sum"]] = Field(default_factory=dict)
    rule: dict[str, Any]
    scripts: tuple[tuple[str, ...], ...]
    seen: tuple[str, ...] = Field(min_length=3)
    held: tuple[str, ...] = Field(min_length=2)


class Variants(Model):
    """Words around a rule."""

    seen: tuple[str, ...]
    held: tuple[str, ...]


class Forms(Model):
    """benchmarks/policyguard/forms.yaml."""

    forms: dict[str, Form]
    frames: Variants
    reasons: Variants
    asides: Variants

    @model_validator(mode="after")
    def _whole(self) -> "Forms":
        kinds = {form.kind for form in self.forms.values()}
        if kinds != set(KINDS):
            raise ValueError(f"no form of kind {', '.join(sorted(set(KINDS) - kinds))}")
        for name, form in self.forms.items():
            for slot, words in form.slots.items():
                odd = [w for w in words if w not in _FLAGS and w not in sites.Weight.__args__]  # type: ignore[attr-defined]
                if odd:
                    raise ValueError(f"forms.{name}.slots.{slot}: {odd[0]!r} is no kind of element and no condition")
        return self


class Ref(NamedTuple):
    """What fills a slot: an element, and how."""

    key: str
    op: str = ""
    """"" any value, `=` this value, `>` more than this number; `any` and `failed` are of how it went."""
    value: str | None = None


@dataclass(frozen=True)
class Draft:
    """A policy about an abstract site."""

    id: str
    form: str
    kind: PolicyKind
    refs: Mapping[str, Ref]
    numbers: Mapping[str, int]
    subdomain: str
    part: Part
    rules: dict[str, Rule] = field(default_factory=dict, repr=False, compare=False)
    """Template to the rule there, as far as it was asked for."""
    programs: dict[str, Program] = field(default_factory=dict, repr=False, compare=False)
    """The same, compiled."""

    def rule(self, template: Template) -> Rule:
        """The rule on a template."""
        found = self.rules.get(template.key)
        if found is None:
            found = self.rules[template.key] = parse(mapping(self, template), self.id)
        return found

    def program(self, template: Template) -> Program:
        """The monitor's program on a template."""
        found = self.programs.get(template.key)
        if found is None:
            found = self.programs[template.key] = compile_rule(self.rule(template))
        return found

    @property
    def keys(self) -> frozenset[str]:
        """The elements that it is about."""
        return frozenset(ref.key for ref in self.refs.values())


@lru_cache(maxsize=1)
def load() -> Forms:
    """The forms."""
    return content.load_yaml(content.find("benchmarks", "policyguard", "forms.yaml"), Forms)


@lru_cache(maxsize=64)
def bank(domain: str) -> tuple[Draft, ...]:
    """All policies of a domain."""
    place, rng = sites.load(domain), Random(f"policyguard bank 1 {domain}")
    found: list[Draft] = []
    for kind in KINDS:
        drawn = _of_kind(place, kind, rng)
        rng.shuffle(drawn)
        found += [
            Draft(f"{domain}/{name}-{i:02d}", name, kind, refs, numbers, _home(place, name, refs), _part(i, len(drawn)))
            for i, (name, refs, numbers) in enumerate(drawn)
        ]
    return tuple(found)


def mapping(draft: Draft, template: Template) -> dict[str, Any]:
    """A policy as a mapping in the rule language."""
    form = load().forms[draft.form]
    patterns = {slot: _pattern(ref, template) for slot, ref in draft.refs.items()}
    numbers: dict[str, Any] = {f"${k}": v for k, v in draft.numbers.items()}
    first = template.atlas.nodes[next(iter(draft.refs.values())).key]
    numbers["$value"] = "target" if first.element.named_by_value else "value"
    found: dict[str, Any] = _put(form.rule, patterns, numbers)
    return found


def _put(raw: Any, patterns: Mapping[str, Any], numbers: Mapping[str, Any]) -> Any:
    if isinstance(raw, Mapping):
        if "carries" in raw:
            return {**patterns[raw["carries"]], "value": {"carries": "secret"}}
        return {k: _put(v, patterns, numbers) for k, v in raw.items()}
    if isinstance(raw, list):
        return [_put(v, patterns, numbers) for v in raw]
    if isinstance(raw, str):
        return patterns[raw] if raw in patterns else numbers.get(raw, raw)
    return raw


def _pattern(ref: Ref, template: Template) -> dict[str, Any]:
    node = template.atlas.nodes[ref.key]
    inside = node.element.named_by_value and ref.op == "="
    found: dict[str, Any] = {
        "do": node.verb, "role": node.role, "target": template.name(ref.key, ref.value if inside else None),
    }  # fmt: skip
    if ref.op == "=" and not inside:
        found["value"] = {"=": ref.value}
    if ref.op == ">":
        found["value"] = {">": int(ref.value or 0)}
    if ref.op in ("any", "failed"):
        found["ok"] = "any" if ref.op == "any" else False
    return found


Drawn = tuple[str, dict[str, Ref], dict[str, int]]


def _of_kind(place: Atlas, kind: PolicyKind, rng: Random) -> list[Drawn]:
    """Different policies, as even over the forms as these allow."""
    names = [name for name, form in load().forms.items() if form.kind == kind]
    found: dict[str, Drawn] = {}
    for i in range(_TRIES):
        if len(found) == PER_KIND:
            break
        drawn = _draw(place, names[i % len(names)], rng)
        if drawn is not None:
            found.setdefault(repr(drawn), drawn)
    return list(found.values())


def _draw(place: Atlas, name: str, rng: Random) -> Drawn | None:
    form = load().forms[name]
    refs: dict[str, Ref] = {}
    home = ""
    for slot, words in form.slots.items():
        taken = {ref.key for ref in refs.values()}
        fitting = [n for n in place.nodes.values() if n.key not in taken and _fits(place, n, words)]
        near = [n for n in fitting if n.subdomain == home]
        if near and rng.random() < HOME:
            fitting = near
        weights = [words.count(n.element.is_) for n in fitting]
        if not fitting:
            return None
        node = rng.choices(fitting, weights)[0]
        home = home or node.subdomain
        refs[slot] = _ref(place, node, words, rng)
    return name, refs, {k: _number(place, refs, span, rng) for k, span in form.numbers.items()}


def _fits(place: Atlas, node: Node, words: Sequence[str]) -> bool:
    e, values = node.element, place.words(node.key)
    numeric = place.numeric(node.key) is not None
    return (
        e.is_ in words
        and ("=" not in words or (bool(e.with_) and len(values) > 2))
        and (">" not in words or (bool(e.with_) and numeric))
        and ("number" not in words or numeric)
        and ("words" not in words or (len(values) > 2 and not numeric))
        and ("text" not in words or (node.verb == "type" and not numeric))
    )


def _ref(place: Atlas, node: Node, words: Sequence[str], rng: Random) -> Ref:
    values = place.words(node.key)
    if "=" in words:
        return Ref(node.key, "=", rng.choice(values))
    if ">" in words:
        return Ref(node.key, ">", rng.choice(values[1:-2]))
    return Ref(node.key, next((w for w in ("any", "failed") if w in words), ""))


def _number(place: Atlas, refs: Mapping[str, Ref], span: tuple[int, int] | str, rng: Random) -> int:
    if isinstance(span, tuple):
        return rng.randint(*span)
    _, high = place.numeric(next(iter(refs.values())).key) or (0, 9)
    step = 5 if high > 20 else 1
    return rng.randrange(high, 2 * high + 1, step)


def _home(place: Atlas, name: str, refs: Mapping[str, Ref]) -> str:
    """The subdomain of the first slot: what the policy is about."""
    return place.nodes[next(iter(refs.values())).key].subdomain


def _part(i: int, many: int) -> Part:
    """The part of the i-th of so many policies, which stand in random order."""
    edge = 0.0
    for part, share in _SHARES:
        edge += share * many
        if i < edge:
            return part
    return "test"
