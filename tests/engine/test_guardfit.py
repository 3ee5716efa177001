"""Calibration and threshold from labelled cases: what is counted is unseen, what is written is what the table says."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import guardrails
from evalkit.cli import main
from evalkit.core.errors import UsageError
from evalkit.engine.guardfit import _after, _through, fit_guardrail, write
from evalkit.guardrails.calibrated import Platt
from evalkit.guardrails.dataset import Row


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

    def untold(self, policy):
        return "no" if "tone" in policy else ""

    def scores(self, pairs):
        return [float(steps[0]) for _, steps in pairs]


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
    before, *lines = found.lines
    chosen = next(line for line in lines if line.rate == 0.05)
    assert (before.recall.value, before.threshold, found.cases, found.violations) == (0.0, 0.5, 400, 100)
    assert chosen.recall.value > 0.6
    assert chosen.false_alarms.value < 0.08
    assert chosen.threshold < 0.1
    assert [line.rate for line in lines] == [0.01, 0.05, 0.1, 0.2]
    assert found.auroc.value > 0.8
    assert found.always.value == pytest.approx(0.4)


def test_a_threshold_is_counted_on_families_it_was_not_chosen_on():
    """The false alarms of each family lie higher than the last one's: the highest are never flagged as allowed."""
    made = [
        Row(id=f"{f}/{i}", policy="p", steps=(repr(0.1 + 0.08 * f + 0.0001 * i),), label=False, family=f"f{f}", part="")
        for f in range(5)
        for i in range(20)
    ]
    made += [Row(id=f"v{f}", policy="p", steps=("0.01",), label=True, family=f"f{f}", part="") for f in range(5)]
    line = next(line for line in fit_guardrail(Ranker(), made, 0.05).lines if line.rate == 0.05)
    assert line.false_alarms.value > 0.15, "on the cases themselves it would be 0.05 at most"


def test_what_it_cannot_tell_is_in_no_figure():
    found = fit_guardrail(Ranker(), rows() + rows(80, policy="mind your tone"), 0.05)
    assert (found.cases, found.untold) == (400, 80)


@pytest.mark.parametrize(
    ("cases", "rate", "words"),
    [
        (rows(60), 0.05, ("--fpr 0.05", "60 cases without a violation", "there are 45")),
        ([r for r in rows() if not r.label], 0.05, ("none of them a violation",)),
        (rows(policy="tone"), 0.05, ("0 cases", "none of them a violation")),
        ([r.model_copy(update={"family": "one"}) for r in rows()], 0.05, ("one family",)),
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


def test_the_folder_that_is_written_flags_what_the_table_says(tmp_path, evalkit):
    evalkit("generate", "policyguard", "--n", 600, "--seed", 5, "--out", "cases.jsonl")
    code, out, err = evalkit(
        "guard", "fit", "--guardrail", "linear", "--data", "cases.jsonl", "--fpr", 0.1, "--out", "mine", "--json"
    )
    assert (code, err) == (0, "")
    told = json.loads(out)
    mine, linear = guardrails.load(str(tmp_path / "mine")), guardrails.load("linear")
    assert mine.threshold == told["threshold"]
    assert mine.name == "mine"
    assert mine.version != linear.version
    assert mine.record.training["fitted"]["from"] == "linear"
    cases = [json.loads(line) for line in (tmp_path / "cases.jsonl").read_text().splitlines()]
    pairs = [(c["policies"][0]["text"], c["world"]["steps"]) for c in cases]
    fresh, old = mine.scores(pairs), linear.scores(pairs)
    assert sorted(range(len(old)), key=old.__getitem__) == sorted(range(len(old)), key=fresh.__getitem__)
    chosen = next(line["threshold"] for line in told["thresholds"] if line["false_alarms_allowed"] == 0.1)
    assert [s >= mine.threshold for s in fresh] == [s >= chosen for s in old]
    kept = [s >= mine.threshold for s, c in zip(fresh, cases, strict=True) if not c["label"]]
    assert sum(kept) / len(kept) <= 0.1
    shares = [(lo, lo + 0.2) for lo in (0.0, 0.2, 0.4, 0.6, 0.8)]
    for low, high in shares:  # the probabilities are those of these cases now
        some = [c["label"] for s, c in zip(fresh, cases, strict=True) if low <= s < high]
        if len(some) >= 50:
            assert low - 0.12 <= sum(some) / len(some) <= high + 0.12
    code, out, err = evalkit("guard", "fit", "--guardrail", "linear", "--data", "cases.jsonl", "--fpr", 0.1)
    assert (code, err) == (0, "")
    assert "(as it is)" in out
    assert " <" in next(line for line in out.splitlines() if line.startswith("10.0%"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to fit to"),
        (("--data", "none.jsonl"), "none.jsonl"),
        (("--source", "rjudge"), "NAME=PATH"),
        (("--data", "cases.jsonl", "--guardrail", "nope"), "nope"),
        (("--data", "cases.jsonl", "--fpr", "0.001"), "--fpr 0.001: takes 3000 cases"),
        (("--data", "cases.jsonl", "--fpr", "0.1", "--out", "full"), "holds files that are not a guardrail"),
    ],
)
def test_what_cannot_be_fitted_is_told(evalkit, tmp_path, arguments, words):
    evalkit("generate", "policyguard", "--n", 200, "--seed", 5, "--out", "cases.jsonl")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    given = arguments if "--guardrail" in arguments else (*arguments, "--guardrail", "linear")
    code, _, err = evalkit("guard", "fit", *given)
    assert code == 2
    assert words in err
    assert "Traceback" not in err


def test_a_guardrail_is_not_written_over_itself(tmp_path):
    class Model(Ranker):
        folder = tmp_path

    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(UsageError, match="that is the guardrail itself"):
        write(Model(), fit_guardrail(Ranker(), rows(), 0.05), tmp_path)
