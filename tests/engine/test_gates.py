"""Gates: parsed strictly, decided on the right slice, never passed on a number that was not measured."""

import pytest

from evalkit.core.errors import UsageError
from evalkit.core.types import Metric
from evalkit.engine.gates import Gate

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
    ],
)
def test_a_gate_fails_when_it_holds_or_cannot_be_measured(text, fails):
    assert (Gate.parse(text).failed(METRICS) is not None) is fails


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("leakage>0.05", "did you mean 'leakage_rate'"),
        ("leakage_rate", "write a metric, a comparison and a number"),
        ("leakage_rate=0.1", "write a metric"),
        ("leakage_rate>1e", "is not a number"),
        ("leakage_rate[direct]>1", "key=value"),
    ],
)
def test_a_wrong_gate_says_what_is_right(text, message):
    with pytest.raises(UsageError, match=message):
        Gate.parse(text)
