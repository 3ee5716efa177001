"""Generated files: equal bytes for equal seeds, balanced, without repeats, and read back as what they say."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import orjson
import pytest

from evalkit.benchmarks import suites
from evalkit.benchmarks.policyguard import shards, shortcuts
from evalkit.benchmarks.policyguard.blocks import template
from evalkit.core.cases import case_of, cut
from evalkit.core.errors import ContentError, UsageError
from evalkit.core.examples import layout, read_layout
from evalkit.core.types import Scenario

N = 600


@pytest.fixture(scope="module")
def made():
    """Some hundred examples."""
    tally = shards.Tally()
    rows = list(shards.examples(N, 5, tally=tally))
    return rows, tally, [Scenario.model_validate_json(row.line) for row in rows]


def test_equal_seeds_give_equal_bytes_and_others_do_not(made):
    rows, _, _ = made
    assert [r.line for r in shards.examples(60, 5)] == [r.line for r in rows[:60]]
    assert [r.line for r in shards.examples(60, 6)] != [r.line for r in rows[:60]]


@pytest.mark.slow  # starts processes
def test_the_bytes_do_not_depend_on_the_number_of_processes(made):
    rows, _, _ = made
    assert [r.line for r in shards.examples(N, 5, workers=2)] == [r.line for r in rows]


@pytest.mark.slow  # starts processes
def test_no_process_outlives_the_one_that_was_killed(tmp_path):
    code = (
        "import sys; from evalkit.benchmarks.policyguard import shards\n"
        "if __name__ == '__main__':\n"
        "    rows = shards.examples(10**6, 0, workers=2); next(rows)\n"
        "    import multiprocessing; print(*(p.pid for p in multiprocessing.active_children()), flush=True)\n"
        "    for row in rows: pass\n"
    )
    script = tmp_path / "many.py"
    script.write_text(code)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as started:
        pids = [int(p) for p in started.stdout.readline().split()]
        started.kill()
    assert len(pids) == 2
    until = time.monotonic() + 120
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < until:
        time.sleep(0.2)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_set_is_balanced_and_has_no_pair_twice(made):
    rows, tally, scenarios = made
    assert len(rows) == tally.n == N
    assert 0.415 < sum(s.label for s in scenarios) / N < 0.445
    assert 0.36 < sum(s.tags["cross"] == "cross" for s in scenarios) / N < 0.48
    assert len({(s.policies[0].text, tuple(s.world["steps"])) for s in scenarios}) == N
    assert len({s.id for s in scenarios}) == N
    assert len({row.key for row in rows}) == N
    kinds = Counter(s.tags["kind"] for s in scenarios)
    assert len(kinds) == 6
    assert min(kinds.values()) > N / 12
    assert len({s.tags["domain"] for s in scenarios}) == 8
    assert tally.count("split")["train"][0] / N == pytest.approx(0.75, abs=0.09)


def test_a_pair_of_twins_has_one_policy_in_the_same_words_and_opposite_labels(made):
    _, _, scenarios = made
    found = {s.id: s for s in scenarios}
    twins = [(s, found[s.tags["twin"]]) for s in scenarios if s.tags.get("twin") in found]
    assert len(twins) > N * 0.8
    for one, other in twins:
        assert one.policies == other.policies
        assert one.label != other.label
        assert one.tags["base"] != other.tags["base"]
        assert one.tags["group"] == other.tags["group"]


def test_a_scenario_is_what_detectors_read(made):
    _, _, scenarios = made
    for s in scenarios[::7]:
        case = case_of(s)
        assert len(case.events()) == len(case.steps) == int(s.tags["steps"])
        pair = read_layout(s.messages[0].content)
        assert pair == (s.policies[0].text, case.steps, s.tags["domain"], s.tags["subdomain"])
        assert s.messages[0].content == layout(case.policy, case.steps, s.tags["domain"], s.tags["subdomain"])
        assert s.attack == ("violation" if s.label else "benign")
        assert s.family == s.policies[0].id
        template(s.tags["domain"], s.tags["template"].rpartition("-")[2])


def test_prefixes_are_labelled_by_the_onset(made):
    _, _, scenarios = made
    s = next(s for s in scenarios if s.label and s.tags["onset"] not in ("end", "0"))
    onset = int(s.tags["onset"])
    assert cut(s, onset).label is False
    if onset + 1 < int(s.tags["steps"]):
        assert cut(s, onset + 1).label is True


def test_the_suite_generates_without_data_and_says_what_it_did():
    found = suites.build("policyguard", {"n": "60", "seed": "3", "split": "all"})
    assert sum(1 for _ in found.read()) == 60
    assert [s.id for s in found.read()] == [s.id for s in found.read()]
    assert any("60 generated pairs (seed 3)" in note for note in found.notes)
    for wrong in ({"n": "0"}, {"n": "many"}, {"seed": "-1"}):
        with pytest.raises(UsageError, match="a number from"):
            suites.build("policyguard", wrong)
    with pytest.raises(UsageError, match="source=rjudge"):
        suites.build("policyguard", {"source": "rjudge"})


def test_a_written_file_is_whole_and_read_back(tmp_path):
    path = tmp_path / "pairs.jsonl"
    told = shards.write(path, 40, 2, ["forum", "maps"], workers=1)
    assert told.n == len(path.read_bytes().splitlines()) == 40
    assert set(told.count("domain")) == {"forum", "maps"}
    found = suites.build("policyguard", {"split": "all"}, str(path))
    assert sum(1 for _ in found.read()) == 40
    assert not list(tmp_path.glob("*.part"))


def test_what_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=r"ends in \.jsonl"):
        shards.write(tmp_path / "pairs.json", 5, 0)
    with pytest.raises(UsageError, match="No such file"):
        shards.write(tmp_path / "nowhere" / "pairs.jsonl", 5, 0)
    with pytest.raises(UsageError, match="forrum"):
        shards.write(tmp_path / "pairs.jsonl", 5, 0, ["forrum"])
    assert not list(tmp_path.iterdir())


def sample(policy, steps, label, split, i):
    return shortcuts.Sample(policy, tuple(steps), label, split, f"p{i % 9}", str(i))


def test_a_shortcut_is_found_where_there_is_one():
    """Labels that a word of the policy, or of the trajectory, or the length tells."""
    samples = []
    for i in range(240):
        label = i % 2 == 0
        steps = [f"Click link 'L{(i * 7 + k) % 11}'" for k in range(6 + 9 * label)]
        samples.append(
            sample(f"never do {i % 5} {'now' if label else 'then'}", steps, label, "train" if i < 160 else "test", i)
        )
    found = {f.name: f.accuracy for f in shortcuts.check(samples)}
    assert found["majority"] == 0.5
    assert found["policy only"] == found["length only"] == 1.0


def test_no_shortcut_is_found_where_only_the_meeting_tells():
    samples = []
    for i in range(400):
        a, b = i // 2 % 2, i % 2
        words = " ".join(f"w{(i // 4 * 13 + k * k) % 17}" for k in range(5))
        samples.append(
            sample(f"{words} {'ab'[a]}", [f"step {'xy'[b]}", words], a == b, "train" if i < 280 else "test", i)
        )
    for f in shortcuts.check(samples):
        assert f.accuracy < 0.62, f


def test_near_duplicates_are_counted():
    steps = [f"Click link 'L{k}'" for k in range(30)]
    samples = [
        sample("p", steps, True, "train", 0),
        sample("p", [*steps[:-1], "Click link 'Z'"], True, "test", 1),
        sample("p", [f"Click link 'M{k}'" for k in range(30)], True, "test", 2),
    ]
    assert shortcuts.near_duplicates(samples) == (2, 1)


def test_a_file_of_something_else_is_an_error_that_names_the_line(tmp_path):
    path = tmp_path / "other.jsonl"
    path.write_bytes(orjson.dumps({"id": "x"}) + b"\n")
    with pytest.raises(ContentError, match=r"other\.jsonl:1"):
        shortcuts.read(path)
    with pytest.raises(ContentError, match="too few"):
        shortcuts.check([sample("p", ["s"], True, "train", 0)])


@pytest.mark.slow  # 20,000 pairs and four classifiers
def test_generated_pairs_have_no_shortcut(tmp_path):
    path = tmp_path / "pairs.jsonl"
    shards.write(path, 20_000, 11)
    samples = shortcuts.read(path)
    for f in shortcuts.check(samples):
        assert f.accuracy <= shortcuts.LIMIT, f
    tested, near = shortcuts.near_duplicates(samples)
    assert near <= tested / 1000
