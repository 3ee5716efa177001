"""The policies file: what it may say, and errors that name file, line and field."""

import pytest

from evalkit.core.errors import ContentError
from evalkit.core.types import Policy
from evalkit.guardrails.policyset import GuardPolicy, load, policy_set

GOOD = """\
guard: {budget_ms: 500, reads: ["get_*"], fail: {output: closed}}
world: {user: mia}
policies:
  - id: own-orders
    text: Show customers their own orders only.
    rule: {forbid: {call: get_order, where: {user: "!=$user"}}}
    hooks: [tool_call]
    action: revise
  - id: calm
    text: Stay polite.
    threshold: 0.7
    unsure: [0.4, 0.7]
    fail: closed
    streaming: buffered
"""


def written(tmp_path, text):
    path = tmp_path / "policies.yaml"
    path.write_text(text)
    return path


def test_a_file_says_what_each_policy_is_and_how_it_is_guarded(tmp_path):
    found = load(written(tmp_path, GOOD))
    assert [p.id for p in found.policies] == ["own-orders", "calm"]
    assert (found.guard.budget_ms, found.guard.fail) == (500, {"output": "closed"})
    assert found.policies[1].hooks == ("output", "tool_call")


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ("action: revise", "action: stop", r"policies\.yaml:8: policies\.0\.action: Input should be 'block'"),
        ("hooks: [tool_call]", "hooks: [tools]", r"policies\.yaml:7: policies\.0\.hooks\.0"),
        ("threshold: 0.7", "threshold: 7", r"policies\.yaml:11: policies\.1\.threshold"),
        ("id: calm", "id: own-orders", "policy 'own-orders' twice"),
        ("unsure: [0.4, 0.7]", "unsure: [0.7, 0.4]", "two probabilities in order"),
        ("text: Stay polite.", "text: ''", "neither text nor rule"),
        ("hooks: [tool_call]", "hooks: []", "has no hook"),
        ("action: revise", "action: ask\n    tools: [x]", None),
        ("hooks: [tool_call]\n    action: revise", "action: ask", "ask is for tool calls"),
        ("hooks: [tool_call]", "hooks: [input]", "only the model can revise"),
        ("action: revise", "redact: ['(']", "is no regular expression"),
        ("world: {user: mia}", "world: {}", r"the rule needs \$user; give it under `world:`"),
        ("forbid: {call", "forbit: {call", r"policies\.yaml: policy 'own-orders': rule: a rule has exactly one of"),
        (
            'forbid: {call: get_order, where: {user: "!=$user"}}',
            "forbid: {say: x, by: user}",
            r"policies\.yaml: policy 'own-orders': its rule can not be broken at tool_call.*write hooks: \[input\]",
        ),
        ("threshold: 0.7", "text: Again.", r"policies\.yaml:11: not YAML: 'text' twice"),
        ("threshold: 0.7", "treshold: 0.7", r"policies\.yaml:11: policies\.1\.treshold: .*did you mean 'threshold'\?"),
        ("reads:", "read:", r"policies\.yaml:1: guard\.read: .*did you mean 'reads'\?"),
        ("budget_ms: 500", "budget: 500", r"policies\.yaml:1: guard\.budget"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, wrong, right, message):
    assert wrong in GOOD
    path = written(tmp_path, GOOD.replace(wrong, right))
    if message is None:
        load(path)
        return
    with pytest.raises(ContentError, match=message):
        load(path)


def test_a_file_of_generate_policies_loads_as_it_is(tmp_path):
    text = """\
document: {path: wiki.md, sha256: abc, title: Wiki}
policies:
  - {id: one, kind: prohibition, quote: "Never refund twice.", category: payment, flow: refunds, challenge: 3,
     source: {source: wiki.md, start: 0, end: 19}, also: []}
"""
    (policy,) = load(written(tmp_path, text)).policies
    assert policy.words == "Never refund twice."


def test_policies_of_a_scenario_are_guarded_all_in_the_same_way():
    rule = {"forbid": {"call": "x"}}
    made = policy_set([Policy(id="a", text="t", kind="limit", rule=rule)], {"user": "mia"}, action="warn")
    assert made.policies == (GuardPolicy(id="a", text="t", kind="limit", rule=rule, action="warn"),)
    assert made.world == {"user": "mia"}
