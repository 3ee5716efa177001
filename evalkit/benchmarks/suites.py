"""What a suite is: its description (suite.yaml) and a set of scenarios that can be read more than once.

Knows how to find suites, describe their options and draw a stratified sample; not how any suite makes its scenarios.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from evalkit import content, registry
from evalkit.core.errors import ContentError, UsageError, unknown
from evalkit.core.types import CONTEXT_SLOT, Context, Model, Scenario
from evalkit.core.when import JudgeUse


class Option(Model):
    """One option of a suite, for `--option name=value`."""

    about: str
    choices: tuple[str, ...] = ()
    """Empty: any text."""
    default: str = ""
    view: bool = False
    """Read by the suite's view: it says what of the scenarios is played, so that it applies to written ones too."""


class Suite(Model):
    """suite.yaml."""

    id: str
    version: str
    title: str
    description: str
    license: str
    generator: str
    judges: tuple[JudgeUse, ...] = Field(min_length=1)
    """Names, or records with a condition: `{judge: refusal, when: {attack: [benign, indirect]}}`."""
    metrics: str = "answers"
    """Which numbers are made of the verdicts (engine/measures.py)."""
    view: str | None = None
    """`module:function` from (ScenarioSet, options) to the ScenarioSet that is played."""
    options: dict[str, Option] = Field(default_factory=dict)
    prompts: dict[str, Any] = Field(default_factory=dict)
    """Words that the generator puts together; reviewed by policy people, so they are content."""

    @field_validator("judges")
    @classmethod
    def _once(cls, uses: tuple[JudgeUse, ...]) -> tuple[JudgeUse, ...]:
        named = [use.title for use in uses]
        for name in named:
            if named.count(name) > 1:
                raise ValueError(f"judge {name!r} twice; put what it is for into one `when`: lists are alternatives")
        return uses


@dataclass(frozen=True)
class ScenarioSet:
    """Scenarios, in the order to ask them, and the documents they share. `read` may be called many times."""

    suite: Suite
    read: Callable[[], Iterator[Scenario]]
    contexts: Mapping[str, Context] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What was left out or changed, counted; printed and kept in the manifest."""

    def digest(self) -> str:
        """A short hash over every scenario and document."""
        h = hashlib.sha256()
        for scenario in self.read():
            h.update(scenario.model_dump_json().encode() + b"\n")
        for key in sorted(self.contexts):
            h.update(self.contexts[key].model_dump_json().encode() + b"\n")
        return h.hexdigest()[:12]

    def only(self, keep: Iterable[str], note: str) -> "ScenarioSet":
        """The scenarios with these ids, in the same order."""
        ids = frozenset(keep)
        read = self.read
        return ScenarioSet(
            self.suite, lambda: (s for s in read() if s.id in ids), self.contexts, self.options, (*self.notes, note)
        )

    def sample(self, limit: int, seed: int) -> "ScenarioSet":
        """`limit` scenarios, stratified over family and attack; the same ones for the same seed, in the same order."""
        keys = [(s.id, s.family, s.attack, s.tags.get("group", s.id)) for s in self.read()]
        if limit >= len(keys):
            return self
        return self.only(stratified(keys, limit, seed), f"{limit} of {len(keys)} scenarios, stratified (seed {seed})")


def stratified(keys: Iterable[tuple[str, str, str, str]], limit: int, seed: int) -> list[str]:
    """Ids of `limit` of the (id, family, attack, group), as even over (family, attack) as can be.

    Within a stratum the order is a seeded hash of the group first: the same policy configurations are drawn for every
    attack, so that an attack comes with its benign twin and requests share their prompt prefix.
    """
    strata: dict[tuple[str, str], list[tuple[str, str, str]]] = defaultdict(list)
    for id_, family, attack, group in keys:
        strata[family, attack].append((_hash(seed, group), _hash(seed, id_), id_))
    for members in strata.values():
        members.sort()
    order = sorted(strata, key=lambda k: (_hash(seed, k[0]), k[1]))
    picked: list[str] = []
    rank = 0
    while len(picked) < limit:
        here = [strata[k][rank][2] for k in order if rank < len(strata[k])]
        if not here:
            break
        picked += here[: limit - len(picked)]
        rank += 1
    return picked


def available() -> list[str]:
    """The ids of all suites in the content roots."""
    return content.names("benchmarks", "suite.yaml")


def load(name: str) -> Suite:
    """The description of a suite; `UsageError` with the near match when there is none."""
    if name not in available():
        raise unknown("suite", name, available())
    return content.load_yaml(content.find("benchmarks", name, "suite.yaml"), Suite)


def build(name: str, options: Mapping[str, str], data: str | None = None) -> ScenarioSet:
    """The scenarios of a suite. `data` replaces the bundled source: a path or `hub:ID`; `.jsonl` is a scenario file."""
    suite = load(name)
    chosen = choose(suite, options)
    if is_written(data, options):
        return viewed(from_file(suite, Path(str(data)), chosen), chosen)
    make: Callable[[Suite, Mapping[str, str], str | None], ScenarioSet] = registry.lookup("generators", suite.generator)
    built = viewed(make(suite, chosen, data), chosen)
    own = data is None and not options
    return silent(built, fail=own)


def is_written(data: str | None, options: Mapping[str, str]) -> bool:
    """Whether `data` is a scenario file; with the option `source` it is a file of that published set instead."""
    return data is not None and data.endswith(".jsonl") and not options.get("source")


def viewed(scenarios: ScenarioSet, options: Mapping[str, str]) -> ScenarioSet:
    """What of them the suite's view chooses to play."""
    if scenarios.suite.view is None:
        return scenarios
    look: Callable[[ScenarioSet, Mapping[str, str]], ScenarioSet] = registry.load(scenarios.suite.view)
    return look(scenarios, options)


