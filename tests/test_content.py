"""Content: found in the right order, validated when loaded, errors that name file, line and field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import content
from evalkit.benchmarks.suites import Suite
from evalkit.core.errors import ContentError
from evalkit.core.types import Message


@pytest.fixture
def own_root(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "_extra", [])
    (tmp_path / "benchmarks/clinic").mkdir(parents=True)
    return tmp_path


SUITE = "id: clinic\nversion: '1'\ntitle: t\ndescription: d\nlicense: CC0-1.0\ngenerator: copriva\njudges: [leakage]\n"


def test_own_content_is_searched_first_and_the_shipped_one_stays(own_root):
    (own_root / "benchmarks/clinic/suite.yaml").write_text(SUITE)
    content.add_root(own_root)
    assert content.names("benchmarks", "suite.yaml") == ["clinic", "copriva", "intellagent", "policyguard"]
    assert content.find("benchmarks", "clinic", "suite.yaml").is_relative_to(own_root)
    assert content.find("benchmarks", "copriva", "suite.yaml").exists()


def test_a_missing_content_folder_or_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(ContentError, match="no such folder"):
        content.add_root(tmp_path / "none")
    with pytest.raises(ContentError, match=r"no content judges/nope; looked in .*judges/nope"):
        content.find("judges", "nope")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SUITE + "judgez: [x]\n", r"suite\.yaml:8: judgez: Extra inputs"),
        (SUITE.replace("judges: [leakage]", "judges: leakage"), r"suite\.yaml:7: judges: "),
        (SUITE.replace("version: '1'\n", ""), r"suite\.yaml(:1)?: version: Field required"),
        ("id: [unclosed", r"suite\.yaml:\d: not YAML"),
        (SUITE + "judges: [other]\n", r"suite\.yaml:8: not YAML: 'judges' twice"),
        ("", r"suite\.yaml: the document: "),
        ("- 1\n- 2\n", r"suite\.yaml:1: the document: "),
        (SUITE.replace("license: ", "license: no # "), r"license: .* put it in quotes, .yes."),
        (SUITE + "on: x\n", r"put it in quotes, .yes."),
        ("id: 2024-13-45", r"suite\.yaml: a value cannot be read: month"),
    ],
)
def test_a_wrong_file_is_named_with_line_and_field(tmp_path, text, message):
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(ContentError, match=message):
        content.load_yaml(path, Suite)


def test_a_file_that_is_not_text_says_so(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"id: \xff\xfe")
    with pytest.raises(ContentError, match="not UTF-8 text"):
        content.load_yaml(tmp_path / "x.yaml", Suite)


def test_yaml_cannot_run_code(tmp_path):
    (tmp_path / "x.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(ContentError, match="not YAML"):
        content.load_yaml(tmp_path / "x.yaml", Suite)


def test_a_wrong_line_of_jsonl_is_named(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"role": "user"}\n\n{"role": "nobody"}\n')
    found = content.read_jsonl(path, Message)
    assert next(found).role == "user"
    with pytest.raises(ContentError, match=r"m\.jsonl:3: role: "):
        next(found)


@given(st.dictionaries(st.text(max_size=8), st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)))
def test_yaml_is_read_back_as_written(value):
    import yaml

    assert yaml.safe_load(content.dump_yaml(value)) == value


def test_a_hash_of_files_depends_on_names_and_bytes(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    b.write_text("2")
    before = content.hash_files([b, a])
    assert content.hash_files([a, b]) == before
    b.write_text("3")
    assert content.hash_files([a, b]) != before


def test_a_byte_order_mark_is_no_content(tmp_path):
    mark = b"\xef\xbb\xbf"
    (tmp_path / "s.yaml").write_bytes(mark + SUITE.encode())
    assert content.load_yaml(tmp_path / "s.yaml", Suite).judges[0].judge == ("leakage",)
    (tmp_path / "s.json").write_bytes(mark + b'{"a": 1}')
    assert content.load_json(tmp_path / "s.json") == {"a": 1}
    (tmp_path / "s.jsonl").write_bytes(mark + b'{"a": 1}\n')
    assert list(content.jsonl_lines(tmp_path / "s.jsonl")) == [(1, b'{"a": 1}\n')]
