"""Rows that have drifted in every way hypothesis thinks of: read, counted or refused by name, never a traceback."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.benchmarks.detection import detection, recorded
from evalkit.benchmarks.sources.reading import reading
from evalkit.core.errors import ContentError
from evalkit.core.examples import Example
from evalkit.core.types import Scenario
from tests.benchmarks.sources import published
from tests.benchmarks.sources.published import write, write_tau2

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["{'a': 1}", "N/A", "Final Answer: x", "; Step 2: y", "\nDomain: z", "Label: 2", "{{context}}"]),
    st.just([]),
    st.just({}),
    st.just([[]]),
    st.just({"role": "user"}),
)


def places(value, at=()):
    """Every place in a row: the keys on the way to each field and item."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from places(inner, (*at, key))


@st.composite
def drifted(draw, row):
    """The row with one to three fields dropped, doubled or replaced."""
    found = copy.deepcopy(row)
    for _ in range(draw(st.integers(1, 3))):
        open_places = list(places(found))
        if not open_places:
            break
        *way, last = draw(st.sampled_from(open_places))
        at = found
        for key in way:
            at = at[key]
        match draw(st.sampled_from(["drop", "replace", "double"])):
            case "drop":
                del at[last]
            case "double" if isinstance(at, list):
                at.insert(last, copy.deepcopy(at[last]))
            case _:
                at[last] = copy.deepcopy(draw(JUNK))  # a later change must not reach the strategy
    return found


def survives(name, where, rows):
    found = reading(name, str(where))
    examples, refused = attempt(lambda: list(found))
    if examples is None:
        assert str(where) in refused
        return
    assert found.read == len(examples) >= 1
    assert found.read + sum(found.left_out.values()) >= min(rows, 1)
    for e in examples:
        assert Example.model_validate_json(e.model_dump_json()) == e
        s = detection(e)
        assert Scenario.model_validate_json(s.model_dump_json()) == s
        judged, refused = attempt(lambda e=e: recorded(e))
        assert judged is not None or e.id in refused


def attempt(make):
    """What is made, or None and the message that is for the user; anything else that is raised is a bug."""
    try:
        return make(), ""
    except ContentError as e:
        return None, str(e)


@pytest.mark.parametrize("name", published.ROWS)
def test_a_drifted_row_is_read_counted_or_refused(name, tmp_path):
    row = published.ROWS[name]()

    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(drifted(row))
    def check(odd):
        survives(name, write(tmp_path, name, row, odd), 2)

    check()


def test_a_drifted_task_of_tau2bench_is_read_counted_or_refused(tmp_path):
    row = published.tau2_task()

    @settings(max_examples=40)
    @given(drifted(row))
    def check(odd):
        survives("tau2bench", write_tau2(tmp_path, row, odd), 2)

    check()


def test_drifted_results_of_tau2bench_are_read_counted_or_refused(tmp_path):
    path = tmp_path / "run.json"

    @settings(max_examples=40)
    @given(drifted(published.tau2_results()))
    def check(odd):
        path.write_text(json.dumps(odd))
        survives("tau2bench", path, 0)

    check()
