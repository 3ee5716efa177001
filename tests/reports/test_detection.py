"""Runs of detectors on a terminal and in the page: values in their units, beside them the constant answers."""

import asyncio
import re

import pytest

from evalkit.core.types import Metric
from evalkit.engine import store
from evalkit.engine.prepare import Wish, prepare
from evalkit.engine.store import RunFolder
from evalkit.reports import detection, html, numbers, tables, terminal
from evalkit.reports.book import read
from evalkit.reports.parts import METRICS, detected, detection_outcome
from tests.trajectories import many


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """played(model, **options) -> a run folder; each is played once."""
    folder = tmp_path_factory.mktemp("detectors")
    file, known = folder / "f.jsonl", {}
    file.write_text("".join(s.model_dump_json(exclude_defaults=True) + "\n" for s in many(80)))

    def play(model, **options):
        key = (model, *options.items())
        if key not in known:
            out = folder / f"run-{len(known)}"
            run, _ = prepare(Wish("policyguard", model, data=str(file), options=options, out=out))
            with RunFolder.open(out, run.spec) as f:
                asyncio.run(run.play(f))
            known[key] = out
        return known[key]

    return play


def test_values_are_shown_in_their_units():
    def shown(name, value, low=None, high=None):
        m = Metric(name=name, value=value, low=low, high=high, n=9)
        return numbers.shown(m), numbers.interval(m)

    assert shown("f1", 0.8759, 0.86, 0.89) == ("87.6%", "86.0 to 89.0")
    assert shown("auroc", 0.9321, 0.9, 0.95) == ("0.932", "0.900 to 0.950")
    assert shown("latency_p50_ms", 22.46, 20.0, 30.0) == ("22.5 ms", "20.0 to 30.0")
    assert shown("throughput_per_s", 28926.7) == ("28,927 /s", "–")
    assert shown("ea_f1", 38.93, 5, 0.05) == ("38.9", "5.00 to 0.05")
    assert shown("delay_steps", -1.5) == ("-1.50 steps", "–")
    assert shown("accuracy", None) == ("–", "–")


def test_the_terminal_table_has_the_constant_answers_and_is_narrow(played):
    text = terminal.table(store.summary(played("baseline:tfidf")))
    assert max(map(len, text.splitlines())) <= tables.WIDTH
    row = next(line for line in text.splitlines() if line.startswith("Accuracy "))
    assert len(re.findall(r"\d+\.\d%", row)) == 3  # accuracy, majority, flags all
    for words in ("AUROC", "Calibration error", "EA-F1", "kind of policy", "obligation", "1-5 steps", "forum"):
        assert words in text
    assert "leakage" not in text.lower()


