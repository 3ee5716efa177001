"""The monitor says what the reference evaluator says, after every event; and it is final when it says so."""

from hypothesis import HealthCheck, event, given, settings
from tests.core.rulegen import WORLD, rules, traces

from evalkit.core import semantics
from evalkit.core.monitor import MonitorSet, compile_rule
from evalkit.core.ruletext import parse

FINAL = {"violated", "satisfied"}
many = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@many
@given(rules(), traces())
def test_monitor_and_reference_agree_after_every_event(mapping, trace):
    rule = parse(mapping)
    program = compile_rule(rule)
    expected = semantics.evaluate(rule, trace, WORLD)
    event(f"{type(rule.form).__name__} {'each ' if rule.variables else ''}{expected.verdict}")
    monitor = program.start(WORLD)
    found = [(monitor.status, monitor.evidence, monitor.end())]
    for e in trace:
        assert monitor.step(e) == monitor.status
        found.append((monitor.status, monitor.evidence, monitor.end()))
    assert found == [(s.status, s.evidence, semantics.ending(s)) for s in expected.states]
