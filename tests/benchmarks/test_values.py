"""Constraints over columns: what is drawn meets them, what meets both meets each, and contradictions are told."""

import random
from datetime import datetime

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evalkit.benchmarks import values
from evalkit.benchmarks.filling import FILTERS, check_filters, fill, references
from evalkit.benchmarks.scene import Scene
from evalkit.benchmarks.values import Contradiction, Draw
from evalkit.core.errors import ContentError

NOW = datetime(2026, 3, 10, 9, 0)  # noqa: DTZ001 - worlds have no time zone


def dice(seed=0):
    names = {"first": ("Ada", "Bo"), "last": ("Keller", "Dahl")}
    return Draw(random.Random(seed), NOW, names, lambda name: ["AMS", "LIS"])


def parse(raw):
    return values.parse(raw, "here")


def draw(raw, seed=0):
    return Scene(dice(seed), {}, free={"x": parse(raw)}).value("x")


numbers = st.tuples(st.integers(-50, 50), st.integers(0, 60), st.integers(1, 7)).map(
    lambda t: {"between": [t[0], t[0] + t[1]], "step": t[2]}
)
choices = st.lists(st.integers(-50, 60), min_size=1, max_size=6)
times = st.tuples(st.integers(-40, 40), st.integers(0, 40)).map(
    lambda t: {"time": [f"{t[0]:+d}h", f"{t[0] + t[1]:+d}h"]}
)
days = st.tuples(st.integers(-40, 40), st.integers(0, 40)).map(
    lambda t: {"date": [f"{t[0]:+d}d", f"{t[0] + t[1]:+d}d"]}
)


@settings(max_examples=60)
@given(st.one_of(numbers, choices, times, days), st.integers(0, 1000))
def test_what_is_drawn_meets_the_constraint(raw, seed):
    c = parse(raw)
    assert values.holds(c, draw(raw, seed), NOW, lambda name: None)


@settings(max_examples=60)
@given(st.one_of(numbers, choices), st.one_of(numbers, choices), st.integers(0, 1000))
def test_what_meets_both_meets_each(one, other, seed):
    a, b = parse(one), parse(other)
    try:
        met = values.both(a, b)
    except Contradiction:
        possible = [v for v in range(-60, 120) if values.holds(a, v, NOW, str) and values.holds(b, v, NOW, str)]
        assert not possible or "step" in str(one) + str(other)
        return
    value = Scene(dice(seed), {}, free={}).fill(values.draw(met, dice(seed), str, str))
    assert values.holds(a, value, NOW, str)
    assert values.holds(b, value, NOW, str)


@settings(max_examples=40)
@given(times, times, st.integers(0, 1000))
def test_spans_of_time_meet_in_the_middle(one, other, seed):
    a, b = parse(one), parse(other)
    assume(max(a.span[0], b.span[0]) <= min(a.span[1], b.span[1]))
    value = values.draw(values.both(a, b), dice(seed), str, str)
    assert values.holds(a, value, NOW, str)
    assert values.holds(b, value, NOW, str)


def test_the_same_seed_draws_the_same():
    for raw in ({"between": [0, 10**6]}, {"code": "@@##**"}, {"person": "full"}, {"time": ["-99d", "+99d"]}):
        assert draw(raw, 7) == draw(raw, 7)
        assert len({draw(raw, seed) for seed in range(20)}) > 1


def test_each_form_gives_what_it_says():
    assert draw(3) == 3
    assert draw(None) is None
    assert draw([5]) == 5
    assert draw({"between": [10, 30], "step": 20}) in (10, 30)
    assert draw({"pick": "airports.code"}) in ("AMS", "LIS")
    assert draw({"person": "first"}) in ("Ada", "Bo")
    assert draw({"usually": 0}) == 0
    assert draw({"between": [1, 2], "not": 1}) == 2
    assert draw({"date": ["0", "0"]}) == "2026-03-10"
    assert draw({"time": ["+2h", "+2h"]}) == "2026-03-10T11:00"
    assert draw({"time": ["+1d2h", "+1d2h"]}) == "2026-03-11T11:00"


def test_codes_are_never_used_twice():
    d = dice()
    scene = Scene(d, {f"r{i}": {"id": parse({"code": "T#"})} for i in range(10)})
    assert len({scene.value(f"r{i}.id") for i in range(10)}) == 10
    with pytest.raises(Contradiction, match="no unused code"):
        Scene(d, {"more": {"id": parse({"code": "T#"})}})


