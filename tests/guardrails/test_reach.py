"""At which hooks a rule can be broken: what a rule forbids has to be seen where its policy looks."""

import pytest

from evalkit.core.ruletext import parse
from evalkit.guardrails.policyset import HOOKS, GuardPolicy
from evalkit.guardrails.reach import hooks_of
from tests.guardrails.guarding import call as called
from tests.guardrails.guarding import guard, result, said, user


@pytest.mark.parametrize(
    ("rule", "hooks"),
    [
        ({"forbid": {"say": "x"}}, ("output",)),
        ({"forbid": {"say": "x", "by": "*"}}, ("input", "output")),
        ({"forbid": {"say": "x", "by": "user"}}, ("input",)),
        ({"forbid": {"say": "x", "by": "assistant"}}, ("output",)),
        ({"forbid": {"call": "wire"}}, ("tool_call", "tool_result")),
        ({"forbid": {"call": "wire", "result": {"contains": "x"}}}, ("tool_result",)),
        ({"forbid": {"call": "wire", "ok": False}}, ("tool_result",)),
        ({"forbid": {"do": "click"}}, ()),
        ({"forbid": [{"say": "x", "by": "user"}, {"call": "wire"}]}, ("input", "tool_call", "tool_result")),
        ({"require": {"say": "yes", "by": "user"}, "before": {"call": "wire"}}, ("tool_call", "tool_result")),
        ({"limit": {"count": {"call": "wire"}, "max": 2}}, ("tool_call", "tool_result")),
        ({"require": {"call": "notify"}, "after": {"call": "wire"}, "within": "2 turns"}, HOOKS),
    ],
)
def test_the_hooks_are_those_of_what_would_break_it(rule, hooks):
    assert hooks_of(parse(rule, "rule")) == hooks


@pytest.mark.parametrize(
    ("rule", "events"),
    [
        ({"forbid": {"say": "x", "by": "user"}}, [user("x")]),
        ({"forbid": {"say": "x", "by": "assistant"}}, [said("x")]),
        ({"forbid": {"call": "wire"}}, [called("wire", "1")]),
        ({"forbid": {"call": "wire", "result": {"contains": "x"}}}, [called("wire", "1"), result("1", "x")]),
    ],
)
def test_a_guard_that_looks_there_holds_it_back_and_nowhere_else(rule, events):
    where = hooks_of(parse(rule, "rule"))
    for hooks, action in ((where, "block"), (tuple(h for h in HOOKS if h not in where), "allow")):
        session = guard(GuardPolicy(id="p", text="x", rule=rule, hooks=hooks)).start()
        assert [session.check(e).decision.action for e in events][-1] == action
