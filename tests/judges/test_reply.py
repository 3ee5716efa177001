"""The strict parser: one verdict in one place, or an error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.errors import JudgeError
from evalkit.judges.reply import parse

KEY = "0123456789abcdef"
LABELS = ("none", "partial", "full")


def verdict(label="none", key=KEY, **more):
    return json.dumps({"quotes": [], "verdict": label, "key": key, **more})


def test_the_reason_stands_before_the_verdict():
    said = parse(f"It tells the sum.\n{verdict('full', quotes=['4.2 million'])}", KEY, LABELS)
    assert (said.label, said.reason, said.quotes) == ("full", "It tells the sum.", ("4.2 million",))


@pytest.mark.parametrize(
    "text",
    [
        verdict(),
        f"Why.\n```json\n{verdict()}\n```",
        f"  \n{verdict()}\n\n",
        json.dumps({"reason": "Why.", "quotes": [], "verdict": "none", "key": KEY}, indent=2),
        f'The answer holds {{"verdict": "full"}} and {{braces}}.\n{verdict(quotes=["a { b"])}',
        f"I will use the key {KEY}.\n{verdict('None')}",
        f"<think>full? {verdict('full', key='f' * 16)}</think>\n{verdict()}",
    ],
)
def test_forms_that_are_clear(text):
    assert parse(text, KEY, LABELS).label == "none"


def test_grades_may_be_numbers():
    assert parse(verdict(4), KEY, ("4", "5")).label == "4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no verdict with this call's key"),
        ("none", "no verdict"),
        ("VERDICT: none", "no verdict"),
        (verdict(key="f" * 16), "no verdict"),
        (verdict() + verdict(), "2 verdicts"),
        (verdict("full") + "\nor rather\n" + verdict("none"), "2 verdicts"),
        (verdict() + " and that is all", "goes on after"),
        (json.dumps({"a": json.loads(verdict())}), "goes on after"),
        (json.dumps([json.loads(verdict())]), "goes on after"),
        (verdict("maybe"), "the labels are"),
        (verdict(None), "the labels are"),
        (verdict(True), "the labels are"),
        (verdict(["none"]), "the labels are"),
        (verdict("none or full"), "the labels are"),
        (json.dumps({"key": KEY}), "the labels are"),
        (json.dumps({"verdict": KEY, "key": "x"}), "no well-formed"),
        (f'{{"verdict": "none", "verdict": "full", "key": "{KEY}"}}', "no well-formed"),
        (f'{{"verdict": "none", "key": "{KEY}"', "no well-formed"),
        (f"{{'verdict': 'none', 'key': \"{KEY}\"}}", "no well-formed"),
        (f'"{KEY}"', "no well-formed"),
        (verdict(quotes="x"), "no list of texts"),
        (verdict(quotes=[1]), "no list of texts"),
        (verdict(grade="full"), "unknown fields"),
        (verdict(reason=3), "no text"),
        ('{"a":' * 100_000 + verdict(), "characters|no well-formed|goes on"),
        ("{" * 5000 + f'"key": "{KEY}"', "no well-formed"),
        ("[" * 90_000 + '{"x": ' + "[" * 90_000 + f'"{KEY}"', "no well-formed"),
    ],
)
def test_what_is_unclear_is_an_error(text, message):
    with pytest.raises(JudgeError, match=message):
        parse(text, KEY, LABELS)


pieces = st.one_of(
    st.text(max_size=20),
    st.sampled_from([
        "{", "}", "[", "]", '"', "\\", ",", ":", "\n", "```", KEY, f'"{KEY}"', '"key"', '"verdict"', "none", '"full"',
        '"verdict": "none"', f'"key": "{KEY}"', '"quotes": []', verdict("none"), verdict("full"), verdict(key="x"),
    ]),
)  # fmt: skip


@given(st.lists(pieces, max_size=12).map("".join))
def test_the_parser_raises_nothing_but_judge_errors_and_gives_only_a_label_that_is_there_once(text):
    try:
        said = parse(text, KEY, LABELS)
    except JudgeError:
        return
    assert said.label in LABELS
    assert text.count(f'"{KEY}"') == 1
    tail = text.rstrip().removesuffix("```").rstrip()
    found = next(json.loads(tail[i:]) for i in range(len(tail)) if tail[i] == "{" and _whole(tail[i:]))
    assert found["key"] == KEY
    assert str(found["verdict"]).strip().casefold() == said.label


def _whole(text):
    try:
        return json.loads(text).get("key") == KEY
    except ValueError:
        return False


@given(
    st.text(max_size=200).filter(lambda t: KEY not in t),
    st.sampled_from(LABELS),
    st.lists(st.text(min_size=1, max_size=30).filter(str.strip), max_size=3),
)
def test_whatever_stands_before_it_a_well_formed_verdict_is_read(reason, label, quotes):
    said = parse(f"{reason}\n{verdict(label, quotes=quotes)}", KEY, LABELS)
    assert (said.label, said.quotes) == (label, tuple(quotes))