def test_a_more_specific_constraint_replaces_a_source_and_narrows_a_set():
    assert values.meet(parse({"usually": "scheduled"}), parse("delayed")).choices == ("delayed",)
    assert values.meet(parse({"same": "a.id"}), parse({"same": "b.id"})).what == "b.id"
    assert values.meet(parse([1, 2, 3]), parse([2, 3, 4])).choices == (2, 3)
    with pytest.raises(Contradiction):
        values.meet(parse([1, 2]), parse([3]))
    with pytest.raises(Contradiction):
        values.both(parse({"same": "a.id"}), parse({"same": "b.id"}))
    with pytest.raises(Contradiction):
        values.both(parse({"time": ["+1h", "+2h"]}), parse({"time": ["+3d", "+4d"]}))


def test_steps_of_two_ranges_meet_on_the_coarser_grid():
    met = values.both(parse({"between": [100, 200], "step": 20}), parse({"between": [150, 190]}))
    drawn = {values.draw(met, dice(seed), str, str) for seed in range(40)}
    assert drawn == {160, 180}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ([], "an empty list"),
        ({"betwen": [1, 2]}, "no constraint 'betwen'"),
        ({"between": [2, 1]}, "no two numbers in order"),
        ({"between": 3}, "a lower and an upper bound"),
        ({"time": ["soon", "+2h"]}, "'soon' is no length of time"),
        ({"time": ["+2h", "+1h"]}, "is later than"),
        ({"same": "a.b", "pick": "c.d"}, "one constraint at a time"),
        ({"step": 2}, "one constraint at a time"),
    ],
)
def test_a_wrong_constraint_names_its_place(raw, words):
    with pytest.raises(ContentError, match=words) as e:
        parse(raw)
    assert str(e.value).startswith("here: ")


def test_only_excluded_values_left_is_a_contradiction():
    with pytest.raises(Contradiction, match="only excluded"):
        draw({"between": [1, 1], "not": [1]})


def test_rows_refer_to_each_other_in_any_order():
    rows = {
        "booking": {"flight": parse({"same": "flight.id"}),
                    "label": parse({"text": "{flight} for {traveller.name|first}"})},
        "flight": {"id": parse({"code": "TN####"}), "lands": parse({"time": ["+2h", "+2h"], "from": "leaves"}),
                   "leaves": parse({"time": ["+1h", "+1h"]})},
        "traveller": {"name": parse({"person": "full"})},
    }  # fmt: skip
    scene = Scene(dice(), rows, lets={"double": "2 * :wanted", "more": ":double + 1"}, free={"wanted": parse([4])})
    assert scene.value("booking.flight") == scene.value("flight.id")
    assert scene.value("booking.label").startswith(scene.value("flight.id"))
    assert scene.value("flight.lands") == "2026-03-10T12:00"
    assert (scene.value("double"), scene.value("more")) == (8, 9)
    assert scene.unmet() == []


def test_a_circle_and_an_unknown_name_are_told():
    with pytest.raises(ContentError, match="made of itself"):
        Scene(dice(), {"a": {"x": parse({"same": "a.y"}), "y": parse({"same": "a.x"})}})
    with pytest.raises(ContentError, match=r"nothing says what b\.x is"):
        Scene(dice(), {"a": {"x": parse({"same": "b.x"})}})
    with pytest.raises(ContentError, match="let fee"):
        Scene(dice(), {}, lets={"fee": "nonsense("})


def test_an_expression_cannot_reach_any_table_or_file():
    for expression in ("SELECT name FROM sqlite_master", "load_extension('x')", "writefile('/tmp/x', 'y')"):
        with pytest.raises(ContentError):
            Scene(dice(), {}, lets={"x": f"({expression})"})


def test_templates_keep_types_and_fill_nested_values():
    found = {"a.n": 3, "name": "Ada Keller", "fee": 1045, "day": "2026-03-05T07:05"}
    filled = fill({"n": "{a.n}", "list": ["{name|last}", {"k{a.n}": "x{a.n}"}], "b": True}, found.__getitem__)
    assert filled == {"n": 3, "list": ["Keller", {"k3": "x3"}], "b": True}
    assert fill("{fee|money} on {day|date} at {day|time}", found.__getitem__) == (
        "1,045 euros on 5 March 2026 at 07:05 on 5 March"
    )
    assert fill("{{not}} {0} \\d{4} {name|slug}{name|typo}", found.__getitem__) == (
        "{not} {0} \\d{4} ada.kellerAda Kellerr"
    )
    assert list(references({"x": "{a.n}", "{name}": ["{fee|money}"]})) == [
        ("a.n", None), ("name", None), ("fee", "money")]  # fmt: skip


def test_a_filter_that_does_not_exist_is_told():
    with pytest.raises(ContentError, match="no filter 'monney'"):
        check_filters("{fee|monney}", "here")
    assert {"money", "date", "last3", "last9"} <= set(FILTERS)
