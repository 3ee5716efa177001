"""What of a set of labelled trajectories is played: its test part, one domain, whole trajectories or their first steps.

Works on any scenarios of the suite, generated or read from a file: it selects and cuts, and makes no scenario of its
own. Which examples a detector may learn from is here too (`training`, `part_of`).
"""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from evalkit.benchmarks.suites import ScenarioSet
from evalkit.core.cases import cut
from evalkit.core.errors import ContentError, UsageError
from evalkit.core.types import Scenario

ALL = "all"
FOLDS = 5
LONGEST_PREFIX = 1000
_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")


def view(scenarios: ScenarioSet, options: Mapping[str, str]) -> ScenarioSet:
    """The scenarios that the options choose. A scenario without the tag that an option looks at is always chosen."""
    split, domain = _split(options), options.get("domain", "")
    lengths = prefixes(options.get("prefixes", "1-5")) if options.get("task", "full") == "prefix" else ()
    read, told = scenarios.read, Counter[str]()

    def chosen() -> Iterator[Scenario]:
        for s in read():
            if split not in (ALL, s.tags.get("split", split)) or (domain and s.tags.get("domain", domain) != domain):
                continue
            yield from _prefixes(s, lengths) if lengths else (s,)

    for s in read():
        told["all"] += 1
        if split not in (ALL, s.tags.get("split", split)):
            told["split"] += 1
        elif domain and s.tags.get("domain", domain) != domain:
            told["domain"] += 1
        elif s.label is None:
            told["unlabelled"] += 1
    if told["all"] == told["split"] + told["domain"]:
        where = f"split={split}" + (f", domain={domain}" if domain else "")
        raise UsageError(f"none of the {told['all']:,} scenarios has {where}; see --option split=all")
    return replace(scenarios, read=chosen, notes=(*scenarios.notes, *_notes(told, split, domain)))


def training(options: Mapping[str, str]) -> dict[str, str]:
    """The options under which a detector's training examples are read: the train part, whole trajectories."""
    split = ALL if options.get("protocol") == "folds" else "train"
    return {**options, "split": split, "task": "full", "domain": ""}


def part_of(options: Mapping[str, str]) -> Callable[[Scenario], str]:
    """The part of a scenario that a detector must not have learnt from, beside what is not in the train part.

    standard: none. lodo: its domain. folds: one of five groups of families.
    """
    protocol = options.get("protocol", "standard")
    if protocol == "lodo":
        return _domain
    if protocol == "folds":
        return _fold
    return lambda _scenario: ""


def prefixes(text: str) -> tuple[int, ...]:
    """`1-5`, `3` or `1-3,10` as numbers of steps."""
    found: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= LONGEST_PREFIX:
            raise UsageError(f"--option prefixes={text}: numbers of steps from 1 up: 1-5, or 1,2,10")
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def _prefixes(scenario: Scenario, lengths: tuple[int, ...]) -> Iterator[Scenario]:
    for n in lengths:
        found = cut(scenario, n)
        if found is not None:
            yield found


def _split(options: Mapping[str, str]) -> str:
    """What is scored. With folds every scenario is scored by a detector that has not seen its family."""
    return ALL if options.get("protocol") == "folds" else options.get("split", ALL)


def _domain(scenario: Scenario) -> str:
    found = scenario.tags.get("domain", "")
    if not found:
        raise ContentError(f"scenario {scenario.id!r} has no tag domain: leave-one-domain-out needs one")
    return found


def _fold(scenario: Scenario) -> str:
    return f"fold {zlib.crc32(scenario.family.encode()) % FOLDS + 1}"


def _notes(told: Counter[str], split: str, domain: str) -> Iterator[str]:
    if told["split"]:
        yield f"split {split}: {told['split']:,} of {told['all']:,} scenarios are of other parts"
    if told["domain"]:
        yield f"domain {domain}: {told['domain']:,} scenarios of other domains are left out"
    if told["unlabelled"]:
        yield f"{told['unlabelled']:,} scenarios have no label: they are played and count in no rate"
