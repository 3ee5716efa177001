"""Calibration and threshold from labelled cases: what is counted is unseen, what is written is what the table says."""

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import guardrails
from evalkit.cli import main
from evalkit.core.errors import UsageError
from evalkit.engine.guardfit import _after, _through, distinct, fit_guardrail, writable, write
from evalkit.guardrails.calibrated import Platt
from evalkit.guardrails.dataset import Row
from evalkit.guardrails.trained import Record


@pytest.fixture
def evalkit(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        with pytest.raises(SystemExit) as e:
            main([str(a) for a in arguments])
        said = capsys.readouterr()
        return e.value.code, said.out, said.err

    return call


class Ranker:
    """Scores that rank well and lie far under its threshold."""

    name, version, threshold = "ranker", "1", 0.5
    record = Record(name="ranker", recipe="linear", threshold=0.5)

    def __init__(self, folder=None):
        self.folder = folder

    def untold(self, policy):
        return "no" if "tone" in policy else ""

    def peaks(self, pairs):
        return [float(steps[0]) for _, steps in pairs]

    def scores(self, pairs):
        return [float(steps[-1]) for _, steps in pairs]


def rows(n=400, policy="p", **more):
    """Every fourth is a violation; those score 0.02 to 0.3, the others 0.001 to 0.1. Forty families."""
    made = []
    for i in range(n):
        bad = i % 4 == 0
        score = 0.02 + 0.28 * ((i * 7) % 11) / 11 if bad else 0.001 + 0.099 * ((i * 13) % 97) / 97
        made.append(
            Row(id=str(i), policy=policy, steps=(repr(score),), label=bad, family=f"f{i % 40}", part="", **more)
        )
    return made


def test_a_threshold_that_flags_nothing_is_fitted_to_the_cases():
    found = fit_guardrail(Ranker(), rows(), 0.05)
    before, *lines = found.cuts
    chosen = next(line for line in lines if line.rate == 0.05)
    assert (before.recall.value, before.threshold, found.cases, found.violations) == (0.0, 0.5, 400, 100)
    assert chosen.recall.value > 0.6
    assert chosen.false_alarms.value < 0.08
    assert chosen.threshold < 0.1
    assert [line.rate for line in lines] == [0.01, 0.05, 0.1, 0.2]
    assert found.auroc.value > 0.8
    assert found.always_f1.value == pytest.approx(0.4)


def test_a_threshold_is_counted_on_families_it_was_not_chosen_on():
    """The false alarms of each family lie higher than the last one's: the highest are never flagged as allowed."""
    made = [
        Row(id=f"{f}/{i}", policy="p", steps=(repr(0.1 + 0.08 * f + 0.0001 * i),), label=False, family=f"f{f}", part="")
        for f in range(5)
        for i in range(20)
    ]
    made += [Row(id=f"v{f}", policy="p", steps=("0.01",), label=True, family=f"f{f}", part="") for f in range(5)]
    line = next(line for line in fit_guardrail(Ranker(), made, 0.05).cuts if line.rate == 0.05)
    assert line.false_alarms.value > 0.15, "on the cases themselves it would be 0.05 at most"


def test_what_it_cannot_tell_is_in_no_figure():
    found = fit_guardrail(Ranker(), rows() + rows(80, policy="mind your tone"), 0.05)
    assert (found.cases, found.unread) == (400, 80)


@pytest.mark.parametrize(
    ("cases", "rate", "words"),
    [
        (rows(60), 0.05, ("--fpr 0.05", "60 cases without a violation", "there are 45")),
        ([r for r in rows() if not r.label], 0.05, ("none of them a violation",)),
        (rows(policy="tone"), 0.05, ("0 cases", "none of them a violation")),
        ([r.model_copy(update={"family": "one"}) for r in rows()], 0.05, ("of one family",)),
    ],
)
def test_too_few_cases_are_told_with_how_many_it_takes(cases, rate, words):
    with pytest.raises(UsageError) as e:
        fit_guardrail(Ranker(), cases, rate)
    assert all(w in str(e.value) for w in words), str(e.value)


@given(st.floats(0.05, 3), st.floats(-3, 3), st.floats(0.05, 5), st.floats(-5, 5), st.floats(0, 1))
def test_one_scaling_after_another_is_one_scaling(a, b, c, d, score):
    first, then = Platt(slope=a, offset=b), Platt(slope=c, offset=d)
    assert math.isclose(_after(first, then)(score), _through(then, first(score)), abs_tol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_what_is_written_decides_as_the_table_does_wherever_the_scores_lie(tmp_path, seed):
    """Far below one half, as on agents that it does not know; far above; in two heaps of equal scores."""
    rng = random.Random(seed)
    middle = (-6.0, -2.0, 3.0, 0.0)[seed % 4]
    cases = []
    for i in range(300):
        bad = i % 5 == 0
        z = rng.gauss(middle + 1.5 * bad, 1) if seed % 4 < 3 else (3.0 if rng.random() < 0.1 + 0.5 * bad else -3.0)
        row = Row(id=str(i), policy="p", steps=(repr(1 / (1 + math.exp(-z))),), label=bad, family=f"f{i % 30}", part="")
        cases.append(row)
    model = Ranker(tmp_path / "from")
    fitted = fit_guardrail(model, cases, 0.1)
    record = write(model, fitted, tmp_path / "to")
    cut = next(c for c in fitted.cuts if c.rate == 0.1)
    assert 0 < record.threshold < 1
    assert 0.05 <= record.calibration.slope < 20, "no running away"
    old = [float(r.steps[0]) for r in cases]
    assert [record.calibration(s) >= record.threshold for s in old] == [s >= cut.threshold for s in old]
    mean = sum(map(record.calibration, old)) / len(old)
    assert mean == pytest.approx(0.2, abs=0.03), "the probabilities are those of the cases"


def test_where_the_highest_scores_are_of_cases_without_a_violation_nothing_is_flagged(tmp_path):
    cases = [
        Row(
            id=str(i), policy="p", steps=("0.997" if i % 2 else "0.2",), label=i % 10 == 0, family=f"f{i % 20}", part=""
        )
        for i in range(200)
    ]
    fitted = fit_guardrail(Ranker(), cases, 0.1)
    record = write(Ranker(tmp_path / "from"), fitted, tmp_path / "to")
    assert record.threshold > record.calibration(0.997)


def test_a_case_counts_once_and_is_scored_after_every_step_or_at_its_end():
    made = rows()
    assert len(distinct([*made, *made])) == len({(r.steps, r.label) for r in made})
    ending = [r.model_copy(update={"steps": (*r.steps, "0.9")}) for r in rows()]
    assert fit_guardrail(Ranker(), ending, 0.05).auroc.value > 0.8
    assert fit_guardrail(Ranker(), ending, 0.05, at_end=True).auroc.value == 0.5


def test_the_folder_that_is_written_flags_what_the_table_says(tmp_path, evalkit):
    evalkit("generate", "policyguard", "--n", 600, "--seed", 5, "--out", "cases.jsonl")
    code, out, err = evalkit(
        "guard", "fit", "--guardrail", "linear", "--data", "cases.jsonl", "--fpr", 0.1, "--out", "mine", "--json"
    )
    assert (code, err.split()) == (0, ["600", "labelled", "cases", "from", "cases.jsonl"])
    told = json.loads(out)
    mine, linear = guardrails.load(str(tmp_path / "mine")), guardrails.load("linear")
    assert mine.threshold == told["written"]["threshold"]
    assert mine.name == "mine"
    assert mine.version != linear.version
    assert mine.record.training["fitted"]["from"] == "linear"
    cases = [json.loads(line) for line in (tmp_path / "cases.jsonl").read_text().splitlines()]
    pairs = [(c["policies"][0]["text"], c["world"]["steps"]) for c in cases]
    fresh, old = mine.peaks(pairs), linear.peaks(pairs)
    assert sorted(range(len(old)), key=old.__getitem__) == sorted(range(len(old)), key=fresh.__getitem__)
    chosen = next(cut["threshold"] for cut in told["cuts"] if cut["false_alarms_allowed"] == 0.1)
    assert [s >= mine.threshold for s in fresh] == [s >= chosen for s in old]
    kept = [s >= mine.threshold for s, c in zip(fresh, cases, strict=True) if not c["label"]]
    assert sum(kept) / len(kept) <= 0.1
    shares = [(lo, lo + 0.2) for lo in (0.0, 0.2, 0.4, 0.6, 0.8)]
    for low, high in shares:  # the probabilities are those of these cases now
        some = [c["label"] for s, c in zip(fresh, cases, strict=True) if low <= s < high]
        if len(some) >= 50:
            assert low - 0.12 <= sum(some) / len(some) <= high + 0.12
    code, out, err = evalkit("guard", "fit", "--guardrail", "linear", "--data", "cases.jsonl", "--fpr", 0.1)
    assert code == 0
    assert "(as it is)" in out
    assert "chosen" in next(line for line in out.splitlines() if line.startswith("10 %"))
    twice = ("--data", "cases.jsonl", "--data", "cases.jsonl")
    code, again, err = evalkit("guard", "fit", "--guardrail", "mine", *twice, "--fpr", 0.1, "--out", "mine2")
    assert code == 0
    assert "600 of them came twice" in err
    assert "but (as it is) was fitted to just these cases" in again
    assert "serve --guardrail mine2" in again
    code, *_ = evalkit("guard", "fit", "--guardrail", "linear", *twice, "--fpr", 0.1, "--out", "mine2")
    assert code == 0, "what this command wrote it may write over"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to fit to"),
        (("--data", "none.jsonl"), "none.jsonl"),
        (("--source", "rjudge"), "NAME=PATH"),
        (("--data", "cases.jsonl", "--guardrail", "nope"), "nope"),
        (("--data", "cases.jsonl", "--fpr", "0.001"), "--fpr 0.001: takes 3000 cases"),
        (("--data", "cases.jsonl", "--fpr", "0.1", "--out", "full"), "holds files, and no guardrail that this command"),
        (("--data", "cases.jsonl", "--fpr", "0.1", "--out", "full/mine.txt"), "full/mine.txt: is no folder"),
        (
            ("--data", "cases.jsonl", "--fpr", "0.1", "--out", "full/mine.txt/deeper"),
            "full/mine.txt/deeper: cannot write",
        ),
        (("--data", "empty.jsonl"), "no case with a label"),
    ],
)
def test_what_cannot_be_fitted_is_told(evalkit, tmp_path, arguments, words):
    evalkit("generate", "policyguard", "--n", 200, "--seed", 5, "--out", "cases.jsonl")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    (tmp_path / "empty.jsonl").write_text("")
    given = arguments if "--guardrail" in arguments else (*arguments, "--guardrail", "linear")
    code, _, err = evalkit("guard", "fit", *given)
    assert code == 2
    assert words in err
    assert "Traceback" not in err


def test_what_was_trained_is_not_written_over(tmp_path):
    (tmp_path / "training.json").write_text(Ranker.record.model_dump_json())
    with pytest.raises(UsageError, match="that is the guardrail itself"):
        writable(Ranker(tmp_path), tmp_path)
    with pytest.raises(UsageError, match="no guardrail that this command wrote"):
        writable(Ranker(tmp_path / "other"), tmp_path)


def test_a_policy_without_words_is_named():
    with pytest.raises(UsageError, match="case 7: its policy has no words"):
        fit_guardrail(Ranker(), [rows()[7].model_copy(update={"policy": " "})], 0.05)
