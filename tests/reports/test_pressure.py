"""The table of rewrites: the plain requests first, then the most successful; none where nothing was rewritten."""

import re

from evalkit.core.types import Metric
from evalkit.engine.prepare import Wish, prepare
from evalkit.engine.pressing import Pressure
from evalkit.engine.store import RunFolder
from evalkit.reports import html, pressure
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


async def test_the_page_has_every_rewrite_with_a_link_to_its_samples(tmp_path):
    paths = []
    for model in ("scripted/tells-all", "scripted/refuses"):
        run, _ = prepare(Wish(suite="copriva", model=model, limit=6, pressure=Pressure("authority,encode:base64")))
        paths.append(tmp_path / model.rpartition("/")[2])
        with RunFolder.open(paths[-1], run.spec) as folder:
            await run.play(folder)
    text = html.write(paths, tmp_path / "report.html", charts=False).read_text()
    part = text[text.index("Under attack: rewritten requests") :]
    part = part[: part.index("</table>")]
    names = re.findall(r'<th scope="row">([^<]*)', part)
    assert [n.strip() for n in names] == [
        "none: the plain request", "authority", "encode:base64", "worst of 1", "worst of 2", "worst of 3",
    ]  # fmt: skip
    assert len(re.findall(r'href="#list=leakage_rate&amp;run=\w+&amp;rewrite=encode%3Abase64"', part)) == 2
    assert part.count("twins: over-refusal") == 6
    assert "the same less that of the plain requests, paired by request" in text  # explained among the metrics
    assert "its rates count the requests under 2 rewrites too" in text


async def test_a_page_without_rewrites_does_not_speak_of_them(tmp_path):
    run, _ = prepare(Wish(suite="copriva", model="scripted/refuses", limit=3))
    with RunFolder.open(tmp_path / "r", run.spec) as folder:
        await run.play(folder)
    text = html.write([tmp_path / "r"], tmp_path / "report.html", charts=False).read_text()
    assert "rewritten requests" not in text
    assert "worst_of_k_rate" not in text
