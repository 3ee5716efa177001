"""docs/rules.md says the truth: its ten examples come out as it says, by the reference and by the monitor."""

import re
from pathlib import Path

import pytest
import yaml

from evalkit.core import semantics
from evalkit.core.english import phrasings, render
from evalkit.core.events import from_mappings
from evalkit.core.monitor import compile_rule
from evalkit.core.ruletext import parse

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)]


def test_there_are_ten():
    assert len(EXAMPLES) == 10
    assert {parse(e["rule"]).kind for e in EXAMPLES} == {
        "prohibition", "obligation", "ordering", "conditional", "limit", "non_disclosure",
    }  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=range(1, 11))
def test_an_example_comes_out_as_the_page_says(example):
    rule, world = parse(example["rule"]), example.get("world", {})
    events = from_mappings(example["trace"])
    result = semantics.evaluate(rule, events, world)
    assert (result.verdict, list(result.evidence)) == (example["verdict"], example["evidence"])
    monitor = compile_rule(rule).start(world)
    for event in events:
        monitor.step(event)
    assert (monitor.end(), list(monitor.evidence)) == (example["verdict"], example["evidence"])


@pytest.mark.parametrize("example", EXAMPLES, ids=range(1, 11))
def test_an_example_can_be_said_in_english_in_four_ways(example):
    rule = parse(example["rule"])
    said = {render(rule, n) for n in range(phrasings(rule))}
    assert len(said) == phrasings(rule) >= 4
