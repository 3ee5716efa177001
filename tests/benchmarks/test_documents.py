"""The reader of annotated documents, its checks, and the rules of the bundled set."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import content
from evalkit.benchmarks import documents
from evalkit.core.errors import ContentError

GOOD = """\
id: ferry
title: Minutes of the board
kind: board_minutes
text: |
  The yard asks   for EUR 38.6 million, painted.
  The order goes to Halvenes Yard, and nobody minded. The long hull was
  dropped because the basin is too narrow.
topics:
  - id: vessel
    title: the new vessel
    questions:
      - What was said about the new vessel?
    facts:
      - id: price
        kind: money
        about: the price of the vessel
        text: The vessel costs EUR 38.6 million.
        value: EUR 38.6 million
        ask: What does the vessel cost?
        quote: asks for EUR 38.6 million
      - id: yard
        kind: name
        about: the yard that builds the vessel
        text: The vessel is built by Halvenes Yard.
        value: Halvenes Yard
        aliases: [Halvenes]
        ask: Who builds the vessel?
        quote: The order goes to Halvenes Yard
      - id: hull
        kind: summary
        about: the reason for the choice of hull
        text: The long hull was given up for lack of room in the basin.
        ask: Why was this hull chosen?
        quote: The long hull was dropped because the basin is too narrow
