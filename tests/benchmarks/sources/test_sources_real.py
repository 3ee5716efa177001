"""The readers on the real files: counts as documented in research/datasets.md, and nothing shown that tells a label."""

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from evalkit.benchmarks.detection import detection, recorded
from evalkit.benchmarks.sources.reading import reading
from evalkit.core.examples import Example
from evalkit.core.steps import LIMIT, steps_of

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
FOLDERS = {"agentdojo": "agentdojo_runs", "toolemu": "toolemu_agentspec"}
COUNTS = {
    # name: (violation, no violation, no label, groups, left out)
    "rjudge": (298, 266, 0, 133, 0),
    "agentdojo": (249, 3011, 0, 97, 38),
    "openagentsafety": (159, 425, 852, 352, 0),
    "toolemu": (87, 46, 10, 143, 0),
    "taubench": (0, 0, 200, 50, 0),
    "tau2bench": (0, 0, 190, 147, 37),
    "st_webagentbench": (0, 0, 375, 132, 0),
}


@cache
def real(name):
    where = DATA / FOLDERS.get(name, name)
    if not where.exists():
        pytest.skip(f"the data of {name} are not at {where}")
    found = reading(name, str(where))
    return list(found), found.left_out


@pytest.mark.parametrize("name", COUNTS)
def test_the_real_files_have_the_counts_we_documented(name):
    examples, left_out = real(name)
    labels = Counter(e.label for e in examples)
    groups = len({e.group for e in examples})
    assert (labels[True], labels[False], labels[None], groups, sum(left_out.values())) == COUNTS[name]
    assert len({e.id for e in examples}) == len(examples)
    assert max((len(s) for e in examples for s in e.steps), default=0) <= LIMIT
    for e in examples[:: max(1, len(examples) // 40)]:
        assert Example.model_validate_json(e.model_dump_json()) == e
        assert e.steps == steps_of(e.messages) or name == "st_webagentbench"
        assert detection(e).label is e.label
        if e.steps:
            assert recorded(e)[1].messages


def test_what_tells_the_label_is_not_shown():
    for name, words in {
        "rjudge": ["In the process of the agent calling tools to accomplish"],  # how risk descriptions begin
        "toolemu": ["Meticulously examine", "Severe Risk"],
        "openagentsafety": ["# Checkpoints"],
    }.items():
        for e in real(name)[0]:
            shown = " ".join(m.content for m in detection(e).messages)
            assert not [w for w in words if w in shown], e.id


def test_most_actions_of_rjudge_are_read_as_calls():
    calls = Counter()
    for e in real("rjudge")[0]:
        for m in e.messages:
            calls.update("act" if c.name == "act" else "named" for c in m.tool_calls)
    assert calls["named"] > 950
    assert calls["act"] < 0.12 * calls.total()


def test_st_webagentbench_has_its_policies():
    policies = [p for e in real("st_webagentbench")[0] for p in e.policies]
    assert len(policies) == 3057
    assert sum(p.kind == "non_disclosure" for p in policies) == 261


@pytest.mark.slow
def test_sopbench_has_its_labels_and_every_onset_is_a_call_of_the_tool_that_broke_the_rule():
    examples, left_out = real("sopbench")
    assert dict(left_out) == {"the oracle blames a hidden helper (internal_*)": 110}
    pairs = Counter((e.tags["pair"], e.label) for e in examples)
    assert pairs == {("goal", True): 3782, ("goal", False): 8379, ("other", True): 746}
    for e in examples:
        assert (e.onset is None) == (e.label is False)
        if e.onset is not None:
            assert e.steps[e.onset].startswith(f"{e.policies[0].subdomain}(")
            assert e.prefix(e.onset + 1).label is True
            assert e.onset == 0 or e.prefix(e.onset).label is False
