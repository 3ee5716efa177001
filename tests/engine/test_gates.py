"""Gates: parsed strictly, decided on the right slice, never passed on a number that was not measured."""

import pytest

from evalkit.core.errors import UsageError
from evalkit.core.types import Metric
from evalkit.engine.gates import Gate
from evalkit.engine.paired import Row

METRICS = [
    Metric(name="leakage_rate", value=0.06, low=0.04, high=0.09, n=400),
    Metric(name="leakage_rate", slice={"attack": "direct"}, value=0.02, low=0.01, high=0.04, n=200),
    Metric(name="utility", value=None, n=0, errors=12),
]


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("leakage_rate>0.05", True),
        ("leakage_rate>5%", True),
        ("leakage_rate > 0.06", False),
        ("leakage_rate>=0.06", True),
        ("leakage_rate[attack=direct]>0.05", False),
        ("leakage_rate<0.5", True),
        ("utility<0.5", True),  # not measured: cannot be vouched for
        ("leakage_rate[attack=indirect]>0.9", True),
        ("leakage_rate.high>0.08", True),  # the whole interval has to be below
        ("leakage_rate.low>0.05", False),
        ("leakage_rate.n<500", True),
        ("utility.errors>10", True),
        ("utility.high>0.1", True),
        ("leakage_rate>0.05 and leakage_rate.n>=400", True),
        ("leakage_rate>0.05 and leakage_rate.n>400", False),
        ("utility<0.5 and leakage_rate>0.9", False),  # whatever utility is, both cannot hold
        ("utility<0.5 and leakage_rate>0.01", True),
    ],
)
def test_a_gate_fails_when_it_holds_or_cannot_be_measured(text, fails):
    assert (Gate.parse(text).failed(METRICS) is not None) is fails


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("utility<0.5", "utility<0.5: not measured"),
        (
            "leakage_rate[attack=drect]>1",
            "leakage_rate[attack=drect]>1: not measured for attack=drect (it is for attack=direct)",
        ),
        (
            "leakage_rate[attak=direct]>1",
            "leakage_rate[attak=direct]>1: not measured for attak=direct (it is for attack=..., the whole)",
        ),
    ],
)
def test_a_gate_on_a_slice_that_was_not_measured_says_which_were(text, why):
    assert Gate.parse(text).failed(METRICS) == why


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("leakage>0.05", "did you mean 'leakage_rate'"),
        ("leakage_rate", "write a metric, a comparison and a number"),
        ("leakage_rate=0.1", "write a metric"),
        ("leakage_rate>1e", "is not a number"),
        ("leakage_rate[direct]>1", "key=value"),
        ("leakage_rate.diff>1", "has no .diff .there are: .low, .high"),
        ("leakage_rate>0.1 and", "write a metric"),
    ],
)
def test_a_wrong_gate_says_what_is_right(text, message):
    with pytest.raises(UsageError, match=message):
        Gate.parse(text)


WORSE = Row(
    name="leakage_rate", slice={}, a=0.1, b=0.15, diff=0.05, low=0.01, high=0.09, p=0.01, test="", n=200, families=40,
    a_only=2, b_only=12, p_adjusted=0.06,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("leakage_rate.diff>0.02", True),
        ("leakage_rate.diff.low>0.02", False),
        ("leakage_rate.diff.high>8%", True),  # not shown to be non-inferior by this margin
        ("leakage_rate.p<0.05", True),
        ("leakage_rate.diff>0 and leakage_rate.p_adjusted<0.05", False),
        ("leakage_rate.b>0.12", True),
        ("leakage_rate.families<30", False),
        ("utility.diff.low<-0.05", True),  # not in the comparison
        ("leakage_rate[attack=direct].diff>0.5", True),
    ],
)
def test_a_gate_on_a_comparison_names_a_part_of_the_difference(text, fails):
    assert (Gate.parse(text, comparison=True).failed([WORSE]) is not None) is fails


def test_a_gate_on_a_comparison_says_what_it_found():
    said = Gate.parse("leakage_rate.diff>0.02", comparison=True).failed([WORSE])
    assert said == "leakage_rate.diff>0.02: it is 0.0500 (0.0100 to 0.0900, p 0.01, n 200)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("leakage_rate>0.05", "say what of the comparison is meant .there are: .diff, .diff.low"),
        ("leakage_rate.errors>0.05", "has no .errors"),
    ],
)
def test_a_gate_on_a_comparison_that_names_no_part_says_which_there_are(text, message):
    with pytest.raises(UsageError, match=message):
        Gate.parse(text, comparison=True)
