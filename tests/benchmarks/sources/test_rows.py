"""Rows out of every kind of file, and an error that names the place for every kind of damage."""

import gzip
import json
import re

import pytest

from evalkit.benchmarks.sources import rows
from evalkit.core.errors import ContentError

ROWS = [{"a": 1}, {"a": 2, "b": "é"}]


class Thing(rows.Row):
    a: int


def put(folder, name, data):
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


LINES = "\n".join(json.dumps(r) for r in ROWS)


def packed(text):
    # Without the time in the header: these bytes name the tests, and every worker must collect the same names.
    return gzip.compress(text.encode(), mtime=0)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.jsonl", LINES),
        ("x.jsonl", f"\ufeff{LINES}\n\n"),
        ("x.jsonl", LINES.replace("\n", "\r\n")),
        ("x.json", json.dumps(ROWS, indent=1)),
        ("x.jsonl.gz", packed(LINES)),
        ("x.json.gz", packed(json.dumps(ROWS))),
    ],
)
def test_rows_are_the_same_however_they_are_packed(name, data, tmp_path):
    path = put(tmp_path, name, data)
    assert list(rows.read(path)) == [(f"{path}[0]", ROWS[0]), (f"{path}[1]", ROWS[1])]


@pytest.mark.parametrize(
    ("name", "data", "wrong"),
    [
        ("x.csv", "a\n1", "x.csv: not a data file; expected one that ends in .jsonl, .json"),
        ("x.jsonl", '{"a": 1}\n{"a": ', "x.jsonl[1]: not JSON"),
        ("x.json", '{"a": 1}', "x.json: expected a list of rows, not a mapping"),
        ("x.json", "[1", "x.json: not JSON"),
        ("x.jsonl", "[1]", "x.jsonl[0]: a row is a mapping of fields, not a list"),
        ("x.jsonl", "null", "x.jsonl[0]: a row is a mapping of fields, not null"),
        ("x.jsonl", b"\xff\xfe{}", "x.jsonl[0]: not JSON"),
        ("x.jsonl.gz", LINES, "x.jsonl.gz: not a whole gzip file"),
        ("x.jsonl.gz", packed(LINES * 99)[:-20], "x.jsonl.gz: not a whole gzip file"),
        ("x.jsonl.gz", packed(LINES)[:11] + b"\xff" * 9, "x.jsonl.gz: not a whole gzip file"),
    ],
)
def test_damage_is_named_with_its_place(name, data, wrong, tmp_path):
    with pytest.raises(ContentError, match=re.escape(wrong)):
        list(rows.read(put(tmp_path, name, data)))


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    with pytest.raises(ContentError, match=r"x.parquet: not a parquet file that can be read"):
        list(rows.read(put(tmp_path, "x.parquet", "PAR1 no")))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ContentError, match="no such file or folder"):
        rows.files(tmp_path / "none")
    with pytest.raises(ContentError, match="No such file"):
        list(rows.read(tmp_path / "none.json"))


def test_a_folder_gives_the_files_that_fit_in_order(tmp_path):
    for name in ("b.json", "a.json", "c.txt"):
        put(tmp_path, name, "[]")
    assert [f.name for f in rows.files(tmp_path, "*.json")] == ["a.json", "b.json"]
    assert rows.files(tmp_path / "c.txt", "*.json") == [tmp_path / "c.txt"]
    with pytest.raises(ContentError, match=r"no \*.gz or \*.xml in it"):
        rows.files(tmp_path, "*.gz", "*.xml")


def test_a_hub_set_that_is_not_there_is_one_line(tmp_path):
    pytest.importorskip("datasets", reason="the extra `hub` is not installed")
    with pytest.raises(ContentError, match="hub:") as e:
        list(rows.read(f"hub:{tmp_path / 'none'}"))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("raw", "wrong"),
    [
        ({"b": 1}, "here: a: Field required; the row has: b"),
        ({"a": "1"}, "here: a: Input should be a valid integer"),
        ({"a": True}, "here: a: Input should be a valid integer"),
        (7, "here: the row: Input should be a valid dictionary"),
    ],
)
def test_a_row_is_not_bent_into_a_record(raw, wrong):
    with pytest.raises(ContentError, match=re.escape(wrong)):
        rows.record(Thing, raw, "here")


def test_further_fields_are_no_error():
    assert rows.record(Thing, {"a": 1, "new": 2}, "here").a == 1
