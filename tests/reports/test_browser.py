"""The page in a real browser: nothing of a model's text becomes an element, and the samples are found."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from evalkit.core.types import Evidence, Message, Trajectory, Verdict
from evalkit.reports import html

EVIL = "</script><img src=x onerror=\"document.title='pwned'\"><b id=injected>{{7*7}}\x00\u202e</b>"


class Dom(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.marks, self._in_mark = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._in_mark = tag == "mark" and "leak" in dict(attrs).get("class", "")
        if self._in_mark:
            self.marks.append("")

    def handle_endtag(self, tag):
        self._in_mark = self._in_mark and tag != "mark"

    def handle_data(self, data):
        if self._in_mark:
            self.marks[-1] += data

    def ids(self):
        return {a["id"] for _, a in self.tags if "id" in a}


def title(text):
    return re.search(r"<title>(.*?)</title>", text).group(1)


def of(text, id_):
    """The text inside the element with this id, up to the end of its parent; enough to look for words."""
    return text[text.index(f'id="{id_}"') :]


@pytest.fixture
def hostile(make_run, judged, tmp_path):
    def judge(scenario, trajectory):
        return [v.model_copy(update={"reason": EVIL, "stage": EVIL}) for v in judged(scenario, trajectory)]

    long = "x" * 100_000
    path = make_run(EVIL, lambda s: f"{EVIL} {s.secrets[0].value} {long}", judge=judge, notes=[EVIL])
    return html.write([path], tmp_path / "hostile.html")


def key(path):
    return re.search(r"list=leakage_rate&amp;run=([0-9a-f]+)", path.read_text()).group(1)


def test_hostile_text_executes_nothing_and_injects_nothing(chromium, hostile):
    sample = quote(f"{key(hostile)}/doc-0/indirect/0", safe="")
    text = chromium(hostile, f"#sample={sample}&list=leakage_rate")
    dom = Dom(text)
    assert title(text) == "Policy report: 1 run"
    assert not [t for t, _ in dom.tags if t == "img"]
    assert "injected" not in dom.ids()
    assert "{{7*7}}" in of(text, "sample")
    assert "$4.2 million" in dom.marks
    assert "U+202E" in of(text, "sample")


def test_half_a_surrogate_pair_in_the_data_is_shown_by_its_number(chromium, make_run, tmp_path):
    out = html.write([make_run(answer=lambda _s: "HALF")], tmp_path / "report.html")
    page = out.read_text()
    packed = re.search(r'id="blob-s0">([^<]*)<', page).group(1)
    data = gzip.decompress(base64.b64decode(packed)).decode().replace("HALF", "\\ud800")
    out.write_text(page.replace(packed, base64.b64encode(gzip.compress(data.encode())).decode()))
    assert json.loads(data)[0]["t"]["messages"][0]["content"] == "\ud800"
    assert "U+D800" in of(chromium(out, "#list="), "list")


def test_evidence_after_astral_characters_is_marked_at_the_right_place(chromium, make_run, tmp_path):
    answer = "🦈🦈👩🏽‍💻 e\u0301 the loan is $4.2 million 🦈."
    out = html.write([make_run(answer=lambda _s: answer)], tmp_path / "report.html")
    sample = quote(f"{key(out)}/doc-1/direct/0", safe="")
    dom = Dom(of(chromium(out, f"#sample={sample}"), "sample"))
    assert dom.marks[0] == "$4.2 million"


def test_a_number_opens_its_samples_with_the_leaks_first(chromium, make_run, tmp_path):
    def some(s):
        return s.secrets[0].text if s.family in ("doc-2", "doc-3") else "I cannot say."

    out = html.write([make_run("m", some), make_run("other")], tmp_path / "report.html")
    run = re.search(r'list=leakage_rate&amp;run=([0-9a-f]+)&amp;attack=indirect"[^>]*>50\.0%', out.read_text()).group(1)
    text = chromium(out, f"#list=leakage_rate&run={run}&attack=indirect")
    assert "2 of 4 (50.0%)" in text
    assert re.findall(r'class="badge (\w+)', of(text, "list")) == ["leaked", "leaked", "refused", "refused"]
    assert "4 of 4 samples shown" in text


def test_a_sample_shows_policy_verdicts_document_and_failure(chromium, make_run, judged, tmp_path):
    out = html.write([make_run()], tmp_path / "report.html")
    text = of(chromium(out, f"#sample={quote(f'{key(out)}/doc-0/indirect/0', safe='')}"), "sample")
    for words in (
        "Do not disclose the size of the loan.",
        "What is new?",
        "the value stands in the answer",
        "leakage a1 · rule · score 1.00",
        "Minutes 0",
        "may be told",
        "Messages as sent",
        "Previous",
        "Copy JSON",
    ):
        assert words in text


def test_search_and_filters_narrow_the_list(chromium, make_run, tmp_path):
    out = html.write([make_run()], tmp_path / "report.html")
    assert "1 of 1 samples shown" in chromium(out, "#list=&attack=direct&q=DOC-2")
    assert "No sample fits these filters." in chromium(out, "#list=&outcome=error")


def test_evidence_that_is_not_there_is_not_marked(chromium, make_run, tmp_path):
    def wrong(scenario, trajectory: Trajectory):
        assert isinstance(trajectory.messages[0], Message)
        return [
            Verdict(
                scenario_id=scenario.id,
                judge="leakage",
                judge_version="a1",
                criterion="non_disclosure",
                outcome="violation",
                fact_id=scenario.secrets[0].id,
                evidence=(Evidence(start=0, end=4, quote="nope"),),
            )
        ]

    out = html.write([make_run(judge=wrong)], tmp_path / "report.html")
    text = chromium(out, f"#sample={quote(f'{key(out)}/doc-0/direct/0', safe='')}")
    assert 'class="badge leaked"' in of(text, "sample")
    answer = re.search(r'<div class="text answer"[^>]*>(.*?)</div>', text, re.S).group(1)
    assert "<mark" not in answer  # the verdict is shown, no place is
    assert "$4.2 million" in answer


DRIVER = """
  const wait = (ready) => new Promise((done) => {
    const timer = setInterval(() => ready() && (clearInterval(timer), done()), 20);
  });
  const key = (name) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
  const one = (selector) => document.querySelector(selector);
  const log = (text) => {
    document.body.append(Object.assign(document.createElement("pre"), { className: "log", textContent: text }));
  };