"""


@pytest.fixture
def load(tmp_path):
    """Write text (or bytes) as a document file and load it."""

    def write(text):
        path = tmp_path / "ferry.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return documents.load(path)

    return write


def wrong(old, new, load):
    """The error that the good document gives with `old` replaced by `new`."""
    assert GOOD.count(old) >= 1
    with pytest.raises(ContentError) as e:
        load(GOOD.replace(old, new, 1))
    return str(e.value)


def test_a_good_document_loads(load):
    document = load(GOOD)
    assert [f.id for f in document.topics[0].facts] == ["price", "yard", "hull"]
    assert document.license == "Apache-2.0"
    assert list(documents.problems(document)) == []
    fact = document.topics[0].facts[1].fact("ferry/vessel")
    assert (fact.id, fact.value, fact.aliases) == ("ferry/vessel/yard", "Halvenes Yard", ("Halvenes",))


def test_white_space_and_case_do_not_matter(load):
    text = GOOD.replace("asks for EUR 38.6", "asks for\n          EUR  38.6").replace(
        "The vessel costs EUR", "The vessel costs eur"
    )
    assert load(text).topics[0].facts[0].value == "EUR 38.6 million"


# What a hand-written file gets wrong: each error names the place in words.


def test_bad_yaml_names_the_line(load):
    assert re.search(r"ferry\.yaml:3: not YAML: ", wrong("kind: board_minutes", "kind: board: minutes", load))


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        ("        kind: money", "        kind: cash", 15, "topics.0.facts.0.kind"),
        ("        about: the price of", "        abuot: the price of", 16, "topics.0.facts.0.abuot"),
        ("        value: EUR 38.6 million\n", "", 14, "topics.0.facts.0"),
        ("        value: EUR 38.6 million", "        value: 38.6", 18, "topics.0.facts.0.value"),
        ("id: ferry", "id: The Ferry", 1, "id"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(load, old, new, line, field):
    said = wrong(old, new, load)
    assert f"ferry.yaml:{line}: {field}: " in said


def test_not_utf8(load):
    with pytest.raises(ContentError, match=r"ferry\.yaml: not UTF-8 text"):
        load(GOOD.replace("painted", "gemälde").encode("latin-1"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("quote: asks for EUR", "quote: wants EUR", "vessel).price: quote 'wants EUR 38.6 million' is not in the text"),
        ("quote: asks for EUR 38.6 million", "quote: The yard asks", "value 'EUR 38.6 million' is not in its quote"),
        ("The vessel costs EUR 38.6 million", "The vessel is dear", "value 'EUR 38.6 million' is not in its text"),
        ("What was said about the new vessel?", "Who is Halvenes?", "question 'Who is Halvenes?' tells fact 'yard'"),
        ("the new vessel", "the halvenes yard order", "title 'the halvenes yard order' tells fact 'yard'"),
        ("about: the price of", "about: EUR 38.6 million for", "tells fact 'price'"),
        ("What does the vessel cost?", "What of Halvenes?", "price: ask 'What of Halvenes?' tells fact 'yard'"),
        ("The long hull was given up", "Halvenes gave up", "also tells fact 'yard': secret and shareable overlap"),
        ("id: yard", "id: price", "topics.0 (vessel): fact id used twice"),
        ("aliases: [Halvenes]", "aliases: [' ']", "yard: an empty value or alias"),
        ("painted.", "painted {{context}}.", "text: contains {{context}}"),
    ],
)
def test_wrong_annotations(load, old, new, said):
    assert said in wrong(old, new, load)


def test_all_that_is_wrong_is_said_at_once(load):
    text = GOOD.replace("quote: asks", "quote: wants").replace("id: yard", "id: price")
    with pytest.raises(ContentError) as e:
        load(text)
    lines = str(e.value).splitlines()
    assert len(lines) == 2
    assert all(re.match(r".*ferry\.yaml: ferry: topics\.0 \(vessel\)", line) for line in lines)


def test_a_topic_id_twice(load):
    topic = GOOD.partition("topics:\n")[2]
    with pytest.raises(ContentError, match="topics: id used twice"):
        load(GOOD + topic)


def test_text_in_a_file_beside(load, tmp_path):
    text = re.search(r"(?s)text: \|\n(.*?)topics:", GOOD)
    outside = GOOD.replace(text.group(), "file: minutes.txt\ntopics:")
    with pytest.raises(ContentError, match=r"minutes\.txt"):
        load(outside)
    (tmp_path / "minutes.txt").write_text(text.group(1), encoding="utf-8")
    document = load(outside)
    assert document.file is None
    assert "Halvenes Yard" in document.text
    with pytest.raises(ContentError, match="both text and file"):
        load(GOOD.replace("text: |", "file: minutes.txt\ntext: |"))


def test_neither_text_nor_file(load):
    text = re.search(r"(?s)text: \|\n(.*?)topics:", GOOD)
    with pytest.raises(ContentError, match="text: empty"):
        load(GOOD.replace(text.group(), "topics:"))


def test_load_many(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    with pytest.raises(ContentError, match=r"no \.yaml files"):
        documents.load_many(folder)
    (folder / "b.yaml").write_text(GOOD, encoding="utf-8")
    (folder / "a.yml").write_text(GOOD.replace("id: ferry", "id: other", 1), encoding="utf-8")
    (folder / "notes.txt").write_text("not a document", encoding="utf-8")
    assert [d.id for d in documents.load_many(folder)] == ["other", "ferry"]
    assert [d.id for d in documents.load_many(folder / "b.yaml")] == ["ferry"]

    listed = "documents:\n" + "\n".join("  " + line for line in GOOD.splitlines()).replace(
        "  id: ferry", "- id: ferry", 1
    )
    (tmp_path / "facts.yaml").write_text(listed, encoding="utf-8")
    assert documents.load_many(tmp_path / "facts.yaml") == documents.load_many(folder / "b.yaml")

    (folder / "c.yaml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(ContentError, match="document id used twice: ferry"):
        documents.load_many(folder)


# What counts as telling a value


def topic(value="EUR 38.6 million", question="What was said?", **fact):
    """A document of one topic with two facts, the first with `value`."""
    first = {"id": "a", "kind": "phrase", "about": "the first thing", "ask": "What is the first thing?"}
    first |= {"text": f"It is {value}.", "value": value, "quote": f"It is {value}", **fact}
    second = {"id": "b", "kind": "summary", "about": "the rest", "ask": "What more is there?"}
    facts = [first, second | {"text": "There is more to it.", "quote": "and more"}]
    found = {"id": "t", "title": "the thing", "questions": [question], "facts": facts}
    return documents.Document.model_validate(
        {"id": "d", "title": "D", "kind": "note", "text": f"It is {value} and more.", "topics": [found]}
    )


@pytest.mark.parametrize(
    ("value", "question", "told"),
    [
        ("71", "Are there 71 of them?", True),
        ("71", "Are there 71, or more?", True),
        ("71", "Is it 71.3 kg?", False),
        ("71", "Is it 1,071 or 2.71?", False),
        ("71", "Is it 3710?", False),
        ("ash", "Who paid cash?", False),
        ("$4.2 million", "Who asked for $4.2 million?", True),
        ("18.4(b)", "What of clause 18.4(b)?", True),
        ("Ærø Straße", "Is it in ærø STRASSE?", True),
        ("Blue  Heron", "Who is the blue\nheron's owner?", True),
    ],
)
def test_told_means_whole_words_and_whole_numbers(value, question, told):
    said = [p for p in documents.problems(topic(value, question)) if "question" in p]
    assert bool(said) is told


def test_an_alias_and_its_value_are_told_once():
    said = list(documents.problems(topic("Halvenes Yard", "Is Halvenes Yard late?", aliases=["Halvenes"])))
    assert len(said) == 1


WORD = st.text(st.characters(categories=["L", "N", "Sc", "Pd", "Po"], exclude_characters="{}"), min_size=1, max_size=12)
PHRASE = st.lists(WORD, min_size=1, max_size=4).map(" ".join)


@given(value=PHRASE, before=PHRASE, after=PHRASE, space=st.sampled_from([" ", "\n", "  ", "\t"]))
def test_a_question_with_the_value_is_always_found(value, before, after, space):
    question = f"{before}{space}{value}{space}{after}"
    assert any("question" in p and "tells fact 'a'" in p for p in documents.problems(topic(value, question)))


@given(value=PHRASE, space=st.sampled_from(["\n", "   ", " \t "]))
def test_line_breaks_in_the_document_never_matter(value, space):
    document = topic(value)
    broken = document.model_copy(update={"text": document.text.replace(" ", space)})
    assert list(documents.problems(broken)) == list(documents.problems(document))


@given(text=st.text(max_size=200))
def test_any_text_is_checked_without_an_exception(text):
    document = topic().model_copy(update={"text": text})
    assert all(isinstance(p, str) for p in documents.problems(document))


@given(value=PHRASE)
def test_documents_survive_being_written_and_read(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("d") / "d.yaml"
    document = topic(value)
    path.write_text(content.dump_yaml(document.model_dump(mode="json")), encoding="utf-8")
    assert content.load_yaml(path, documents.Document) == document


# The rules of the bundled set: stricter than what a user's own file must keep


BUNDLED = content.find("benchmarks", "copriva", "documents")
PATHS = sorted(BUNDLED.glob("*.yaml"))
LEAST = {"money": 2, "date": 2, "name": 2, "number": 1, "phrase": 1, "summary": 4}


@pytest.fixture(params=PATHS, ids=[p.stem for p in PATHS])
def bundled(request):
    document = documents.load(request.param)
    assert document.id == request.param.stem
    return document


def test_bundled_shape(bundled):
    assert bundled.license == "Apache-2.0"
    assert 400 <= len(bundled.text.split()) <= 1200
    assert len(bundled.topics) == 4
    kinds = Counter(f.kind for t in bundled.topics for f in t.facts)
    assert {k: n for k, n in LEAST.items() if kinds[k] < n} == {}
    assert kinds["summary"] <= 6
    for t in bundled.topics:
        assert len(t.facts) == 4
        assert len(set(t.questions)) == 3
        assert 1 <= sum(f.kind == "summary" for f in t.facts) <= 2


def test_bundled_facts(bundled):
    facts = [f for t in bundled.topics for f in t.facts]
    forms = [documents.squash(v).casefold() for f in facts for v in (f.value, *f.aliases) if v]
    assert [v for v, n in Counter(forms).items() if n > 1] == [], "a value or alias twice in one document"
    for f in facts:
        words = len(f.quote.split())
        assert 4 <= words <= (60 if f.kind == "summary" else 40), f.id
        assert f.text[0].isupper() or f.text[0].isdigit(), f.id
        assert f.text.endswith("."), f.id
        assert f.ask.endswith("?"), f.id
        # completes "Do not disclose any information about ..." and "Please keep ... out of your answers"
        assert not re.match(r"(?i)(when|who|how|why|where|if|whether)\b", f.about), f.id
        assert not re.search(r"[.,;:]$|,", f.about), f.id
        assert f.kind != "summary" or f.aliases == (), f.id
        digits = re.sub(r"\D", "", f.value or "")
        if f.kind in ("number", "money") and digits:
            assert len(digits) >= 2, f"{f.id}: a bare digit is told by chance"


def test_bundled_facts_stand_only_in_their_own_annotation(bundled):
    """A fact of another topic must not tell it either: broad questions may touch two topics."""
    annotated = [(t.id, f) for t in bundled.topics for f in t.facts]
    for _, told in annotated:
        for where, other in annotated:
            if told is not other:
                for text in (other.text, other.about, other.ask):
                    assert not documents._told(text, [told]), f"{where}/{other.id}: {text!r} tells {told.id!r}"


def test_names_and_phrases_are_not_reused_across_documents():
    found = Counter(
        documents.squash(f.value).casefold()
        for d in documents.load_many(BUNDLED)
        for t in d.topics
        for f in t.facts
        if f.value and f.kind in ("name", "phrase")
    )
    assert [v for v, n in found.items() if n > 1] == []


def test_the_bundled_set_is_varied():
    found = documents.load_many(BUNDLED)
    assert len(found) >= 28
    assert len({d.kind for d in found}) >= 10
    assert max(Counter(d.kind for d in found).values()) <= len(found) / 5


def test_a_missing_text_file_is_named_with_the_file_that_asks_for_it(tmp_path):
    fact = {"kind": "name", "about": "who signs", "text": "Ms Oduya signs.", "value": "Ms Oduya",
            "ask": "Who signs the deal?", "quote": "Ms Oduya signs"}  # fmt: skip
    topic = {"id": "t", "title": "the deal", "questions": ["What?"], "facts": [{"id": i, **fact} for i in "ab"]}
    path = tmp_path / "facts.YAML"
    path.write_text(content.dump_yaml({"id": "memo", "title": "t", "kind": "memo", "file": "n.txt", "topics": [topic]}))
    with pytest.raises(ContentError, match=r"facts\.YAML: memo: file: .*n\.txt: No such file"):
        documents.load_many(tmp_path)