def silent(scenarios: ScenarioSet, *, fail: bool) -> ScenarioSet:
    """The same set with a note on every condition of a judge that no scenario meets.

    For a suite's own scenarios that is a `ContentError`: a misspelt condition would silence its judge without a word.
    """
    conditions = [(use.title, use.when) for use in scenarios.suite.judges if use.when is not None]
    unmet = [f"judge {name}: when: {what}" for name, when in conditions for what in when.unmet(scenarios.read())]
    if unmet and fail:
        raise ContentError(f"{content.find('benchmarks', scenarios.suite.id, 'suite.yaml')}: {'; '.join(unmet)}")
    return replace(scenarios, notes=(*scenarios.notes, *unmet)) if unmet else scenarios


def choose(suite: Suite, options: Mapping[str, str]) -> dict[str, str]:
    """Every option with the value given or its default."""
    for name, value in options.items():
        if name not in suite.options:
            raise unknown(f"option of suite {suite.id}", name, suite.options)
        choices = suite.options[name].choices
        if choices and value not in choices:
            raise unknown(f"value of option {name}", value, choices)
    return {name: options.get(name, o.default) for name, o in suite.options.items()}


def from_file(suite: Suite, path: Path, options: Mapping[str, str]) -> ScenarioSet:
    """Scenarios written before (`evalkit generate`, or the scenarios.jsonl of a run), with contexts.jsonl beside it.

    The words of such a file are fixed, so that an option other than its default is an error, not ignored; options of
    the view apply.
    """
    for name, option in suite.options.items():
        if options[name] != option.default and not option.view:
            raise UsageError(
                f"--option {name}={options[name]} (or --{name.replace('_', '-')}) does not apply to {path}: "
                "its scenarios are written already; leave it out"
            )
    beside = path.with_name("contexts.jsonl")
    contexts = {c.id: c for c in content.read_jsonl(beside, Context)} if beside.exists() else {}
    seen: set[str] = set()
    for number, s in enumerate(content.read_jsonl(path, Scenario), 1):
        if s.id in seen:
            raise ContentError(f"{path}: scenario {number}: id {s.id!r} used twice")
        seen.add(s.id)
        if s.suite != suite.id:
            raise ContentError(f"{path}: scenario {s.id!r} belongs to suite {s.suite!r}, not {suite.id!r}")
        if s.context is not None and s.context not in contexts:
            raise ContentError(f"{path}: scenario {s.id!r} needs context {s.context!r}, which is not in {beside}")
    if not seen:
        raise ContentError(f"{path}: no scenarios in it")
    return silent(ScenarioSet(suite, lambda: content.read_jsonl(path, Scenario), contexts, options), fail=False)


def parse_options(pairs: Iterable[str]) -> dict[str, str]:
    """`["placement=after"]` as a mapping."""
    found = {}
    for pair in pairs:
        name, eq, value = pair.partition("=")
        if not eq or not name:
            raise UsageError(f"--option {pair!r}: write name=value, for example placement=after")
        found[name] = value
    return found


def free_of_slot(text: str, what: str) -> str:
    """`text`, if it can stand in a message template."""
    if CONTEXT_SLOT in text:
        raise ContentError(f"{what} contains {CONTEXT_SLOT}, which marks where the document goes")
    return text


def _hash(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}:{text}".encode()).hexdigest()
