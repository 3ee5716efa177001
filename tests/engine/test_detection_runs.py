"""Runs of detectors from a scenario file to numbers: every kind of --model, fitting, resuming, the suite's proof."""

import asyncio
from pathlib import Path

import orjson
import pytest

from evalkit.benchmarks import suites
from evalkit.core.errors import UsageError
from evalkit.engine import store
from evalkit.engine.check import check
from evalkit.engine.prepare import Wish, judges_of, prepare
from evalkit.engine.rejudge import rejudge, spec_of
from evalkit.engine.store import RunFolder
from tests.trajectories import many


def answers(messages):
    """A chat model that reads the case: it flags what clicks Delete, and says nothing useful on long ones."""
    text = messages[0]["content"]
    if text.count("Step ") > 8:
        return "I would have to think about that."
    return "violation" if "'Delete'" in text and "Never" in text else "no_violation"


def detector(messages):
    """Own code that detects by itself: sees the bare case, once."""
    assert messages[0]["content"].startswith("Policy: ")
    assert len(messages) == 1
    return '{"violation": true, "probability": 0.9}'


detector.detects = True


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text("".join(s.model_dump_json(exclude_defaults=True) + "\n" for s in many(80)))
    return str(path)


def play(model, data, out, options=None, **wish):
    run, path = prepare(Wish("policyguard", model, data=data, options=options or {}, out=Path(out), **wish))
    with RunFolder.open(path, run.spec) as folder:
        document, _ = asyncio.run(run.play(folder))
    return document, run


def value(document, name, **slice):
    return next(m["value"] for m in document["metrics"] if m["name"] == name and m["slice"] == slice)


def test_rules_are_right_on_all_of_it_and_on_every_prefix(file, tmp_path):
    document, _ = play("rules", file, tmp_path / "a")
    assert value(document, "accuracy") == value(document, "f1") == value(document, "auroc") == 1.0
    document, _ = play("rules", file, tmp_path / "b", {"task": "prefix"})
    assert value(document, "accuracy") == value(document, "caught_in_time_rate") == 1.0
    assert value(document, "trajectory_false_alarm_rate") == value(document, "delay_steps") == 0.0


@pytest.mark.parametrize(
    ("model", "accuracy"), [("scripted/knows-label", 1.0), ("scripted/flips-label", 0.0), ("scripted/flags-all", None)]
)
def test_oracles_come_out_as_they_are(file, tmp_path, model, accuracy):
    document, _ = play(model, file, tmp_path / "r")
    rate = value(document, "base_rate")
    assert value(document, "accuracy") == pytest.approx(rate if accuracy is None else accuracy)


def test_a_baseline_learns_from_the_train_part_alone(file, tmp_path):
    document, run = play("baseline:majority", file, tmp_path / "r")
    assert any("fitted on 40 examples" in n for n in document["notes"])
    assert document["n"] == 40
    again, other = play("baseline:majority", file, tmp_path / "s", {"split": "all"})
    assert again["n"] == 80
    assert run.spec.fingerprint == other.spec.fingerprint


def test_leaving_a_domain_out_fits_once_for_each(file, tmp_path):
    document, run = play("baseline:length", file, tmp_path / "r", {"protocol": "lodo"})
    assert any("2 times, each time without what is scored: lodo" in n for n in document["notes"])
    standard, plain = play("baseline:length", file, tmp_path / "s")
    assert run.spec.digest() != plain.spec.digest()
    assert value(document, "brier") != value(standard, "brier")
    assert value(document, "accuracy", domain="forum") is not None


def test_what_is_not_fitted_says_that_the_protocol_changes_nothing(file, tmp_path):
    document, _ = play("rules", file, tmp_path / "r", {"protocol": "lodo"})
    assert "protocol lodo changes nothing for rules: it is not fitted here" in document["notes"]


def test_without_a_train_part_a_baseline_says_what_to_do(tmp_path):
    file = tmp_path / "t.jsonl"
    rows = [s for s in many(30) if s.tags["split"] == "test"]
    file.write_text("".join(s.model_dump_json() + "\n" for s in rows))
    with pytest.raises(UsageError, match=r"none in .*t\.jsonl; give a file .* or --option protocol=folds"):
        prepare(Wish("policyguard", "baseline:tfidf", data=str(file)))
    document, _ = play("baseline:length", str(file), tmp_path / "r", {"protocol": "folds"})
    assert any(f"fitted on {len(rows)} examples" in n for n in document["notes"])


