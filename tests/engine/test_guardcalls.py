"""Trajectories as tool calls mean what they meant as web actions."""

import random

import numpy as np
import pytest

from evalkit import content
from evalkit.benchmarks.policyguard import blocks
from evalkit.engine.guardcalls import Tools
from evalkit.engine.guardrows import generated
from evalkit.engine.guardwords import load_sentences
from evalkit.guardrails.programs import FAR, ROLES, Facts, broken
from evalkit.guardrails.texts import carried, read_step


@pytest.fixture(scope="module")
def block() -> blocks.Block:
    return blocks.build(0, 5, ("shopping",))


def test_each_step_is_one_call_and_failures_stay_failures(block: blocks.Block) -> None:
    tools = Tools(block.template, random.Random(1))
    for steps in block.trajectories:
        lines = tools.lines(steps)
        assert len(lines) == len(steps)
        for line, step in zip(lines, steps, strict=True):
            assert "(" in line
            assert read_step(line).ok == step.ok, line


def test_one_element_has_one_tool_in_a_block(block: blocks.Block) -> None:
    tools = Tools(block.template, random.Random(2))
    for key in block.template.atlas.nodes:
        name = tools.name(key)
        assert name == tools.name(key)
        assert name.replace("_", "").isalnum()


def test_labels_of_calls_are_those_of_the_programs() -> None:
    """Numbers, values, failures and what a result showed are read off calls as off web actions."""
    rows = [r for r in generated(900, 11, load_sentences(content.find("guardrails", "small", "sentences.yaml")))
            if r.steps and "(" in r.steps[0]]  # fmt: skip
    assert len(rows) > 60
    for row in rows:
        steps = [read_step(s) for s in row.steps]
        roles = {r: np.isin(np.arange(len(steps)), row.roles.get(r, ()))[None] for r in ROLES}
        facts = Facts(roles, np.array([s.ok for s in steps]), [s.value for s in steps], [s.number for s in steps],
                      carried(steps), row.n or 1, row.w or FAR, row.v or 0.0)  # fmt: skip
        assert broken(row.program, facts)[0, -1] == row.label, row.id
