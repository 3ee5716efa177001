"""A rule that is written wrongly is said where, and what would be right; shorthands mean what their long forms mean."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.core.errors import ContentError
from evalkit.core.rules import Act, Condition, Forbid, Limit, Precede, Ref, Require, Respond, Together, Within, parts
from evalkit.core.ruletext import parse
from tests.core.rulegen import rules

A, B, C = {"call": "a"}, {"call": "b"}, {"call": "c"}


def the_condition(raw):
    return parse({"forbid": {"call": "a", "where": {"x": raw}}}).form.act[0].where[0]


@pytest.mark.parametrize(
    ("raw", "op", "operand"),
    [
        (200, "=", 200),
        ("CH", "=", "CH"),
        (">200", ">", "200"),
        ("<= 5", "<=", "5"),
        ("!=CH", "!=", "CH"),
        ("!CH", "!=", "CH"),
        ("=>5", "=", ">5"),
        ("CH*", "glob", "CH*"),
        (["a", 1], "in", ("a", 1)),
        ("$user", "=", Ref("user")),
        ("!=$user", "!=", Ref("user")),
        (">$limit", ">", Ref("limit")),
        ({"in": "$allowed"}, "in", Ref("allowed")),
        ("$5", "=", "$5"),
        ({"=": ">5"}, "=", ">5"),
        ({"matches": "^a.c$"}, "matches", "^a.c$"),
        ({"exists": False}, "exists", False),
        (">=2026-01-31", ">=", "2026-01-31"),
    ],
)
def test_conditions_in_short(raw, op, operand):
    assert the_condition(raw) == Condition(("arguments", "x"), op, operand)


def test_paths_begin_at_the_arguments_unless_they_say_otherwise():
    where = {"a.b": 1, "result.total": 1, "target": "x", "text": "y", "arguments.target": "z", "result": 3}
    found = parse({"forbid": {"call": "a", "where": where}}).form.act[0].where
    assert [c.path for c in found] == [
        ("arguments", "a", "b"),
        ("result", "total"),
        ("target",),
        ("text",),
        ("arguments", "target"),
        ("result", "*"),
    ]


def test_every_form_has_its_record():
    a, b, c = ((Act("call", (name,)),) for name in "abc")
    cases = [
        ({"forbid": A}, Forbid(a)),
        ({"forbid": A, "after": B, "until": C, "within": 2}, Forbid(a, b, c, Within(2))),
        ({"when": B, "then": {"forbid": A}}, Forbid(a, b)),
        ({"require": A, "within": "3 turns"}, Require(a, Within(3, "turns"))),
        ({"require": A, "before": B, "since": C, "each": True}, Precede(a, b, c, None, True)),
        ({"require": A, "after": B, "unless": C, "within": {"steps": 4}}, Respond(b, a, c, Within(4))),
        ({"when": B, "then": {"require": A}}, Respond(b, a)),
        ({"require": A, "after": B, "before": C}, Forbid(c, b, a)),
        ({"limit": {"count": A, "max": 2}, "reset": B}, Limit(a, "count", None, 2, reset=b)),
        (
            {"limit": {"sum": "x", "of": A, "below": 2.5, "per": "result.y"}},
            Limit(a, "sum", ("arguments", "x"), 2.5, True, None, ("result", "y")),
        ),
        (
            {"when": B, "then": {"limit": {"distinct": "x", "of": A, "max": 1}, "until": C}},
            Limit(a, "distinct", ("arguments", "x"), 1, after=b, reset=c),
        ),
        ({"all": [{"forbid": A}, {"require": B}]}, Together((Forbid(a), Require(b)))),
        ({"when": C, "then": [{"forbid": A}, {"require": B}]}, Together((Forbid(a, c), Respond(c, b)))),
    ]
    for mapping, form in cases:
        assert parse(mapping).form == form, mapping


KINDS = [
    ({"forbid": A}, "prohibition"),
    ({"require": A}, "obligation"),
    ({"require": A, "before": B}, "ordering"),
    ({"when": A, "then": {"forbid": B}}, "conditional"),
    ({"when": A, "then": {"require": B}}, "conditional"),
    ({"limit": {"count": A, "max": 1}}, "limit"),
    ({"tags": {"t": {"from": A}}, "forbid": {"call": "b", "carries": "t"}}, "non_disclosure"),
    ({"all": [{"forbid": A}, {"forbid": B}]}, "prohibition"),
    ({"all": [{"forbid": A}, {"require": B}]}, "conditional"),
]


@pytest.mark.parametrize(("mapping", "kind"), KINDS)
def test_a_rule_knows_the_kind_of_its_policy(mapping, kind):
    assert parse(mapping).kind == kind


def test_a_rule_knows_the_values_of_the_world_that_it_needs():
    mapping = {
        "for_each": {"k": "x"},
        "require": {"call": "a", "where": {"x": "$k", "y": "$user"}},
        "before": {"call": "b", "where": {"x": "$k"}, "not": {"where": {"z": "$limit"}}},
    }
    assert parse(mapping).world_names == {"user", "limit"}


def x(raw):
    return {"forbid": {"call": "a", "where": {"x": raw}}}


WRONG = [
    ([], "rule: a mapping"),
    ({}, "exactly one of forbid, require, limit, all, when; here none"),
    ({"forbid": A, "require": B}, "here forbid and require"),
    ({"forbid": A, "untill": B}, "no key 'untill' here; did you mean 'until'"),
    ({"forbid": {"cal": "x"}}, r"rule.forbid: a pattern has exactly one of call, do, say \(there is: cal\)"),
    ({"forbid": {"call": "a", "were": {}}}, "no key 'were' beside call; did you mean 'where'"),
    ({"forbid": []}, "this list is empty"),
    ({"forbid": [A, {"call": 3}]}, r"rule.forbid\[1\].call: text, or a list of texts"),
    ({"forbid": {"do": "click", True: "x"}}, "no key 'True' beside do"),
    ({"forbid": {"say": "?!"}}, r"rule.forbid.say: '\?!' has no words"),
    ({"forbid": {**A, "ok": "maybe"}}, "rule.forbid.ok: true"),
    ({"forbid": {**A, "not": {"not": {}}}}, "does not stand in a not"),
    (x({">": "many"}), "compares numbers and dates"),
    (x({"~": 1}), "no operator '~'"),
    (x({"contain": 1}), "did you mean 'contains'"),
    (x({}), "an operator is missing"),
    (x({"in": []}), "in takes a list"),
    (x({"in": "abc"}), "in takes a list"),
    (x([[1]]), "in takes a list"),
    (x({"exists": "yes"}), "exists: true or false"),
    (x({"matches": "("}), "no regular expression"),
    (x({"carries": "secret"}), r"no tag 'secret' \(there are: none\)"),
    (x(None), "takes one value"),
    ({"forbid": {"call": "a", "where": {"x..y": 1}}}, "no path"),
    ({"forbid": A, "within": 0}, "a number of steps or turns"),
    ({"forbid": A, "within": "2 days"}, "a number of steps or turns"),
    ({"forbid": A, "within": True}, "a number of steps or turns"),
    ({"require": A, "since": B}, "belongs to a require with before"),
    ({"require": A, "before": B, "unless": C}, "belongs to a require with after"),
    ({"require": A, "after": B, "before": C, "within": 3}, "before is the deadline"),
    ({"require": A, "before": B, "each": 1}, "rule.each: true or false"),
    ({"when": A}, "when needs then"),
    ({"when": A, "then": {"forbid": B, "after": C}}, "rule.then: after, when and all do not stand in then"),
    ({"when": A, "then": []}, "a rule, or a list"),
    ({"when": A, "then": [{"forbid": B}, {"forbid": 3}]}, r"rule.then\[1\].forbid: a mapping"),
    ({"limit": {"count": A}}, "needs max, below or min"),
    ({"limit": {"sum": "x", "max": 3}}, "with of: PATTERN"),
    ({"limit": {"count": A, "of": B, "max": 3}}, "with of: PATTERN"),
    ({"limit": {"count": A, "sum": "x", "max": 3}}, "exactly one of count"),
    ({"limit": {"count": A, "max": "3"}}, "rule.limit.max: a number"),
    ({"limit": {"count": A, "max": float("nan")}}, "rule.limit.max: a number"),
    ({"limit": {"count": A, "max": 1, "below": 2}}, "max or below, not both"),
    ({"limit": {"count": A, "min": 1, "within": 2}}, "is judged at the end"),
    ({"limit": {"count": A, "max": 1}, "until": B}, "it is reset that starts the count anew"),
    ({"all": [{"forbid": A}]}, "at least two rules"),
    ({"all": [{"forbid": A}, {"tags": {}, "forbid": B}]}, r"rule.all\[1\]: no key 'tags'"),
    ({"for_each": {}, "forbid": A}, "is empty"),
    ({"for_each": {"k": "x"}, "forbid": A}, r"no pattern names \$k"),
    ({"for_each": {"a b": "x"}, "forbid": A}, "no name of a variable"),
    ({"for_each": {"k": "x"}, **x("!=$k")}, "only compared with =, not with !="),
    ({"for_each": {"k": "x", "m": "y"}, **x("$k")}, "names all variables of for_each or none"),
    ({"for_each": {"k": "x"}, "within": 3, **x("$k")}, "from where would it run"),
    (
        {"for_each": {"k": "x"}, "forbid": {"call": "a", "where": {"x": "$k"}, "not": {"where": {"y": "$k"}}}},
        "in a not",
    ),
    ({"tags": {"t": {"from": A}}, "forbid": B}, "nothing carries 't'"),
    ({"tags": {"t": {"read": "x"}}, "forbid": {**B, "carries": "t"}}, "needs from"),
    ({"tags": {"t": {"from": A, "rad": "x"}}, "forbid": {**B, "carries": "t"}}, "did you mean 'read'"),
]


@pytest.mark.parametrize(("mapping", "why"), WRONG, ids=range(len(WRONG)))
def test_a_mistake_is_said_with_its_place(mapping, why):
    with pytest.raises(ContentError, match=why):
        parse(mapping)


def test_the_place_begins_with_the_file():
    with pytest.raises(ContentError, match=r"^shop.yaml: p7.then.forbid: a pattern"):
        parse({"when": A, "then": {"forbid": {}}}, "shop.yaml: p7")


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(["a", "$k", ">3", "call", "*", "x.y", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "forbid",
                    "require",
                    "limit",
                    "all",
                    "when",
                    "then",
                    "call",
                    "do",
                    "say",
                    "where",
                    "x",
                    "not",
                    "count",
                    "sum",
                    "of",
                    "max",
                    "within",
                    "for_each",
                    "tags",
                    "from",
                    "carries",
                    "result",
                    "before",
                    ">",
                    "in",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=14,
)


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(json_like)
def test_whatever_is_written_is_a_rule_or_an_error_of_ours(raw):
    said = "rule"
    try:
        parse(raw)
    except ContentError as e:
        said = str(e)
    assert said.startswith("rule")


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rules())
def test_a_parsed_rule_keeps_its_mapping_and_parses_to_itself(mapping):
    rule = parse(mapping)
    assert parse(rule.source) == rule
    assert hash(rule.form) == hash(parse(mapping).form)
    assert 1 <= len(parts(rule.form)) <= 3