def test_a_chat_model_is_asked_in_both_orders_and_what_it_cannot_say_is_an_error(file, tmp_path):
    document, run = play(f"python:{__name__}:answers", file, tmp_path / "r")
    long = sum(len(s.world["steps"]) > 8 for s in run.read())
    assert document["errors"] == {"judge": long}
    assert long > 0
    said = next(iter(store.finished(tmp_path / "r").values())).answer
    assert [a["first"] for a in orjson.loads(said)["answers"]] == ["violation", "no_violation"]
    assert any("32 cases at once" in n for n in document["notes"])
    assert value(document, "recall", kind="prohibition") > value(document, "recall", kind="ordering")


def test_own_code_that_detects_sees_the_bare_case(file, tmp_path):
    document, _ = play(f"python:{__name__}:detector", file, tmp_path / "r")
    assert document["errors"] == {}
    assert value(document, "recall") == 1.0


def test_a_refusal_is_neither_answer(file, tmp_path):
    document, _ = play("scripted/refuses", file, tmp_path / "r")
    assert document["error_share"] == 1.0
    assert value(document, "accuracy") is None
    assert value(document, "accuracy_over_all") == 0.0


def test_the_words_of_the_prompt_are_part_of_the_runs_identity(file):
    model = f"python:{__name__}:answers"
    one, _ = prepare(Wish("policyguard", model, data=file))
    two, _ = prepare(Wish("policyguard", model, data=file, options={"answer": "confidence"}))
    assert one.spec.fingerprint != two.spec.fingerprint


def test_a_detector_for_another_suite_is_refused():
    with pytest.raises(UsageError, match="rules detects violations in trajectories: suite 'copriva'"):
        prepare(Wish("copriva", "rules", limit=3))


def test_a_run_taken_up_again_ends_with_the_same_numbers(file, tmp_path):
    whole, _ = play("rules", file, tmp_path / "r")
    lines = (tmp_path / "r" / "trajectories.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "r" / "trajectories.jsonl").write_bytes(b"".join(lines[:15]))
    again, _ = play("rules", file, tmp_path / "r")
    timed = {"latency_p50_ms", "latency_p95_ms", "throughput_per_s", "ea_f1"}
    strip = [[m for m in d["metrics"] if m["name"] not in timed] for d in (whole, again)]
    assert strip[0] == strip[1]


def test_judged_again_the_numbers_are_still_those_of_detection(file, tmp_path):
    before, _ = play("rules", file, tmp_path / "r")
    from evalkit.engine import chosen

    bench = chosen.make(["detection"], chosen.JudgeWish())
    path = tmp_path / "r"
    spec = spec_of(path)
    with RunFolder.open(path, spec) as folder:
        after = asyncio.run(rejudge(folder, spec, bench))
    assert after["metrics"] == before["metrics"]
    assert after["measures"] == "detection"


# --- evalkit check


def proved(path, **options):
    scenarios = suites.build("policyguard", options, str(path))
    return asyncio.run(check(scenarios, judges_of(scenarios)))


def test_a_sound_file_proves_itself_whole_and_in_prefixes(file):
    assert proved(file) == (40, [])
    n, findings = proved(file, task="prefix", split="all")
    assert n > 100
    assert findings == []


def broken(tmp_path, change):
    rows = [s for s in many(40) if s.tags["split"] == "test"]
    at = next(i for i, s in enumerate(rows) if s.label and s.tags["onset"] != "end")
    rows[at] = change(rows[at])
    path = tmp_path / "broken.jsonl"
    path.write_text("".join(s.model_dump_json() + "\n" for s in rows))
    return [f.what for f in proved(path)[1]]


def test_a_wrong_label_is_found(tmp_path):
    wrong = broken(tmp_path, lambda s: s.model_copy(update={"label": False, "tags": {**s.tags, "onset": ""}}))
    assert len(wrong) == 1
    assert "and the label is compliant" in wrong[0]


def test_a_wrong_onset_is_found(tmp_path):
    def later(s):
        return s.model_copy(update={"tags": {**s.tags, "onset": str(int(s.tags["onset"]) + 1)}})

    found = broken(tmp_path, later)
    assert any("the onset says" in what or "is none of" in what for what in found)


def test_a_case_that_nobody_could_read_is_found(tmp_path):
    found = broken(tmp_path, lambda s: s.model_copy(update={"world": {**s.world, "events": s.world["events"][:-1]}}))
    assert any("one event for each step" in what for what in found)


def test_one_label_alone_proves_nothing(tmp_path):
    path = tmp_path / "one.jsonl"
    rows = [s for s in many(40) if s.tags["split"] == "test" and not s.label]
    path.write_text("".join(s.model_dump_json() + "\n" for s in rows))
    assert any("are both labels there?" in f.what for f in proved(path)[1])