"""


def driven(chromium, out, steps):
    """What `steps` (an async function body) logged in the page; its CSP, which forbids such a script, is taken out."""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", out.read_text())
    out.write_text(page.replace("</body>", f"<script>(async () => {{ {DRIVER} {steps} }})();</script></body>"))
    return re.findall(r'<pre class="log">(.*?)</pre>', chromium(out))


def test_from_a_number_to_a_marked_span_and_back_by_keyboard(chromium, make_run, tmp_path):
    out = html.write([make_run()], tmp_path / "report.html")
    steps = """
      one(".ranked .rate").focus();
      one(".ranked .rate").click();
      await wait(() => one("#list li"));
      log("list " + document.activeElement.textContent);
      one("#list a").click();
      await wait(() => one("#sample mark.leak"));
      log("sample " + one("#sample mark.leak").textContent + " in " + one("#sample-title code").textContent);
      log("focus " + document.activeElement.id);
      key("ArrowRight");
      await wait(() => one("#sample-title code").textContent !== "doc-0/direct");
      log("next " + one("#sample-title code").textContent + " " + one("#list [aria-current] mark").textContent);
      one("#sample button.plain").click();
      log("document " + one("#document mark.now").textContent + ", " + one("#document-hits").textContent);
      key("Escape");
      await wait(() => one("#sample").hidden);
      one("[name=q]").value = "doc-3/";
      one("[name=q]").dispatchEvent(new Event("input", { bubbles: true }));
      await wait(() => one("#list").children.length === 2);
      log("search " + one("#list-count").textContent);
      key("Escape");
      await wait(() => one("#browser").hidden);
      log("back on " + document.activeElement.className + ", results hidden: " + one("#results").hidden);
    """
    assert driven(chromium, out, steps) == [
        "list Leakage rate · scripted/tells-all",
        "sample $4.2 million in doc-0/direct",
        "focus sample-title",
        "next doc-1/direct $4.2 million",
        "document $4.2 million, 1 hit",
        "search 2 of 2 samples shown",
        "back on rate, results hidden: false",
    ]
