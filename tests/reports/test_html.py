import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from evalkit import content
from evalkit.core.errors import StoreError, UsageError
from evalkit.core.types import Failure
from evalkit.reports import html

EVIL = "</script><img src=x onerror=\"document.title='pwned'\">{{7*7}}\x00\u202e'\"><svg onload=alert(1)>"


class Page(HTMLParser):
    """Every element with its attributes, and the text of some."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all(self, tag):
        return [a for t, a in self.tags if t == tag]


@pytest.fixture
def page(make_run, tmp_path):
    def build(*runs):
        return html.write(runs or [make_run()], tmp_path / "report.html").read_text(encoding="utf-8")

    return build


def test_the_page_is_one_file_that_asks_for_nothing(page):
    found = Page(page())
    assert not [a for t, a in found.tags if t in ("link", "img", "iframe", "object", "form") and "id" not in a]
    assert not [v for _, a in found.tags for k, v in a.items() if k in ("src", "style") or k.startswith("on")]
    assert all(a["href"].startswith("#") for a in found.all("a"))
    assert not [k for _, a in found.tags for k in a if "xlink" in k]


def test_the_policy_admits_exactly_the_inlined_blocks(page):
    text = page()
    policy = next(a["content"] for a in Page(text).all("meta") if a.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        block = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.S).group(1)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_without_script_the_ranked_table_and_the_metrics_are_there(page, make_run):
    lost = Failure(kind="timeout", message="x")
    mixed = make_run("openai/gpt-x", lambda s: lost if s.family == "doc-0" else s.secrets[0].text)
    text = page(make_run(), make_run("scripted/refuses", lambda _s: "I cannot."), mixed)
    body = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    ranked = re.search(r'<table class="ranked".*?</table>', body, re.S).group()
    order = re.findall(r'<th scope="row"[^>]*data-v="([^"]+)"', ranked)
    assert order == ["scripted/refuses", "openai/gpt-x", "scripted/tells-all"]
    assert "100.0%" in ranked
    assert "3 timeout" in ranked
    assert ranked.count('<svg class="ci"') == 18
    assert "board minutes" in body
    assert "need JavaScript" in body


def test_runs_of_another_setting_stand_apart_with_the_reason(page, make_run):
    text = page(make_run(options={"control": "none"}), make_run(options={"control": "no_policy"}))
    assert text.count('<table class="ranked"') == 2
    assert "Not comparable with table 1" in text
    assert "option control: none there, no_policy here" in text


def test_a_partial_run_is_marked_and_notes_and_manifest_are_shown(page, make_run):
    path = make_run(
        keep=lambda s: s.family == "doc-0",
        planned=1792,
        stopped="max_tokens",
        notes=["21 contradictory items left out"],
    )
    text = page(path)
    assert "stopped: max_tokens, 3 of 1,792" in text
    assert "21 contradictory items left out" in text
    assert "abc123" in text
    assert "share of attack answers that told at least one secret" in text


def test_what_was_not_measured_is_a_dash(page, make_run):
    only_benign = make_run("benign-only", keep=lambda s: s.attack == "benign")
    ranked = re.search(r'<table class="ranked".*?</table>', page(only_benign, make_run()), re.S).group()
    row = next(r for r in ranked.split("<tr") if "benign-only" in r)
    assert row.count('class="none"') == 4  # leakage: all, direct, indirect; safe and useful
    assert ">–<" in row


def test_tables_have_scoped_headers_and_controls_have_labels(page):
    found = Page(page())
    assert all("scope" in a for a in found.all("th"))
    assert len(found.all("label")) == 6
    assert found.all("html")[0]["lang"] == "en"
    assert all("aria-label" in a for a in found.all("div") if a.get("tabindex") == "0")


def test_the_same_runs_give_the_same_bytes(page, make_run):
    runs = [make_run(), make_run("b")]
    assert page(*runs) == page(*runs)


def test_hostile_names_stay_text(page, make_run):
    text = page(
        make_run(
            EVIL,
            lambda _s: Failure(kind="target", message=EVIL),
            notes=[EVIL],
            judges={EVIL: EVIL},
            options={"phrasing": EVIL},
            params={EVIL: EVIL},
            manifest={"data": EVIL, EVIL: EVIL},
            suite_version=EVIL,
        )
    )
    found = Page(text)
    assert not found.all("img")
    assert [a for a in found.all("svg") if a.get("class") not in ("ci", "chart")] == []
    assert {a.get("type") for a in found.all("script")} == {None, "application/octet-stream"}
    assert text.count("<script>") == 1
    assert not [k for _, a in found.tags for k in a if k.startswith("on")]
    assert "{{7*7}}" in text
    assert not set(text) & set("\x00\u202e")
    assert "‹U+202E›" in text


def test_a_report_that_cannot_be_written_is_a_clear_error(make_run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write the report"):
        html.write([make_run()], tmp_path / "file" / "report.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(StoreError, match="cannot write the report"):
        html.write([make_run()], tmp_path / "folder.html")
    with pytest.raises(StoreError, match=r"name a folder, or a file that ends in \.html"):
        html.write([make_run()], tmp_path / "file")
    with pytest.raises(UsageError, match="no runs"):
        html.write([], tmp_path / "report.html")
    assert not list(tmp_path.glob(".*.new"))


def test_a_suite_that_is_not_installed_is_still_reported(page, make_run):
    assert "private-suite" in page(make_run(suite="private-suite"))


def _themes():
    css = content.read_text(content.find("reports", "static", "report.css"))
    blocks = [b for b in re.findall(r":root \{(.*?)\}", css, re.S) if "--paper" in b]
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", b)) for b in blocks)
    return light, {**light, **dark}


def _luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_text_colour_has_the_contrast_of_wcag_aa(theme):
    colours = _themes()[theme]
    pairs = [(f, b) for f in ("ink", "muted", "link") for b in ("paper", "panel")]
    pairs += [(f, b) for f in ("leak", "good", "warn") for b in ("paper", f"{f}-paper")]
    pairs += [("ink", b) for b in ("leak-paper", "good-paper", "warn-paper", "hit-paper")]
    for front, back in pairs:
        high, low = sorted((_luminance(colours[front]), _luminance(colours[back])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (front, back)


def test_where_only_some_runs_are_audited_the_others_have_a_dash_and_say_why(make_run, tmp_path):
    from evalkit.engine import corrected
    from evalkit.engine.audit import open_or_draw

    audited, other = make_run("audited", documents=20), make_run("other", documents=20)
    audit, _ = open_or_draw(audited, "non_disclosure", 20, 0)
    audit.append([item.label(item.number % 4 != 0, "anna") for item in audit.items])
    corrected.store_result(corrected.compute(audit))
    text = html.write([audited, other], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Leakage, audited" in text
    assert text.count("corrected by 20 labels that people gave") >= 2  # in the ranked table and by attack
    assert 'title="not audited: evalkit audit"' in text
    assert "by 20 labels of people it is 75.0%" in text
    assert "list=leakage_rate_corrected" not in text  # there are no samples of its own to open
    plain = html.write([other], tmp_path / "plain.html").read_text(encoding="utf-8")
    assert "audited" not in plain.partition("<body>")[2].partition("<script")[0]
