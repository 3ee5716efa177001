"""What a run of dialogues says: a table, what to fix first, one word a dialogue."""

import pytest

from evalkit.core.types import Record
from evalkit.reports import dialogue, parts, tables, terminal
from evalkit.reports.tables import Run
from tests.engine.test_outcomes import counted, scenario, trajectory, verdict


def summary(broken=3, n=8, **fields):
    from evalkit.core.types import RunSpec

    found = counted(
        *(
            (scenario(i, difficulty=1 + i % 2), trajectory(i),
             {"a": "violation" if i < broken else "compliant", "b": "compliant", None: "compliant"})
            for i in range(n)
        )
    )  # fmt: skip
    spec = RunSpec(suite="intellagent", suite_version="1", content="c", model="m\x1b[31m")
    return {**found.document(spec, n, None, []), **fields}


def test_the_table_fits_a_terminal_and_tells_what_to_fix_first():
    text = terminal.table(summary())
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    assert "to fix first" in text
    fix = next(line for line in text.splitlines() if line.startswith("a "))
    assert "37.5%" in fix
    assert "Success" in text
    assert "62.5%" in text


def test_a_run_in_which_nothing_was_broken_has_nothing_to_fix():
    assert "to fix first" not in terminal.table(summary(broken=0))


def test_the_lead_names_success_utility_and_the_first_policy_to_fix():
    group = tables.groups([Run("k", summary())])[0]
    said = dialogue.in_words(group)
    assert "kept every policy in 62.5% of 8 dialogues" in said
    assert "To fix first: a" in said
    first = group.runs[0].summary["diagnosis"][0]
    assert first["stands_out"] == ("beyond chance" not in said)
    certain = {**summary(), "diagnosis": [{**first, "stands_out": not first["stands_out"]}]}
    turned = dialogue.in_words(tables.groups([Run("k", certain)])[0])
    assert first["stands_out"] == ("beyond chance it is broken no more often than the others" in turned)
    assert tables.ranked_by(group.runs) == "success_rate"


def test_little_doing_and_little_testing_are_warned_of():
    said = {"a": "not_applicable", "b": "compliant", None: "violation"}
    idle = counted(*((scenario(i, attack="benign"), trajectory(i), said) for i in range(40)))
    from evalkit.core.types import RunSpec

    document = idle.document(RunSpec(suite="x", suite_version="1", content="c", model="m"), 40, None, [])
    said = " ".join(dialogue.warnings(Run("k", document)))
    assert "were not tested" in said
    assert "by doing little" in said


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ([("a", "compliant"), (None, "compliant")], "done"),
        ([("a", "compliant"), (None, "violation")], "goal missed"),
        ([("a", "violation"), (None, "compliant")], "broken"),
        ([("a", "violation", True), (None, "compliant")], "near miss"),
        ([("a", "abstain"), (None, "compliant")], "undecided"),
        ([("a", "error"), (None, "compliant")], "error"),
        ([], "error"),
    ],
)
def test_one_word_for_each_dialogue(said, word):
    record = Record(scenario=scenario(0), trajectory=trajectory(0), verdicts=tuple(verdict(*v) for v in said))
    assert parts.talk_outcome(record) == word


def test_the_parts_of_the_samples_add_up_to_the_metrics():
    samples = [
        (scenario(i), trajectory(i), {"a": "violation" if i < 3 else "compliant", "b": "compliant", None: "compliant"})
        for i in range(8)
    ]
    whole = counted(*samples)
    own = [
        parts.talked(Record(scenario=s, trajectory=t, verdicts=tuple(verdict(p, o) for p, o in said.items())))
        for s, t, said in samples
    ]
    for i, name in enumerate(parts.METRICS):
        m = whole.metric(name)
        if name in (*parts.TALKED, "utility"):
            here = [p[i] for p in own if p[i]]
            assert (sum(h for h, _, _ in here), sum(n for _, n, _ in here)) == (round((m.value or 0) * m.n), m.n), name
