"""Passages: every sentence, item and row of a document, at its exact place, with what it stands under."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.benchmarks.passages import passages, plain

DOCUMENT = """# Parcel desk

Wrapped sentences
are one. This is another (it has
brackets. Two of them.) and ends here.

## Sending

To send a parcel:
1. Weigh it.
2. Ask for the address. It has to be
   complete:
   - street,
   - town
3. Take the money.

| size | price |
|------|-------|
| small | $4 |
| large | $9 |

**Late parcels**: Say sorry. Offer a coupon.

> Quoted lines are
> read as well.

```
never read this
```
"""


def texts(document, **fields):
    return [p.text for p in passages(document) if all(getattr(p, k) == v for k, v in fields.items())]


def test_sentences_items_and_rows_are_found_in_order():
    assert texts(DOCUMENT) == [
        "Wrapped sentences are one.",
        "This is another (it has brackets. Two of them.) and ends here.",
        "To send a parcel:",
        "Weigh it.",
        "Ask for the address.",
        "It has to be complete:",
        "street,",
        "town",
        "Take the money.",
        "size: small; price: $4",
        "size: large; price: $9",
        "Late parcels: Say sorry.",
        "Offer a coupon.",
        "Quoted lines are read as well.",
    ]


def test_each_knows_its_headings_lead_ins_and_place_in_the_list():
    found = {p.text: p for p in passages(DOCUMENT)}
    assert found["Weigh it."].section == ("Parcel desk", "Sending")
    assert found["Weigh it."].heads == ("To send a parcel:",)
    assert (found["Weigh it."].rank, found["Take the money."].rank, found["Weigh it."].numbered) == (1, 3, True)
    assert found["town"].heads == ("To send a parcel:", "It has to be complete:")
    assert found["Take the money."].heads == ("To send a parcel:",)
    assert found["Offer a coupon."].label == "Late parcels"
    assert found["Wrapped sentences are one."].section == ("Parcel desk",)


def test_a_lead_in_names_the_list_that_follows_it():
    found = {p.text: p for p in passages(DOCUMENT)}
    assert found["To send a parcel:"].leads == found["Weigh it."].series
    assert found["It has to be complete:"].leads == found["town"].series
    assert found["Wrapped sentences are one."].leads == 0


def test_an_item_of_a_list_inside_an_item_without_lead_in_is_told_apart():
    found = {p.text: p for p in passages("You must:\n\n- Pay.\n    - Cards are plastic.\n- Leave.\n")}
    assert found["Pay."].heads == ("You must:",)
    assert found["Cards are plastic."].heads == ("You must:", "")
    assert found["Leave."].heads == ("You must:",)


def test_another_bullet_under_an_item_lies_deeper_without_indentation():
    found = {p.text: p for p in passages("* open:\n• Be known.\n• Have money.\n* close:\n• Be there.\n")}
    assert found["Have money."].heads == ("open:",)
    assert found["Be there."].heads == ("close:",)


def test_headings_of_many_forms_are_no_passages():
    for heading in ("# Returns", "Returns\n=======", "Returns\n-------", "**Returns**", "Returns and refunds"):
        [only] = passages(f"{heading}\n\nKeep the box.\n")
        assert only.text == "Keep the box."
        assert only.section
        assert only.section[0].startswith("Returns")


@pytest.mark.parametrize(
    ("document", "heading"),
    [
        ("Hill House\nRules of the door, part 2\n=====\n\nKeep the box.\n", "Hill House Rules of the door, part 2"),
        ("3. Who may enter?\n\nKeep the box.\n", "3. Who may enter?"),
        ("IV. When the guest must go\n\nKeep the box.\n", "IV. When the guest must go"),
    ],
)
def test_a_title_of_two_lines_and_a_numbered_heading_are_no_passages(document, heading):
    [only] = passages(document)
    assert (only.text, only.kind, only.section) == ("Keep the box.", "sentence", (heading,))


@pytest.mark.parametrize(
    "document",
    ["1. Keep the box\n\n2. Keep the key\n", "1. Keep the box.\n\nBoxes are red.\n", "1. Keep it\n\n   Always.\n"],
)
def test_a_numbered_item_is_no_heading(document):
    assert passages(document)[0].kind == "item"


def test_abbreviations_quotations_and_dots_do_not_end_a_sentence():
    text = "Ask for papers, e.g. Form Blue. Say 'Please wait. Thank you.' to them. Bring receipts... from the shop."
    assert texts(text) == [
        "Ask for papers, e.g. Form Blue.",
        "Say 'Please wait. Thank you.' to them.",
        "Bring receipts... from the shop.",
    ]


def test_markdown_becomes_plain_words():
    assert plain("See [the **list**](http://x.example/a_b) and\n> `tool_name`") == "See the list and tool_name"


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            ["", "# Head", "- item one. Two.", "  - deeper:", "1. first", "| a | b |", "|---|---|", "Do it:", "===",
             "```",
             "**Bold.** Then more.", "> quoted. Line.", "<policy>", "  indented text", "a) letter", "x" * 50]
        ),
        st.text(max_size=40),
    ),
    max_size=14,
)  # fmt: skip


@settings(max_examples=60)
@given(LINES, st.sampled_from(["\n", "\r\n"]))
def test_places_are_exact_in_order_and_disjoint_in_any_text(lines, end):
    document = end.join(lines)
    last = 0
    for p in passages(document):
        raw = document[p.start : p.end]
        assert raw
        assert raw == raw.strip()
        assert p.start >= last
        last = p.end
        if p.kind != "row":
            assert p.text == plain(raw)
        assert "\n" not in p.text
