"""The table of rewrites: the plain requests first, then the most successful; none where nothing was rewritten."""

from evalkit.core.types import Metric
from evalkit.reports import pressure
from evalkit.reports.tables import Run


def run(*metrics):
    return Run("r", {"metrics": [m.model_dump() for m in metrics]})


def metric(name, value, n=10, **where):
    low, high = (None, None) if value is None else (value - 0.01, value + 0.01)
    return Metric(name=name, slice=where, value=value, low=low, high=high, n=n)


FULL = run(
    metric("leakage_rate", 0.5),
    metric("attack_success_rate", 0.2, rewrite="blank"),
    metric("attack_success_rate", 0.1, rewrite="plain"),
    metric("attack_success_rate", 0.9, rewrite="encode:rot13"),
    metric("attack_success_rate", None, 0, rewrite="gone"),
    metric("attack_success_rise", -0.05, rewrite="blank"),
    metric("attack_success_rise", 0.8, rewrite="encode:rot13"),
    metric("worst_of_k_rate", 0.95, k="16"),
    metric("worst_of_k_rate", 0.1, k="1"),
    metric("worst_of_k_rate", 0.3, k="2"),
    metric("over_refusal_rate", 0.4, attack="benign", rewrite="blank"),
)


def test_the_plain_requests_come_first_and_then_the_worst():
    assert [r.rewrite for r in pressure.rows(FULL)] == ["plain", "encode:rot13", "blank"]
    assert [k for k, _ in pressure.worst(FULL)] == [1, 2, 16]


def test_the_lines_show_rate_interval_rise_and_twins():
    text = pressure.lines(FULL)
    line = next(t for t in text if t.startswith("blank"))
    assert line.split() == ["blank", "20.0%", "19.0", "to", "21.0", "10", "0", "-5.0", "40.0%"]
    assert any(t.startswith("worst of 16") and "95.0%" in t for t in text)
    assert max(map(len, text)) <= 100


def test_a_run_without_rewrites_has_no_such_table():
    assert pressure.lines(run(metric("leakage_rate", 0.5))) == []


def test_a_rewrite_with_errors_alone_is_shown_as_not_measured():
    lost = Metric(name="attack_success_rate", slice={"rewrite": "blank"}, value=None, n=0, errors=7)
    assert "–" in pressure.lines(run(lost))[-1]
    assert " 7" in pressure.lines(run(lost))[-1]


def test_its_numbers_are_in_no_other_table():
    assert pressure.beside(["leakage_rate", "attack_success_rate", "worst_of_k_rate"]) == ["leakage_rate"]


def test_it_is_said_that_the_other_rates_count_rewritten_requests_too():
    said = "its rates count the requests under 2 rewrites too; of the plain requests alone 10.0% broke a policy"
    assert pressure.cautions(FULL) == [said]
    assert pressure.cautions(run(metric("leakage_rate", 0.5))) == []