def test_prefixes_are_shown_by_number_in_order(played):
    text = terminal.table(store.summary(played("rules", task="prefix")))
    rows = text[text.index("first N steps") :].splitlines()[1:6]
    assert [row.split()[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert "Caught in time" in text
    assert "0 steps" in text


def test_the_headings_of_the_slices_are_whole_and_no_line_is_too_long(played):
    text = terminal.table(store.summary(played("rules")))
    assert "within or across subdomains " in text
    assert max(map(len, text.splitlines())) <= 100


def test_one_label_alone_is_the_reason_why_nothing_is_ranked():
    def metric(name, value):
        return {"name": name, "value": value, "n": 40, "low": 0.9, "high": 1.0}

    run = tables.Run("", {"metrics": [metric("accuracy", 1.0), metric("base_rate", 1.0)]})
    assert detection.warnings(run) == ["all labels are the same: nothing says how well the two are told apart"]
    run = tables.Run("", {"metrics": [metric("accuracy", 1.0), metric("base_rate", 0.4)]})
    assert "no probability for every example" in detection.warnings(run)[0]


def test_a_constant_detector_is_said_to_be_no_better_than_one(played):
    text = terminal.table(store.summary(played("scripted/flags-all")))
    assert "right no more often than the constant answer" in text
    run = tables.Run("", store.summary(played("rules")))
    assert detection.warnings(run) == []


def test_detectors_are_ranked_by_balanced_accuracy(played):
    runs = [read([played(m)]).runs[0].run for m in ("scripted/flips-label", "rules", "scripted/flags-all")]
    (group,) = tables.groups(runs)
    assert [r.run.model for r in group.rows] == ["rules", "scripted/flags-all", "scripted/flips-label"]
    assert [r.place for r in group.rows] == [1, 2, 3]
    labels = [c.label for c in tables.columns(group)]
    assert "Accuracy, majority answer" in labels
    assert not [label for label in labels if "eakage" in label]
    said = detection.in_words(group)
    assert "rules is right on 100.0% of 40 examples (F1 100.0%)" in said
    assert "a constant answer is right on" in said


def test_the_parts_of_all_samples_add_up_to_the_rates(played):
    path = played("baseline:tfidf")
    sums = {name: [0, 0] for name in ("accuracy", "recall", "false_alarm_rate")}
    for record in store.records(path):
        for name, part in zip(METRICS, detected(record), strict=True):
            if part is not None:
                sums[name][0] += part[0]
                sums[name][1] += part[1]
    run = tables.Run("", store.summary(path))
    for name, (hits, n) in sums.items():
        assert hits / n == pytest.approx(run.metric(name).value), name
        assert n == run.metric(name).n


def test_every_answer_has_a_word(played):
    words = {detection_outcome(r) for r in store.records(played("scripted/flips-label"))}
    assert words == {"missed", "false alarm"}
    assert {detection_outcome(r) for r in store.records(played("rules"))} == {"caught", "passed"}
    assert {detection_outcome(r) for r in store.records(played("scripted/refuses"))} == {"error"}


def test_the_page_speaks_of_detection_and_lists_what_can_be_listed(played):
    text = html.page(read([played("rules"), played("baseline:tfidf")]))
    assert "By balanced accuracy, highest first" in text
    assert "Low leakage alone is no merit" not in text
    assert "By kind of policy" in text
    assert "By domain" in text
    assert "#list=accuracy&amp;run=" in text
    assert "#list=auroc" not in text
    assert "#list=accuracy&amp;run=" in text
    assert re.search(r"#list=accuracy&amp;run=\w+&amp;domain=forum", text), (
        "the list can be filtered by any slice of scenarios"
    )
    assert "baseline=majority" not in text, "no sample has a part in what a constant answer reaches"
    assert "expected calibration error" in text
    assert "share of attack answers" not in text


def test_a_page_over_detectors_and_other_runs_explains_both(played, make_run, tmp_path):
    text = html.page(read([played("rules"), make_run("a")]))
    assert "share of attack answers that told" in text
    assert "mean of the shares said right" in text
    assert "Low leakage alone is no merit" in text


def test_a_summary_of_a_detector_that_was_lost_is_counted_anew(played):
    path = played("scripted/knows-label")
    saved = (path / "summary.json").read_bytes()
    (path / "summary.json").unlink()
    try:
        run = read([path]).runs[0].run
    finally:
        (path / "summary.json").write_bytes(saved)
    assert run.detects
    assert run.metric("accuracy").value == 1.0


@pytest.fixture
def page(played, tmp_path):
    """Three runs, of which one is of prefixes and stands in a table of its own."""
    return html.write(
        [played("rules"), played("scripted/flags-all"), played("rules", task="prefix")], tmp_path / "r.html"
    )


async def test_no_table_is_wider_than_the_page_on_any_screen(page, browser):
    async with browser() as tab:
        for width in (1400, 1000, 390):
            await tab.size(width, 900, mobile=width < 500)
            await tab.open(page.as_uri())
            assert await tab.js("document.documentElement.scrollWidth <= innerWidth"), width
        assert tab.logged == []
