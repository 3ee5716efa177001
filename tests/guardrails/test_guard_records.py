"""What a guard leaves behind: lines of a log, numbers, spans; none of them holds text of a conversation."""

import json
from types import SimpleNamespace

import pytest

from evalkit.core.errors import MissingDependency, StoreError
from evalkit.guardrails.actions import refusal, revision
from evalkit.guardrails.decisionlog import DecisionLog
from evalkit.guardrails.metrics import Metrics
from evalkit.guardrails.tracing import Tracing
from tests.guardrails.guarding import LIMIT, MAGIC, POLITE, SECRET, Raises, call, guard, said, user
from tests.guardrails.test_proxy import asks, post
from tests.guardrails.upstreams import Model, completion, served


def test_a_line_says_who_decided_what_and_holds_no_text(tmp_path):
    path = tmp_path / "deep" / "decisions.jsonl"
    log = DecisionLog(path, clock=lambda: 1000.5)
    g = guard(MAGIC, LIMIT).with_logs(log)
    g.check(said("fine"))
    g.check(said("Well, abracadabra."), [user("hello")])
    g.check(call("refund", amount=900))
    log.close()
    first, second = map(json.loads, path.read_text().splitlines())
    assert "abracadabra" not in path.read_text()
    assert (first["time"], first["role"], first["characters"], first["action"], first["policy"]) == (
        1000.5, "assistant", 18, "block", "magic",
    )  # fmt: skip
    assert first["findings"][0]["spans"] == [[1, 0, 18]]
    assert first["latency_ms"] >= 0
    assert second["calls"] == ["refund"]
    assert "900" not in json.dumps({**second, "latency_ms": 0})


def test_what_a_scorer_says_of_it_is_in_no_line_and_no_reason(tmp_path):
    class Quotes:
        def tells(self, policy, answer, context):
            return SimpleNamespace(probability=1.0, evidence=[(0, 4)], reason="as in 'the launch is in may'")

    log = DecisionLog(tmp_path / "d.jsonl")
    ruling = guard(SECRET, disclosure=Quotes()).with_logs(log).examine(said("In may."))
    log.close()
    assert ruling.findings[0].detail == "as in 'the launch is in may'"
    for text in ((tmp_path / "d.jsonl").read_text(), ruling.decision.reason, refusal(ruling), revision(ruling)):
        assert "in may" not in text.casefold()


def test_every_ruling_is_written_where_that_was_asked_for(tmp_path):
    log = DecisionLog(tmp_path / "d.jsonl", every=True)
    guard(MAGIC).with_logs(log).check(said("fine"))
    log.close()
    assert json.loads((tmp_path / "d.jsonl").read_text())["action"] == "allow"


def test_what_nobody_could_tell_is_in_the_lines_and_the_numbers(tmp_path):
    class Blind:
        def assess(self, policy, steps):
            return SimpleNamespace(probability=0.0, unread=True)

    log, metrics = DecisionLog(tmp_path / "d.jsonl", every=True), Metrics()
    g = guard(POLITE, scorer=Blind()).with_logs(log, metrics)
    g.check(said("hm"))
    log.close()
    assert json.loads((tmp_path / "d.jsonl").read_text())["untold"] == ["polite"]
    assert 'evalkit_guard_untold_total{hook="output",policy="polite"} 1.0' in metrics.text(g).decode()


def test_a_log_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"file/decisions\.jsonl"):
        DecisionLog(tmp_path / "file" / "decisions.jsonl")


def test_failures_are_counted_apart():
    metrics = Metrics()
    g = guard(POLITE, scorer=Raises()).with_logs(metrics)
    g.check(said("x"))
    text = metrics.text(g).decode()
    assert 'evalkit_guard_findings_total{action="allow",failed="True",hook="output",policy="polite"' in text
    assert 'evalkit_guard_events_total{action="allow",hook="output"} 1.0' in text
    assert "evalkit_guard_seconds_count" in text
    assert "evalkit_guard_breaker_open 0.0" in text


def test_what_had_no_order_is_a_failure_in_the_log_and_the_numbers_and_its_value_is_in_neither(tmp_path, caplog):
    log, metrics = DecisionLog(tmp_path / "d.jsonl"), Metrics()
    g = guard(LIMIT).with_logs(log, metrics)
    decision = g.check(call("refund", amount="nine hundred"))
    log.close()
    assert "amount is 'nine hundred'" in decision.reason, "who made the call may know"
    line = json.loads((tmp_path / "d.jsonl").read_text())
    assert (line["action"], line["failed"], line["findings"][0]["stage"]) == ("block", True, "failure")
    assert "compares 'amount' of refund(...) with a number" in line["findings"][0]["reason"]
    numbers = metrics.text(g).decode()
    assert 'action="block",failed="True",hook="tool_call",policy="limit",shadow="False",stage="failure"' in numbers
    assert "compares 'amount'" in caplog.text
    for kept in (json.dumps(line), numbers, caplog.text):
        assert "nine" not in kept


async def test_a_request_is_a_span_with_its_rulings():
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="the extra `otel`")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with served(guard(MAGIC), Model(completion("abracadabra")), tracing=Tracing(provider)) as url:
        await post(url, messages=asks("hello there"))
    (span,) = exporter.get_finished_spans()
    assert span.name == "guard /v1/chat/completions"
    assert [(e.attributes["evalkit.role"], e.attributes["evalkit.action"]) for e in span.events] == [
        ("user", "allow"), ("assistant", "block"),
    ]  # fmt: skip
    assert "abracadabra" not in span.to_json()
    assert "hello" not in span.to_json()


@pytest.mark.parametrize(("module", "make"), [("prometheus_client", Metrics), ("opentelemetry", Tracing)])
def test_what_is_not_installed_is_named_with_its_extra(module, make, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependency, match=r"evalkit-safety\["):
        make()
